"""Joint bounds: the inverse of the whole Fisher matrix, whatever way it is put together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, Scene, scene, table
from torch import Tensor

from deepstorm3d.fitting import information as module
from deepstorm3d.fitting import matrices
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.information import joint_bounds, joint_covariances
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage, Unknowns
from deepstorm3d.fitting.state import JointState
from deepstorm3d.optics.fisher import crlb


def bounds(made: Scene) -> tuple[Tensor, Tensor]:
    linear = made.linear()
    return joint_bounds(linear, Likelihood(linear.image).information(linear.image))


def dense_sigma(made: Scene, frame: int, *, with_background: bool = True) -> tuple[Tensor, Tensor]:
    """σ of a frame's molecules and of its background's pixels, from a Jacobian pushed out unit by unit."""
    linear, rows = made.linear(), (made.state.frame == frame).nonzero()[:, 0]
    zero = Unknowns(
        torch.zeros(len(made.state), linear.jacobian.shape[1], dtype=torch.float64),
        torch.zeros_like(made.state.coefficients),
    )
    columns = []
    for row in rows.tolist():
        for unknown in range(zero.molecules.shape[1]):
            molecules = zero.molecules.clone()
            molecules[row, unknown] = 1
            columns.append(linear.push(Unknowns(molecules, zero.background))[frame].flatten())
    known = len(columns)
    for spline in range(zero.background[0].numel() if with_background else 0):
        background = zero.background.clone()
        background[frame].view(-1)[spline] = 1
        columns.append(linear.push(Unknowns(zero.molecules, background))[frame].flatten())
    jacobian = torch.stack(columns, 1)
    # Whitened and solved by QR, which does not square the condition number.
    _, triangle = torch.linalg.qr(jacobian / linear.image[frame].flatten().sqrt()[:, None])
    inverse = torch.linalg.inv(triangle)
    covariance = inverse @ inverse.mT
    sigma = covariance.diagonal()[:known].sqrt().view(len(rows), -1)
    smooth = jacobian[:, known:]
    return sigma, ((smooth @ covariance[known:, known:]) * smooth).sum(1).sqrt().view(SIZE)


@pytest.mark.parametrize("blur", [False, True])
def test_the_bounds_are_those_of_the_whole_dense_matrix(blur: bool) -> None:
    made = scene(12, 2, blur=blur, seed=1)
    sigma, level = bounds(made)
    for frame in range(2):
        rows = made.state.frame == frame
        wanted, everywhere = dense_sigma(made, frame)
        torch.testing.assert_close(sigma[rows], wanted, rtol=1e-3, atol=0)
        place = (made.state.xyz[rows, :2] / MICROSCOPE.pixel_um).round().long()
        torch.testing.assert_close(level[rows], everywhere[place[:, 1], place[:, 0]], rtol=1e-3, atol=0)


def test_one_molecule_on_a_level_has_the_bound_of_one_emitter() -> None:
    psf, pixel = table(), MICROSCOPE.pixel_um
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(9, 3, generator=generator, dtype=torch.float64)
    # Within the middle pixel of a frame as large as the patch.
    xyz = torch.cat([(10 + 0.9 * (share[:, :2] - 0.5)) * pixel, share[:, 2:] * DEPTH[1]], 1)
    photons = torch.linspace(1000, 30_000, 9, dtype=torch.float64)
    level = torch.linspace(5, 150, 9, dtype=torch.float64)
    background = SplineBackground((21, 21), math.inf, xyz)
    state = JointState(xyz, photons, torch.arange(9), level[:, None, None])
    linear = LinearImage(psf, state, background, (9, 21, 21))
    sigma, smooth = joint_bounds(linear, 1 / linear.image)
    alone = crlb(psf, xyz, photons, level)
    torch.testing.assert_close(torch.cat([sigma, smooth[:, None]], 1), alone, rtol=1e-4, atol=0)


@pytest.mark.parametrize("side", [7, 16, 40])
def test_the_size_of_the_tiles_changes_nothing(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(14, 2, blur=True, seed=2)
    whole = bounds(made)
    # As if the frames were too large for their matrices to be formed together.
    monkeypatch.setattr(matrices, "_MOST_PRODUCTS", 0)
    monkeypatch.setattr(module, "_TILE_PX", side)
    tiled = bounds(made)
    torch.testing.assert_close(tiled[0], whole[0], rtol=1e-9, atol=0)
    torch.testing.assert_close(tiled[1], whole[1], rtol=1e-9, atol=0)


def test_a_neighbour_only_costs_precision_and_a_distant_one_nothing() -> None:
    made = scene(1, 1, spacing_px=math.inf)
    xyz = torch.tensor([[1.0, 2.0, 0.5], [1.2, 2.1, 0.6], [4.2, 2.0, 0.5]], dtype=torch.float64)
    sigmas = []
    for rows in ([0], [0, 1], [0, 2]):
        state = JointState(
            xyz[rows],
            torch.full((len(rows),), 5000.0).double(),
            torch.zeros(len(rows)).long(),
            made.state.coefficients,
        )
        sigmas.append(bounds(replace(made, state=state))[0][0])
    alone, crowded, apart = sigmas
    assert bool((crowded >= alone).all())
    assert float(crowded[2] / alone[2]) > 1.2
    torch.testing.assert_close(apart, alone, rtol=0.01, atol=0)


def test_an_unknown_background_only_costs_precision() -> None:
    made = scene(8, 1, seed=4)
    known, unknown = dense_sigma(made, 0, with_background=False)[0], bounds(made)[0]
    assert bool((unknown >= known * (1 - 1e-6)).all())
    assert bool((unknown[:, 3] > 1.02 * known[:, 3]).any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_molecule_far_outside_its_frame_has_a_large_finite_sigma_and_harms_no_other(
    dtype: torch.dtype,
) -> None:
    made = scene(5, 1, seed=5, dtype=dtype)
    without = bounds(made)
    outside = made.state.with_rows(
        torch.tensor([[60.0, -40.0, 0.5]], dtype=dtype),
        torch.tensor([5000.0], dtype=dtype),
        torch.zeros(1, dtype=torch.int64),
    )
    sigma, level = bounds(replace(made, state=outside))
    assert bool(torch.isfinite(sigma).all()) and bool(torch.isfinite(level).all())
    assert bool((sigma[5] > 1e3).all())
    torch.testing.assert_close(sigma[:5], without[0], rtol=1e-3, atol=0)
    torch.testing.assert_close(level[:5], without[1], rtol=1e-3, atol=0)


def test_single_precision_agrees_to_a_percent() -> None:
    double, single = bounds(scene(12, 1, seed=6)), bounds(scene(12, 1, seed=6, dtype=torch.float32))
    torch.testing.assert_close(single[0].double(), double[0], rtol=0.01, atol=0)


def test_frames_without_molecules_have_a_background_and_no_bounds() -> None:
    made = scene(4, 2, seed=7)
    state = replace(made.state, frame=torch.full((4,), 1))
    sigma, _ = bounds(replace(made, state=state))
    alone, _ = bounds(replace(made, state=replace(state.select(torch.tensor([1])))))
    torch.testing.assert_close(sigma, alone)
    sigma, level = bounds(scene(0, 2))
    assert sigma.shape == (0, 4)
    assert level.shape == (0,)


def test_covariances_are_symmetric_positive_and_in_order_of_frame() -> None:
    made = scene(7, 3, seed=8)
    linear = made.linear()
    frames = []
    for frame, covariance in joint_covariances(linear, 1 / linear.image):
        frames.append(frame)
        number = 4 * int((made.state.frame == frame).sum()) + made.state.coefficients[0].numel()
        assert covariance.shape == (number, number)
        scale = covariance.diagonal().rsqrt()
        unit = covariance * scale[:, None] * scale
        torch.testing.assert_close(unit, unit.mT, rtol=0, atol=1e-6)
        assert float(torch.linalg.eigvalsh(unit).min()) > 0
    assert frames == [0, 1, 2]
