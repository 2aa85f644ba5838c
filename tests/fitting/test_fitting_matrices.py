"""Explicit Fisher matrices of many frames: those of dense derivatives, in any band of pixels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, SIZE, Scene, nanometres, scene
from torch import Tensor

from deepstorm3d.fitting import matrices
from deepstorm3d.fitting.linear import LinearImage, Unknowns
from deepstorm3d.fitting.matrices import Order, damped_steps, fisher_matrices
from deepstorm3d.fitting.refine import Bounds, Effort, refine, refine_together


def uneven() -> Scene:
    """Four frames with 3, 0, 1 and 2 molecules, some across the edges."""
    made = scene(6, 4, blur=True, seed=3)
    xyz = made.state.xyz.clone()
    xyz[1] = xyz[0] + torch.tensor([0.15, -0.1, 0.2], dtype=torch.float64)
    xyz[2, 0], xyz[3, 1] = 0.02, SIZE[0] * 0.11 + 0.3
    return replace(made, state=replace(made.state, xyz=xyz, frame=torch.tensor([0, 0, 0, 2, 3, 3])))


def order_of(made: Scene) -> Order:
    return Order.of(made.state.frame, 5, made.state.coefficients)


def dense(made: Scene, linear: LinearImage, order: Order) -> Tensor:
    """Derivatives (B, n, pixels) of each frame, one unknown after the other."""
    columns = []
    for unknown in range(order.size):
        vector = torch.zeros(order.shape[0], order.size, dtype=torch.float64)
        vector[:, unknown] = 1
        columns.append(linear.push(Unknowns(*order.unknowns(vector))).flatten(1))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("pixels", [2**29, 4 * 15 * SIZE[1] * 7, 1], ids=["whole", "bands", "rows"])
def test_the_matrices_are_those_of_dense_derivatives(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = uneven()
    linear, order = made.linear(), order_of(made)
    information = made.noisy().information(linear.image)
    monkeypatch.setattr(matrices, "_DERIVATIVES", pixels)
    found = fisher_matrices(linear, information, order)
    jacobian = dense(made, linear, order)
    torch.testing.assert_close(found, (jacobian * information.flatten(1)[:, None]) @ jacobian.mT)


def test_unknowns_keep_their_places() -> None:
    made = uneven()
    order = order_of(made)
    assert (order.most, order.molecules) == (3, 15)
    molecules = torch.arange(30.0).view(6, 5)
    background = torch.arange(float(made.state.coefficients.numel())).view_as(made.state.coefficients)
    vector = order.vector(molecules, background)
    assert vector[2, :5].tolist() == molecules[3].tolist()
    assert not vector[1, :15].any()
    back = order.unknowns(vector)
    assert torch.equal(back[0], molecules) and torch.equal(back[1], background)
    # The frames 2 and 3 alone.
    frames, rows = torch.tensor([2, 3]), torch.tensor([3, 4, 5])
    part = order.select(frames, made.state.frame, rows)
    assert torch.equal(part.vector(molecules[rows], background[frames]), vector[frames])


def test_a_damped_step_solves_the_damped_equations() -> None:
    made = uneven()
    linear, order, likelihood = made.linear(), order_of(made), made.noisy()
    matrix = fisher_matrices(linear, likelihood.information(linear.image), order)
    gradient = linear.gradient(likelihood)
    right = order.vector(gradient.molecules, gradient.background)
    damping = torch.tensor([1e-3, 0.1, 3.0, 100.0], dtype=torch.float64)
    step = damped_steps(matrix, right, damping)
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    left = (matrix @ step[:, :, None])[:, :, 0] + (damping[:, None] + 1e-6) * diagonal * step
    torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)
    assert not step[1, :15].any()


def test_a_frame_too_large_for_its_matrix_is_fitted_by_conjugate_gradients_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = scene(8, 2, seed=15)
    likelihood, start, bounds = made.noisy(2), made.disturbed(0.04, 0.08), Bounds(DEPTH)
    effort = Effort(settled=1e-3, tolerance=1e-3)
    small = refine(made.psf, start, likelihood, made.background, bounds, effort)
    monkeypatch.setattr(matrices, "_MOST_PRODUCTS", 0)
    monkeypatch.setattr("deepstorm3d.fitting.refine.climb", None)
    large = refine(made.psf, start, likelihood, made.background, bounds, effort)
    torch.testing.assert_close(small.deviance, large.deviance, rtol=0, atol=0.01)
    assert float(nanometres(small.state, large.state).abs().max()) < 1.0
    again = refine_together(made.psf, start, likelihood, made.background, bounds, effort)
    assert torch.equal(again.state.xyz, large.state.xyz)
