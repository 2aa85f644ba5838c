"""The spline background: its normal matrix in every form that the fit uses is that of its surface."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deepstorm3d.fitting.background import SplineBackground, share_left

SIZE = (18, 25)
SPACINGS = [8.0, math.inf]


def surface(spacing_px: float) -> tuple[SplineBackground, Tensor]:
    """A background and its basis as one matrix, (pixels, coefficients)."""
    background = SplineBackground(SIZE, spacing_px, torch.zeros(1, dtype=torch.float64))
    number = background.shape[0] * background.shape[1]
    units = torch.eye(number, dtype=torch.float64).view(number, *background.shape)
    return background, background.surface(units).flatten(1).mT


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("spacing_px", SPACINGS)
def test_gram_is_the_surface_and_back_and_gram_solve_undoes_it(spacing_px: float) -> None:
    background, basis = surface(spacing_px)
    coefficients = random(3, *background.shape)
    gram = background.gram(coefficients)
    torch.testing.assert_close(gram, background.adjoint(background.surface(coefficients)))
    torch.testing.assert_close(gram.flatten(1), coefficients.flatten(1) @ basis.mT @ basis)
    torch.testing.assert_close(background.gram_solve(gram), coefficients, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("spacing_px", SPACINGS)
def test_the_weighted_gram_is_the_normal_matrix_of_a_weighted_fit(spacing_px: float) -> None:
    background, basis = surface(spacing_px)
    weights = random(2, *SIZE)
    expected = torch.stack([basis.mT @ (weight.flatten()[:, None] * basis) for weight in weights])
    torch.testing.assert_close(background.weighted_gram(weights), expected)
    diagonal = background.squared_adjoint(weights).flatten(1)
    torch.testing.assert_close(diagonal, expected.diagonal(dim1=1, dim2=2))


@pytest.mark.parametrize("spacing_px", SPACINGS)
def test_the_basis_at_some_pixels_is_the_surface_there(spacing_px: float) -> None:
    background, _ = surface(spacing_px)
    coefficients = random(1, *background.shape)
    image = background.surface(coefficients)[0]
    place = torch.tensor([[0, 0], [17, 24], [3, 20], [9, 0]])
    values = (background.at(place, torch.zeros(len(place), dtype=torch.int64)) * coefficients).sum((1, 2))
    torch.testing.assert_close(values, image[place[:, 0], place[:, 1]])
    row, column = torch.tensor([[2, 3, 4], [15, 16, 17]]), torch.tensor([[0, 1], [23, 24]])
    down, across = background.under(row, column, torch.zeros(len(row), dtype=torch.int64))
    torch.testing.assert_close(down @ coefficients @ across.mT, image[row[:, :, None], column[:, None]])


def test_a_least_squares_fit_of_a_plane_returns_the_plane() -> None:
    # Cubic splines hold every polynomial up to the third degree.
    background, _ = surface(8.0)
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in SIZE), indexing="ij")
    plane = (3 + 0.5 * x - 0.2 * y)[None]
    fitted = background.surface(background.gram_solve(background.adjoint(plane)))
    torch.testing.assert_close(fitted, plane, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("spacing_px", [9.0, 100.0, math.inf])
def test_the_share_left_is_what_a_fitted_background_leaves(spacing_px: float) -> None:
    size, like = (70, 80), torch.zeros(1, dtype=torch.float64)
    background = SplineBackground(size, spacing_px, like)
    axis = torch.arange(15, dtype=torch.float64) - 7
    square = axis[:, None].square() + axis.square()
    images = torch.stack([(-square / (2 * sigma**2)).exp() for sigma in (1.0, 2.0, 4.0)])
    shares = []
    for down, across in [(row, column) for row in range(22, 31) for column in range(30, 39)]:
        frames = like.new_zeros(len(images), *size)
        frames[:, down : down + 15, across : across + 15] = images
        left = frames - background.surface(background.gram_solve(background.adjoint(frames)))
        shares.append(left.square().sum((1, 2)) / frames.square().sum((1, 2)))
    expected = torch.stack(shares).mean(0)
    assert share_left(images, spacing_px, size).tolist() == pytest.approx(expected.tolist(), abs=0.02)
