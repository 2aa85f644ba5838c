"""Distinguishes lobes of a bead from a neighbour: a neighbour does not move between slices, lobes do.

If a second bead lies at a distance d, each slice contains its pattern twice, d apart, and its autocorrelation
has a peak at d. Lobes of one bead are d apart in some slices only. This needs no model of the bead.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["echo", "without_lobes"]

# Fraction of the slices that may lack the double pattern: the lower quartile over the slices is used.
_FEW = 0.25
# Power of a double pattern above which it is two beads: single beads with real Tetrapod, learned, CRLB and
# astigmatic masks reach 0.03, pairs of them 0.05 to 0.3.
_TWICE = 0.04
# Shorter distances are within the width of a spot, px.
_SHORTEST = 5
# Slices dimmer than this fraction of the brightest are not used.
_BRIGHT = 0.1
# Spots nearer than this fraction of a bead's square disturb each other.
_NEAR = 0.75


def without_lobes(centre: Tensor, slices: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Spots without those that are lobes of a brighter one, which is moved to the centre of its light.

    centre: (K, 2) px, column and row, the brightest first;  slices: (G, H, W) means of successive slices;
    side: of the square in which a bead must be alone, px.
    Returns the positions (B, 2) of the remaining spots, and their numbers, (B,).
    """
    places: list[list[int]] = centre.tolist()
    lobes: set[int] = set()
    for first, place in enumerate(places):
        near = [
            other
            for other in range(first + 1, len(places))
            if other not in lobes and _apart(places[other], place) < _NEAR * side
        ]
        if first in lobes or not near:
            continue
        window = _cut(slices, place, side // 2)
        if echo(window) < _TWICE:
            lobes |= set(near)
            places[first] = _middle(window.mean(0), place, side // 2)
    kept = [k for k in range(len(places)) if k not in lobes]
    left = torch.tensor(kept, dtype=torch.int64)
    return torch.tensor(places, dtype=torch.int64).reshape(-1, 2)[left], left


def _apart(one: list[int], other: list[int]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _cut(slices: Tensor, middle: list[int], half: int) -> Tensor:
    column, row = middle
    return slices[:, max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]


def echo(images: Tensor) -> float:
    """Power of a pattern that occurs twice, at one distance, in most slices.

    images: (G, h, w).  For each image the autocorrelation, 1 at distance 0, minus its median over all
    directions at the same distance; then the lower quartile over the slices, and the greatest value over all
    distances.
    """
    level = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1).median(1).values
    light = images - level[:, None, None]
    total = light.sum((1, 2))
    if not float(total.max()) > 0:
        return 0.0
    light = light[total >= _BRIGHT * total.max()]
    height, width = images.shape[1:]
    padded = (2 * height, 2 * width)
    power = torch.fft.rfft2(light, padded).abs().square()
    own = torch.fft.irfft2(power, padded)
    own = own / own[:, :1, :1].clamp(min=1e-12)
    down, across = (torch.fft.fftfreq(count, 1 / count) for count in padded)
    distance = torch.hypot(down[:, None], across).round().long()
    best = 0.0
    for length in range(_SHORTEST, int(_NEAR * min(height, width))):
        ring = own[:, distance == length]
        stands_out = ring - ring.median(1, keepdim=True).values
        best = max(best, float(stands_out.quantile(_FEW, dim=0).max()))
    return best


def _middle(image: Tensor, place: list[int], half: int) -> list[int]:
    """Column and row of the centroid of the bright pixels in an image that was cut around a position."""
    light = image - image.median()
    light = (light - 0.1 * light.max()).clamp(min=0)
    total = light.sum().clamp(min=1e-12)
    column = float((light.sum(0) * torch.arange(light.shape[1])).sum() / total)
    row = float((light.sum(1) * torch.arange(light.shape[0])).sum() / total)
    return [max(0, place[0] - half) + round(column), max(0, place[1] - half) + round(row)]
