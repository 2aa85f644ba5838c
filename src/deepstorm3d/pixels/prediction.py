"""Prediction of a pixel from its neighbours, given the finest detail that the optics transmit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["AROUND_PX", "FinestSpot", "PixelPredictor"]

AROUND_PX = 3
"""Distance within which the brightest neighbour of a pixel is searched, px."""
_REACH = 2  # neighbours up to this distance along either axis predict a pixel, px
# Ratio of noise variance to signal variance for which the weights are optimal. A smaller one would follow sharp
# spots more closely, but pass on more of the neighbours' noise.
_NOISE_TO_SIGNAL = 0.01
_FINE = 5  # points per pixel and axis at which the spot is computed
_DRAWN_PX = 10  # distance from its centre to which the spot is computed, px


@dataclass(frozen=True)
class FinestSpot:
    """The sharpest spot that an objective can form: an Airy disc, averaged over the area of a pixel.

    A phase mask, aberration or blur only makes spots wider.  wavelength, pixel_um: µm;
    na: numerical aperture.
    """

    wavelength: float
    na: float
    pixel_um: float

    def image(self) -> Tensor:
        """The spot in the middle of a grid `_FINE` times finer than the pixels: (n, n) float64."""
        axis = (
            torch.arange(2 * _DRAWN_PX * _FINE + 1, dtype=torch.float64) / _FINE - _DRAWN_PX
        ) * self.pixel_um
        v = (2 * torch.pi * self.na / self.wavelength * torch.hypot(axis[:, None], axis)).clamp(min=1e-6)
        airy = (2 * torch.special.bessel_j1(v) / v).square()
        return functional.avg_pool2d(airy[None], _FINE, stride=1, padding=_FINE // 2)[0]

    def covariance(self) -> Tensor:
        """Covariance of pixels for spots at random positions, relative to the variance: (9, 9)."""
        return _covariance(self)

    def leak(self, weights: Tensor) -> tuple[float, float]:
        """Largest deviation of a pixel below and above its prediction for a spot anywhere, both at least 0.

        weights: (24,) of the neighbours;  the unit is the brightest usable pixel within 3 pixels.
        """
        spot = self.image()
        side = spot.shape[-1] - 2 * _FINE * AROUND_PX
        kernel = _as_image(weights)
        rest, brightest = torch.zeros(side, side).double(), torch.zeros(side, side).double()
        for down, right in [(0, 0), *_offsets(AROUND_PX).tolist()]:
            top, left = _FINE * (AROUND_PX + down), _FINE * (AROUND_PX + right)
            moved = spot[top : top + side, left : left + side]
            if down == right == 0:
                rest += moved
                continue
            # A pixel farther than the neighbours used counts as usable if the nearest of these is.
            weight = kernel[_REACH + max(-_REACH, min(down, _REACH)), _REACH + max(-_REACH, min(right, _REACH))]
            if weight != 0:
                brightest = torch.maximum(brightest, moved)
            if max(abs(down), abs(right)) <= _REACH:
                rest -= weight * moved
        share = rest / brightest.clamp(min=1e-12)
        return max(0.0, -float(share.min())), max(0.0, float(share.max()))


@lru_cache(maxsize=8)
def _covariance(spot: FinestSpot) -> Tensor:
    image = spot.image()
    size = (2 * image.shape[0],) * 2
    spectrum = torch.fft.rfft2(image, size)
    whole = torch.fft.irfft2(spectrum.abs().square(), size)
    lags = _FINE * torch.arange(-2 * _REACH, 2 * _REACH + 1)
    return whole[lags][:, lags] / whole[0, 0]


def _offsets(reach: int) -> Tensor:
    """Rows and columns of the neighbours, (N, 2)."""
    line = torch.arange(-reach, reach + 1)
    both = torch.cartesian_prod(line, line)
    return both[(both != 0).any(1)]


def _as_image(weights: Tensor) -> Tensor:
    """Weights (24,) of the neighbours as an image: (5, 5), 0 in the middle."""
    side, middle = 2 * _REACH + 1, len(weights) // 2
    return torch.cat([weights[:middle], weights.new_zeros(1), weights[middle:]]).view(side, side)


class PixelPredictor:
    """Predicts every pixel of frames from the good pixels around it, with the variance of the prediction.

    It is the best linear prediction for the sharpest spots at random positions on a constant background with
    noise (ordinary kriging: Matheron, Econ. Geol. 58:1246, 1963). Near a border, and near excluded pixels, it
    uses the remaining neighbours. Overlapping molecules are no problem, since their image is a sum of spots.

    spot: of the microscope;  usable: (H, W) bool, pixels that may be used;  across: exclude a pixel's own
    column ("column") or row ("row"), to compare whole lines with those beside them.
    spread: (H, W) variance of pixel minus prediction, relative to the variance of a pixel.
    """

    def __init__(self, spot: FinestSpot, usable: Tensor, across: str = "") -> None:
        self.usable = usable
        offsets = _offsets(_REACH).to(usable.device)
        asked = torch.ones(len(offsets), dtype=torch.bool, device=usable.device)
        if across:
            asked = offsets[:, 1 if across == "column" else 0] != 0
        there, self._pixels, self._near = _with_neighbours_missing(usable, offsets, asked)
        # The first pattern is that of a pixel with all neighbours.
        patterns, which = torch.unique(torch.cat([asked[None], there]), dim=0, return_inverse=True)
        self._spot = spot
        self._patterns: list[tuple[bool, ...]] = [tuple(each) for each in patterns.tolist()]
        weights = torch.stack([_weights(spot, each) for each in self._patterns]).to(usable.device)
        self._kernel = _as_image(weights[which[0]]).float()
        self._weights = weights[which[1:]].float()
        self._pattern = which[:1].repeat(usable.numel())
        self._pattern[self._pixels] = which[1:]
        self.spread = (1 + weights.square().sum(1).float())[self._pattern].view(usable.shape)
        # Pixels without good neighbours get the median of the frame.
        self._lost = self._pixels[~there.any(1)]

    def leak(self, row: Tensor, column: Tensor) -> Tensor:
        """Largest deviation of pixels (N,) below and above their predictions, (N, 2): see `FinestSpot.leak`."""
        kinds, which = self._pattern[row * self.usable.shape[1] + column].unique(return_inverse=True)
        table = [_cached_leak(self._spot, self._patterns[kind]) for kind in kinds.tolist()]
        return torch.tensor(table, device=row.device).view(-1, 2)[which]

    def __call__(self, frames: Tensor) -> Tensor:
        """Predictions (B, H, W) for frames (B, H, W); values of pixels that are not usable are ignored."""
        clean = torch.where(self.usable, frames, 0.0)
        padded = functional.pad(clean[:, None], (_REACH,) * 4)
        predicted = functional.conv2d(padded, self._kernel[None, None].to(frames))[:, 0].contiguous()
        flat = predicted.flatten(1)
        values = clean.flatten(1)[:, self._near]
        flat[:, self._pixels] = (values * self._weights.to(frames)).sum(2)
        if len(self._lost):
            flat[:, self._lost] = frames[:, self.usable].median(1, keepdim=True).values
        return predicted


def _with_neighbours_missing(usable: Tensor, offsets: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For pixels that lack neighbours: which are usable (P, 24), the pixels (P,), the neighbours (P, 24)."""
    height, width = usable.shape
    good = functional.pad(usable.float()[None], (_REACH,) * 4)
    whole = functional.avg_pool2d(good, 2 * _REACH + 1, stride=1)[0] > 1 - 0.5 / (2 * _REACH + 1) ** 2
    # A pixel that is not usable itself may have all its neighbours.
    pixels = (~whole).flatten().nonzero()[:, 0]
    row, column = (pixels // width)[:, None] + offsets[:, 0], (pixels % width)[:, None] + offsets[:, 1]
    there = (good[0, row + _REACH, column + _REACH] > 0) & asked
    return there, pixels, row.clamp(0, height - 1) * width + column.clamp(0, width - 1)


@lru_cache(maxsize=4096)
def _cached_leak(spot: FinestSpot, there: tuple[bool, ...]) -> tuple[float, float]:
    return spot.leak(_weights(spot, there))


@lru_cache(maxsize=4096)
def _weights(spot: FinestSpot, pattern: tuple[bool, ...]) -> Tensor:
    """Weights (24,) float64 of the neighbours that the pattern of 24 marks as usable; they sum to 1."""
    there = torch.tensor(pattern)
    weights = torch.zeros(len(there), dtype=torch.float64)
    if not any(pattern):
        return weights
    offsets = _offsets(_REACH)[there]
    table, count = spot.covariance(), len(offsets)
    between = (offsets[:, None] - offsets[None] + 2 * _REACH).unbind(2)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[:count, :count] = table[between[0], between[1]] + _NOISE_TO_SIGNAL * torch.eye(
        count, dtype=torch.float64
    )
    system[count, count] = 0
    right = torch.ones(count + 1, dtype=torch.float64)
    right[:count] = table[offsets[:, 0] + 2 * _REACH, offsets[:, 1] + 2 * _REACH]
    weights[there] = torch.linalg.solve(system, right)[:count]
    return weights
