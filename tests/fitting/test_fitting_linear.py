"""The linear image and the Newton step, against finite differences and dense matrices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import SIZE, Scene, exact_psf, scene
from torch import Tensor

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage, Unknowns, expected_image
from deepstorm3d.fitting.newton import newton_step
from deepstorm3d.fitting.state import JointState


def crowd(blur: bool) -> Scene:
    """Three frames: two with molecules that overlap and hang over the edges, in mixed order, one with none."""
    made = scene(6, 2, blur=blur, seed=3)
    xyz = made.state.xyz.clone()
    xyz[1] = xyz[0] + torch.tensor([0.15, -0.1, 0.2], dtype=torch.float64)
    xyz[2, 0], xyz[3, 1] = 0.02, SIZE[0] * 0.11 + 0.3
    coefficients = torch.cat([made.state.coefficients, made.state.coefficients[:1]])
    frame = torch.tensor([0, 0, 1, 1, 0, 1])
    return replace(made, state=replace(made.state, xyz=xyz, frame=frame, coefficients=coefficients))


def random_step(made: Scene, seed: int = 0) -> Unknowns:
    """Changes of about a nanometre to tens of nanometres, and of a few photons."""
    generator = torch.Generator().manual_seed(seed)
    unknowns = 4 if made.state.blur_px is None else 5
    molecules = torch.randn(len(made.state), unknowns, generator=generator, dtype=torch.float64)
    molecules = molecules * torch.tensor([0.01, 0.01, 0.01, 50.0, 0.01], dtype=torch.float64)[:unknowns]
    background = torch.randn(made.state.coefficients.shape, generator=generator, dtype=torch.float64)
    return Unknowns(molecules, background)


def moved(state: JointState, step: Unknowns, length: float) -> JointState:
    change = length * step.molecules
    return replace(
        state,
        xyz=state.xyz + change[:, :3],
        photons=state.photons + change[:, 3],
        blur_px=None if state.blur_px is None else state.blur_px + change[:, 4],
        coefficients=state.coefficients + length * step.background,
    )


def image_at(made: Scene, state: JointState) -> Tensor:
    return expected_image(made.psf, state, made.background, made.shape)


def dense(made: Scene, linear: LinearImage) -> Tensor:
    """The Jacobian as a matrix, by pushing unit vectors: (pixels of all frames, molecules then background)."""
    step = random_step(made)
    parts = [step.molecules.numel(), step.background.numel()]
    columns = []
    for unit in torch.eye(sum(parts), dtype=torch.float64):
        molecules, background = unit.split(parts)
        columns.append(
            linear.push(
                Unknowns(molecules.view_as(step.molecules), background.view_as(step.background))
            ).flatten()
        )
    return torch.stack(columns, 1)


def flat(step: Unknowns) -> Tensor:
    return torch.cat([step.molecules.flatten(), step.background.flatten()])


def inner(one: Unknowns, other: Unknowns) -> Tensor:
    return flat(one) @ flat(other)


@pytest.fixture(scope="module", params=[False, True], ids=["sharp", "blurred"])
def made(request: pytest.FixtureRequest) -> Scene:
    return crowd(request.param)


def test_the_linear_image_is_the_expected_image(made: Scene) -> None:
    torch.testing.assert_close(made.linear().image, made.image())
    torch.testing.assert_close(
        expected_image(made.psf, made.state, made.background, made.shape), made.linear().image
    )


def test_push_is_the_change_of_the_expected_image(made: Scene) -> None:
    step, length = random_step(made), 1e-3
    change = image_at(made, moved(made.state, step, length)) - image_at(made, moved(made.state, step, -length))
    pushed = made.linear().push(step)
    error = (pushed - change / (2 * length)).abs().max() / pushed.abs().max()
    assert float(error) < 1e-5


@pytest.mark.parametrize("blur", [False, True])
def test_push_is_the_change_of_the_exact_psfs_image(blur: bool) -> None:
    made = replace(crowd(blur), psf=exact_psf())
    step, length = random_step(made), 1e-3
    change = image_at(made, moved(made.state, step, length)) - image_at(made, moved(made.state, step, -length))
    pushed = made.linear().push(step)
    error = (pushed - change / (2 * length)).abs().max() / pushed.abs().max()
    assert float(error) < 1e-4


def test_pull_is_the_adjoint_of_push(made: Scene) -> None:
    linear, step = made.linear(), random_step(made)
    frames = torch.randn(made.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    torch.testing.assert_close((linear.push(step) * frames).sum(), inner(step, linear.pull(frames)))


def test_blocks_and_crossings_are_parts_of_the_dense_information(made: Scene) -> None:
    linear = made.linear()
    information = made.noisy().information(linear.image)
    jacobian = dense(made, linear)
    fisher = jacobian.mT @ (information.flatten()[:, None] * jacobian)
    number, unknowns = len(made.state), linear.jacobian.shape[1]
    blocks, splines = linear.blocks(information), made.background.shape[0] * made.background.shape[1]
    weighted = linear.jacobian * linear.assembly.cut(information).flatten(1)[:, None]
    crossing = linear.background_cross(weighted)
    for row, frame in enumerate(made.state.frame.tolist()):
        own = slice(row * unknowns, (row + 1) * unknowns)
        torch.testing.assert_close(blocks[row], fisher[own, own])
        first = number * unknowns + frame * splines
        torch.testing.assert_close(crossing[row], fisher[own, first : first + splines])


def test_the_gradient_is_the_fall_of_the_deviance(made: Scene) -> None:
    likelihood, step, length = made.noisy(), random_step(made), 1e-4
    state = moved(made.state, random_step(made, seed=9), 0.3)
    linear = LinearImage(made.psf, state, made.background, made.shape)
    ahead, back = (likelihood.deviance(image_at(made, moved(state, step, sign * length))) for sign in (1, -1))
    slope = (back - ahead).sum() / (4 * length)
    assert float(inner(linear.gradient(likelihood), step)) == pytest.approx(float(slope), rel=1e-4)


def problem(made: Scene) -> tuple[LinearImage, Likelihood, Tensor]:
    """The scene seen from a little beside the truth, its noisy frames, and its dense Fisher information."""
    state = moved(made.state, random_step(made, seed=9), 1.0)
    linear = LinearImage(made.psf, state, made.background, made.shape)
    likelihood = made.noisy()
    jacobian = dense(made, linear)
    information = likelihood.information(linear.image)
    return linear, likelihood, jacobian.mT @ (information.flatten()[:, None] * jacobian)


def test_without_damping_the_step_is_the_dense_solution(made: Scene) -> None:
    linear, likelihood, fisher = problem(made)
    gradient, information = linear.gradient(likelihood), likelihood.information(linear.image)
    none = torch.zeros(3, dtype=torch.float64)
    step, predicted = newton_step(linear, information, gradient, none, iterations=400, tolerance=1e-10)
    wanted = torch.linalg.solve(fisher, flat(gradient))
    torch.testing.assert_close(flat(step), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().min()))
    # The decrease of the quadratic model, g·s − s·F·s/2.
    fall = flat(gradient) @ wanted - wanted @ fisher @ wanted / 2
    torch.testing.assert_close(predicted.sum(), fall, rtol=1e-6, atol=0)


def test_few_iterations_come_near_enough(made: Scene) -> None:
    linear, likelihood, fisher = problem(made)
    gradient, information = linear.gradient(likelihood), likelihood.information(linear.image)
    step, _ = newton_step(linear, information, gradient, torch.full((3,), 1e-3, dtype=torch.float64))
    rest = flat(step) - torch.linalg.solve(fisher, flat(gradient))
    # What is left to go is a small part of a standard deviation in every direction.
    assert float(rest @ fisher @ rest) < 0.02 * float(
        flat(gradient) @ torch.linalg.solve(fisher, flat(gradient))
    )


def test_a_damped_step_solves_the_damped_equations_each_frame_with_its_own_damping(made: Scene) -> None:
    linear, likelihood, fisher = problem(made)
    gradient, information = linear.gradient(likelihood), likelihood.information(linear.image)
    damping = torch.tensor([0.1, 30.0, 1.0], dtype=torch.float64)
    step, _ = newton_step(linear, information, gradient, damping, iterations=400, tolerance=1e-10)
    # What is missing of the Newton equations is the damping's pull, molecule by molecule F_ii·λ·step.
    missing = flat(gradient) - fisher @ flat(step)
    molecules = step.molecules.numel()
    unknowns = step.molecules.shape[1]
    own = fisher.diagonal()[:molecules] * damping[made.state.frame].repeat_interleave(unknowns)
    torch.testing.assert_close(missing[:molecules], own * flat(step)[:molecules], rtol=1e-5, atol=1e-8)
    calmer, _ = newton_step(
        linear, information, gradient, damping * torch.tensor([1, 10, 1]), iterations=400, tolerance=1e-10
    )
    same = made.state.frame != 1
    torch.testing.assert_close(step.molecules[same], calmer.molecules[same], rtol=1e-6, atol=1e-9)
    assert float(calmer.molecules[~same].abs().sum()) < float(step.molecules[~same].abs().sum())


def test_strong_damping_turns_the_step_down_the_slope_and_shortens_it(made: Scene) -> None:
    linear, likelihood, _ = problem(made)
    gradient, information = linear.gradient(likelihood), likelihood.information(linear.image)
    lengths = []
    for damping in (0.0, 1.0, 100.0):
        step, predicted = newton_step(
            linear, information, gradient, torch.full((3,), damping, dtype=torch.float64), iterations=100
        )
        assert bool((step.dot(gradient, made.state.frame) > 0).all())
        assert bool((predicted > 0).all())
        lengths.append(float(linear.push(step).square().sum()))
    assert lengths[0] > lengths[1] > lengths[2]


def test_frames_of_background_alone_take_a_step_too() -> None:
    made = scene(0, 2)
    likelihood = made.noisy()
    linear = LinearImage(
        made.psf, replace(made.state, coefficients=made.state.coefficients * 0.5), made.background, made.shape
    )
    step, predicted = newton_step(
        linear, likelihood.information(linear.image), linear.gradient(likelihood), torch.zeros(2)
    )
    assert step.molecules.shape == (0, 4)
    assert bool((predicted > 0).all())
    assert bool((step.background.mean((1, 2)) > 0).all())
