"""Joint refinement: it finds the truth, never makes a frame worse, and treats frames one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, Scene, exact_psf, nanometres, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds, Effort, Refined, refine
from deepstorm3d.fitting.state import JointState

BOUNDS = Bounds(DEPTH)


def fit(
    made: Scene, start: JointState, likelihood: Likelihood, *, settled: float = 0.05, bounds: Bounds = BOUNDS
) -> Refined:
    return refine(made.psf, start, likelihood, made.background, bounds, Effort(settled=settled))


def wild(made: Scene, number: int, seed: int) -> JointState:
    """Molecules and backgrounds that have nothing to do with the frames: some outside, two at one place."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(number, 4, generator=generator, dtype=torch.float64).to(made.state.xyz)
    side = torch.tensor([SIZE[1], SIZE[0], 1.0]).to(share) * MICROSCOPE.pixel_um
    xyz = (1.4 * share[:, :3] - 0.2) * side
    xyz[:, 2] = DEPTH[0] + share[:, 2] * (DEPTH[1] - DEPTH[0])
    if number > 2:
        xyz[1] = xyz[0]
    blur = None if made.state.blur_px is None else 0.5 + share[:, 0]
    return JointState(
        xyz=xyz,
        photons=10 ** (5 * share[:, 3]),
        frame=torch.arange(number) * made.state.frames // max(number, 1),
        coefficients=made.state.coefficients
        * 3
        * torch.rand(made.state.coefficients.shape, generator=generator),
        blur_px=blur,
    )


@settings(max_examples=15)
@given(st.integers(0, 12), st.integers(0, 1000), st.booleans(), st.booleans())
def test_no_start_however_wild_ends_worse_than_it_began(
    number: int, seed: int, blur: bool, double: bool
) -> None:
    made = scene(6, 2, blur=blur, seed=seed, dtype=torch.float64 if double else torch.float32)
    start, likelihood = wild(made, number, seed), made.noisy(seed)
    before = likelihood.deviance(expected_image(made.psf, start, made.background, made.shape))
    found = fit(made, start, likelihood)
    assert bool((found.deviance <= before).all())
    state = found.state
    after = likelihood.deviance(expected_image(made.psf, state, made.background, made.shape))
    torch.testing.assert_close(after, found.deviance, rtol=1e-5, atol=0)
    assert bool(torch.isfinite(state.xyz).all()) and bool((state.photons >= BOUNDS.photons).all())
    assert bool(((state.xyz[:, 2] >= DEPTH[0]) & (state.xyz[:, 2] <= DEPTH[1])).all())
    assert torch.equal(state.frame, start.frame)


@pytest.mark.parametrize("blur", [False, True], ids=["sharp", "blurred"])
def test_frames_without_noise_give_back_the_truth(blur: bool) -> None:
    made = scene(12, 3, blur=blur, seed=10)
    start = made.disturbed(0.04, 0.08)
    if blur:
        start = replace(start, blur_px=torch.ones(12, dtype=torch.float64))
    found = fit(made, start, Likelihood(made.image()), settled=1e-8)
    assert bool(found.settled.all())
    assert float(nanometres(found.state, made.state).abs().max()) < 0.3
    torch.testing.assert_close(found.state.photons, made.state.photons, rtol=2e-3, atol=0)
    surfaces = (made.background.surface(state.coefficients) for state in (found.state, made.state))
    torch.testing.assert_close(*surfaces, rtol=0, atol=0.05)
    if blur:
        torch.testing.assert_close(found.state.blur_px, made.state.blur_px, rtol=0, atol=2e-3)
    assert float(found.deviance.max()) < 1e-2


def test_the_exact_psf_is_fitted_as_well_as_a_table() -> None:
    made = scene(3, 1, psf=exact_psf(), seed=11)
    found = fit(made, made.disturbed(0.04, 0.06), Likelihood(made.image()), settled=1e-8)
    assert float(nanometres(found.state, made.state).abs().max()) < 0.3


def test_a_pair_a_pixel_apart_is_told_apart() -> None:
    made = scene(4, 2, seed=12)
    xyz = torch.tensor(
        [[2.0, 2.0, 0.3], [2.12, 2.05, 0.8], [1.5, 2.5, 0.9], [1.6, 2.4, 0.6]], dtype=torch.float64
    )
    made = replace(made, state=replace(made.state, xyz=xyz))
    found = fit(made, made.disturbed(0.03, 0.06, seed=1), Likelihood(made.image()), settled=1e-8)
    assert float(nanometres(found.state, made.state).abs().max()) < 0.3
    torch.testing.assert_close(found.state.photons, made.state.photons, rtol=2e-3, atol=0)


def test_a_molecule_on_the_edge_is_found_by_the_part_of_it_that_shows() -> None:
    made = scene(2, 1, seed=13)
    xyz = torch.tensor([[0.05, 2.0, 0.4], [3.0, SIZE[0] * 0.11 - 0.1, 0.7]], dtype=torch.float64)
    made = replace(made, state=replace(made.state, xyz=xyz))
    found = fit(made, made.disturbed(0.03, 0.06), Likelihood(made.image()), settled=1e-8)
    assert float(nanometres(found.state, made.state).abs().max()) < 0.5


def test_noise_leaves_a_deviance_of_one_for_each_pixel_less_the_unknowns() -> None:
    made = scene(48, 12, seed=14, level=60.0)
    found = fit(made, made.disturbed(0.04, 0.08), made.noisy(1))
    unknowns = 4 * 4 + made.background.shape[0] * made.background.shape[1]
    pixels = SIZE[0] * SIZE[1]
    assert bool(found.settled.all())
    # 12 frames: the mean is known to sqrt(2/(12·pixels)) = 0.9 %; shot noise of 60 photons adds 0.3 %.
    assert float(found.deviance.mean()) / (pixels - unknowns) == pytest.approx(1.003, abs=0.03)


def test_frames_refined_together_and_alone_agree() -> None:
    made = scene(12, 3, seed=15)
    likelihood, start = made.noisy(2), made.disturbed(0.05, 0.1)
    together = fit(made, start, likelihood)
    for frame in range(3):
        rows = torch.tensor([frame])
        alone = fit(made, start.select(rows), likelihood.select(rows))
        apart = nanometres(alone.state, together.state.select(rows))
        assert float(apart.abs().max()) < 0.05
        torch.testing.assert_close(alone.deviance, together.deviance[rows], rtol=1e-5, atol=1e-3)


def test_a_hopeless_frame_does_not_spoil_the_others() -> None:
    made = scene(8, 2, seed=16)
    likelihood, start = made.noisy(3), made.disturbed(0.04, 0.08)
    bad = start.frame == 1
    spoilt = replace(
        start,
        xyz=torch.where(bad[:, None], wild(made, 8, 3).xyz, start.xyz),
        photons=torch.where(bad, 1e5, start.photons),
    )
    one, other = fit(made, start, likelihood), fit(made, spoilt, likelihood)
    # A frame is done when a step lowers its deviance by less than 0.05: a tenth of a nanometre.
    assert float(nanometres(one.state.rows(~bad), other.state.rows(~bad)).abs().max()) < 0.3


def test_an_empty_list_leaves_the_background() -> None:
    made = scene(0, 2, seed=17)
    start = replace(made.state, coefficients=torch.full_like(made.state.coefficients, 5.0))
    found = fit(made, start, Likelihood(made.image()), settled=1e-8)
    assert len(found.state) == 0
    torch.testing.assert_close(found.state.coefficients, made.state.coefficients, rtol=1e-3, atol=1e-3)


def test_frames_without_molecules_among_others_are_fine() -> None:
    made = scene(4, 3, seed=18)
    made = replace(made, state=replace(made.state, frame=torch.tensor([0, 0, 2, 2])))
    found = fit(made, made.disturbed(0.03, 0.06), Likelihood(made.image()), settled=1e-8)
    assert float(nanometres(found.state, made.state).abs().max()) < 0.3


def test_depths_stay_within_their_bounds_and_the_rest_still_settles() -> None:
    # Depths of 0.05 and 1.15 µm, and bounds that allow 0.3 to 0.8 µm.
    made = scene(3, 3, seed=19)
    xyz = made.state.xyz.clone()
    xyz[:, 2] = torch.tensor([0.05, 0.5, 1.15])
    made = replace(made, state=replace(made.state, xyz=xyz))
    likelihood, bounds = Likelihood(made.image()), Bounds((0.3, 0.8))
    beside = made.disturbed(0.03, 0.0)
    starts = [
        replace(beside, xyz=torch.cat([beside.xyz[:, :2], torch.full_like(xyz[:, 2:], 0.6)], 1)),
        replace(made.state, xyz=torch.cat([xyz[:, :2], xyz[:, 2:].clamp(0.3, 0.8)], 1)),
    ]
    found, other = (fit(made, start, likelihood, settled=1e-3, bounds=bounds) for start in starts)
    assert bool(found.settled.all() and other.settled.all())
    assert found.state.xyz[:, 2].tolist() == pytest.approx([0.3, 0.5, 0.8], abs=1e-4)
    # The best place within the bounds is one place, wherever the search begins.
    torch.testing.assert_close(found.deviance, other.deviance, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.state.xyz, other.state.xyz, rtol=0, atol=3e-3)


def test_a_molecule_pressed_against_its_bound_holds_up_no_other() -> None:
    made = scene(8, 1, seed=24)
    xyz = made.state.xyz.clone()
    xyz[0, 2], xyz[1:, 2] = 0.0, 0.4 + 0.4 * xyz[1:, 2]
    made = replace(made, state=replace(made.state, xyz=xyz))
    bounds, likelihood = Bounds((0.3, 1.0)), Likelihood(made.image())
    start = made.disturbed(0.04, 0.06)
    start = replace(start, xyz=torch.cat([start.xyz[:, :2], start.xyz[:, 2:].clamp(0.3, 1.0)], 1))
    found = fit(made, start, likelihood, bounds=bounds)
    assert bool(found.settled.all())
    assert float(found.state.xyz[0, 2]) == pytest.approx(0.3, abs=1e-6)
    further = refine(made.psf, found.state, likelihood, made.background, bounds, Effort(300, 1e-9))
    assert float(found.deviance - further.deviance) < 0.5
    moved = nanometres(found.state, further.state)[1:]
    assert float(moved.abs().max()) < 2


def test_pixels_without_weight_do_not_touch_the_fit() -> None:
    made = scene(4, 1, seed=21)
    frames = made.image()
    weight = torch.ones_like(frames)
    weight[0, 10:14, 20:24] = 0
    spoilt = torch.where(weight > 0, frames, 5000.0)
    found = fit(made, made.disturbed(0.03, 0.06), Likelihood(spoilt, weight=weight), settled=1e-8)
    assert float(nanometres(found.state, made.state).abs().max()) < 0.3


def test_better_takes_from_a_trial_only_the_frames_that_cost_less() -> None:
    made = scene(9, 3, seed=22)
    likelihood = made.noisy(4)
    now = fit(made, made.disturbed(0.05, 0.1), likelihood)
    # A trial of frames 0 and 2: one a molecule short, the other moved away.
    rows = torch.tensor([0, 2])
    part = now.state.select(rows)
    short = part.rows(torch.arange(len(part)) != 0)
    moved = replace(short, photons=short.photons * 1.5)
    image = expected_image(made.psf, moved, made.background, (2, *SIZE))
    trial = Refined(moved, likelihood.select(rows).deviance(image), torch.ones(2, dtype=torch.bool))
    same = now.better(trial, rows, lambda fitted: fitted.deviance)
    torch.testing.assert_close(same.state.xyz, now.state.xyz)
    assert torch.equal(same.deviance, now.deviance)
    # Where only the number of molecules counts, frame 0 is taken and frame 2 is not.
    fewer = now.better(trial, rows, lambda fitted: fitted.state.counts.double())
    assert fewer.state.counts.tolist() == [2, 3, 3]
    torch.testing.assert_close(
        fewer.state.select(torch.tensor([1])).xyz, now.state.select(torch.tensor([1])).xyz
    )
    assert fewer.deviance[0] == trial.deviance[0]


def test_a_gain_of_nothing_ends_the_search() -> None:
    made = scene(4, 1, seed=23)
    found = fit(made, made.state, Likelihood(made.image()))
    assert bool(found.settled.all())
    assert float(nanometres(found.state, made.state).abs().max()) < 1e-3
    assert math.isclose(float(found.deviance), 0, abs_tol=1e-6)
