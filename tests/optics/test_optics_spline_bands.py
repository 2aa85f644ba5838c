"""Splines as products of matrices: the same numbers as their definitions give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.optics.spline_bands import SplineBands
from deepstorm3d.optics.spline_taps import MoreBlur, quintic, quintic_slope, with_blur

PATCH = 9
RANGES = [(1, (1.0, 1.0)), (2, (1.0, 1.0)), (1, (0.7, 1.4)), (2, (0.3, 1.0)), (2, (0.0, 0.4))]


def emitters(low: float, high: float) -> tuple[Tensor, Tensor]:
    """Offsets (N, 2) px, the largest that there are among them, and blurs (N,) px."""
    share = torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    offset = share[:, :2] - 0.5
    offset[0], offset[1] = 0.5, -0.5
    return offset, low + share[:, 2] * (high - low)


@pytest.mark.parametrize(("oversampling", "blur"), RANGES)
def test_each_pixel_takes_the_taps_of_the_blurred_spline(oversampling: int, blur: tuple[float, float]) -> None:
    more, (offset, sigma) = MoreBlur(*blur), emitters(*blur)
    bands = SplineBands(PATCH, oversampling, more).at_pixels(offset, sigma, slopes=2)
    distance = -offset[:, :, None] * oversampling - torch.arange(-3, 4)
    taps, slopes = quintic(distance), -oversampling * quintic_slope(distance)
    broader = torch.zeros_like(taps)
    if more.reach_px:
        filters, rising = more.filters(sigma)
        broader = with_blur(taps, rising, oversampling)
        taps, slopes = (with_blur(part, filters, oversampling) for part in (taps, slopes))
    for kind, expected in enumerate((taps, slopes, broader)):
        for pixel in range(PATCH):
            row = bands[:, :, kind, pixel]
            first = oversampling * pixel
            reached = row[:, :, first : first + expected.shape[2]]
            torch.testing.assert_close(reached, expected, rtol=0, atol=1e-11)
            assert int((row != 0).sum()) == int((reached != 0).sum())


def test_without_slopes_the_matrices_are_the_same() -> None:
    bands, (offset, sigma) = SplineBands(PATCH, 1, MoreBlur(0.7, 1.4)), emitters(0.7, 1.4)
    torch.testing.assert_close(
        bands.at_pixels(offset, sigma)[:, :, 0], bands.at_pixels(offset, sigma, slopes=2)[:, :, 0]
    )


def test_between_planes_a_cubic_spline_gives_back_lines_and_its_slope() -> None:
    bands = SplineBands(PATCH, 1, MoreBlur(1.0, 1.0))
    share = torch.linspace(0, 1, 11, dtype=torch.float64, requires_grad=True)
    weights, slopes = bands.between_planes(share)
    torch.testing.assert_close(weights.sum(1), torch.ones(11, dtype=torch.float64))
    torch.testing.assert_close(weights @ torch.arange(-1, 3).double(), share)
    (risen,) = torch.autograd.grad((weights * torch.tensor([1.0, -2.0, 5.0, 3.0])).sum(), share)
    torch.testing.assert_close(
        risen, slopes.detach() @ torch.tensor([1.0, -2.0, 5.0, 3.0], dtype=torch.float64)
    )
