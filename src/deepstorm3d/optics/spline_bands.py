"""The splines of a tabulated image as products of matrices: few operations for any number of emitters.

It computes the same as `spline_taps` does from the definitions. On a GPU each operation takes some
microseconds, however little it computes: polynomials and filters are products with constant matrices here.
"""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor, nn

from .spline_taps import DEGREE, MoreBlur

__all__ = ["SplineBands"]

_REACH = 3  # samples on each side of a sample that its quintic spline reaches
# A cubic spline between two samples: coefficients of the powers 0 … 3 of the place, for the four around it.
_CUBIC = [
    [1 / 6, 2 / 3, 1 / 6, 0],
    [-1 / 2, 0, 1 / 2, 0],
    [1 / 2, -1, 1 / 2, 0],
    [-1 / 6, 1 / 2, -1 / 2, 1 / 6],
]


class SplineBands(nn.Module):
    """Evaluates the splines of a table between its planes, and at the pixels of a patch.

    A quintic spline is a sum of truncated powers (n − u)⁵ of the emitter's offset u (de Boor 1978), and the
    filter of its blur σ is a sum of exp(−n²/2σ²) over another such sum (`MoreBlur.of_gaussians`).

    patch_px: pixels along an axis;  oversampling: samples a pixel;  more_blur: that the planes do not contain.
    """

    _cubic: Tensor
    _filters: Tensor
    _exponents: Tensor
    _knots: Tensor
    _band: Tensor

    def __init__(self, patch_px: int, oversampling: int, more_blur: MoreBlur) -> None:
        super().__init__()
        self.oversampling = oversampling
        self.blur_range = max(more_blur.low, 1e-3), max(more_blur.high, 1e-3)
        cubic = torch.tensor(_CUBIC, dtype=torch.float64)
        rising = torch.cat([cubic[1:] * torch.tensor([[1], [2], [3]]), torch.zeros(1, 4)])
        gaussians = more_blur.of_gaussians()
        spline = _truncated_powers(gaussians.shape[1] - 1, oversampling)
        filters = torch.cat([gaussians[:, :-1] @ spline.flatten(1), gaussians[:, -1:]], 1)
        squares = torch.arange(len(gaussians), dtype=torch.float64).square()
        constants = {
            "cubic": torch.cat([cubic, rising], 1),
            "filters": torch.cat([filters, squares[:, None] * filters], 1),
            "exponents": squares / -2,
            "knots": torch.arange(2 * _REACH + 1, dtype=torch.float64),
            "band": _band(patch_px, oversampling, spline.shape[2] - 1),
        }
        for name, values in constants.items():
            self.register_buffer(f"_{name}", values, persistent=False)

    def between_planes(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the four planes around each emitter, and their derivatives: (N, 4) each.

        share: (N,) of the way from the second of the planes to the third.
        """
        powers = share[:, None] ** self._knots[:4].to(share)
        weights, slopes = (powers @ self._cubic.to(share)).chunk(2, 1)
        return weights, slopes

    def at_pixels(
        self, offset: Tensor, blur_px: Tensor, *, slopes: int = 0, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Matrices (N, 2, 1, h, side) along x and y that evaluate the spline of `side` samples at h pixels.

        offset: (N, 2) px from the centre of the patch's middle pixel;  blur_px: (N,), limited to the range;
        slopes: 1 adds the derivatives with respect to the offset, 2 also those to the blur, per px:
        (N, 2, 1 + slopes, h, side);  dtype: of the matrices, None: that of `offset`.
        """
        sigma = blur_px.double().clamp(*self.blur_range)[:, None]
        gaussians = torch.exp(self._exponents.double() / sigma.square())
        # Each half: the coefficients of the truncated powers, and by what they are divided.
        mixed, rising = (gaussians @ self._filters.double()).chunk(2, 1)
        pieces, total = mixed[:, :-1] / mixed[:, -1:], mixed[:, -1:]
        samples = offset.double()[:, :, None]
        left = torch.sub(self._knots.double(), samples, alpha=self.oversampling).clamp(min=0)
        fourth = left**4
        fifth = fourth * left

        def taps(powers: Tensor, pieces: Tensor) -> Tensor:
            return powers @ pieces.unflatten(1, (len(self._knots), -1))

        found = [taps(fifth, pieces)]
        if slopes:
            broader = (rising[:, :-1] - pieces * rising[:, -1:]) / (total * sigma**3)
            found += [taps(fourth * (-DEGREE * self.oversampling), pieces), taps(fifth, broader)]
        # The matrices are many times larger than their taps: these are cut and converted before.
        return torch.stack(found[: 1 + slopes], 2).to(dtype or offset.dtype)[..., self._band]


def _truncated_powers(filters: int, oversampling: int) -> Tensor:
    """The quintic spline of sample m, moved by k pixels, as a sum of (n − u)⁵: (filters, 7, samples + 1).

    u: offset of the emitter, at most one sample. The last sample is 0 everywhere.
    """
    number = 2 * _REACH + 1
    powers = torch.zeros(filters, number, number + oversampling * (filters - 1) + 1, dtype=torch.float64)
    for n in range(number):
        for sample in range(number - n):
            weight = (-1) ** (number - 1 - n - sample) * comb(DEGREE + 1, n + sample)
            for moved in range(filters):
                powers[moved, n, sample + oversampling * moved] = weight / 120
    return powers


def _band(patch_px: int, oversampling: int, taps: int) -> Tensor:
    """The tap with which each pixel takes each sample, the one after the last for none: (h, side) int64."""
    side = oversampling * (patch_px - 1) + taps
    number = torch.arange(side) - oversampling * torch.arange(patch_px)[:, None]
    return torch.where((number >= 0) & (number < taps), number, taps)
