"""Fourier ring and shell correlation: the finest scale at which two halves of a list show the same structure.

Nieuwenhuizen et al. 2013 (Nature Methods 10, 557) for rings, Banterle et al. 2013 (J. Struct. Biol. 183,
363) for shells. The halves are made of whole blocks of frames. If single localizations were assigned at random,
a molecule that is bright in several neighbouring frames would be in both halves and correlate with itself, and
the resolution would come out too good. A molecule that blinks again much later still has this effect
(`reappearing` tells).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..brief import Brief
from ..errors import InputError

__all__ = ["THRESHOLD", "Correlation", "Grid", "block_halves", "correlate", "slabs", "smoothed"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

THRESHOLD = 1 / 7
"""Correlation below which the two halves no longer agree."""

# Width of the smoothing window, as a fraction of the number of rings.
_SPAN = 0.05
# Least width of the smoothing window, rings.
_FEWEST_RINGS = 7
# Width over which the window falls to 0 at the edges of a tile, as a fraction of its side.
_FADE = 0.125
# Fewest localizations in a tile that is used.
_FEWEST_IN_TILE = 20
# Distance of a slab from the edge of its first tile, so that rounding puts no point into the one before, µm.
_OFF_EDGE_UM = 1e-6
# Halves agree where their curve is above the threshold by this many standard deviations of unrelated halves.
_SURE = 3.0


@dataclass(frozen=True)
class Grid:
    """Tiles in which points are counted; each is transformed alone, so memory is that of one tile.

    pixel_um: (D,) side of a pixel;  shape: (D,) pixels of a tile;  most: number of tiles used, the fullest
    ones;  begin_um: where a tile begins along the first axis, None: the tiles are centred on the points.
    """

    pixel_um: tuple[float, ...]
    shape: tuple[int, ...]
    most: int
    begin_um: float | None = None

    @property
    def nyquist(self) -> float:
        """Highest frequency that is sampled on every axis, 1/µm."""
        return 0.5 / max(self.pixel_um)

    def rings(self) -> tuple[NDArray[np.intp], int]:
        """Number of the ring of every frequency of the half transform, and how many rings there are."""
        step = 1 / max(size * pixel for size, pixel in zip(self.shape, self.pixel_um, strict=True))
        square = np.zeros((1,) * len(self.shape), dtype=np.float32)
        for axis, (size, pixel) in enumerate(zip(self.shape, self.pixel_um, strict=True)):
            last = axis == len(self.shape) - 1
            along = np.fft.rfftfreq(size, pixel) if last else np.fft.fftfreq(size, pixel)
            square = square + (
                along.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(self.shape))]) ** 2
            )
        number = int(self.nyquist / step)
        ring = np.rint(np.sqrt(square) / np.float32(step)).astype(np.intp)
        return np.minimum(ring, number), number

    def frequencies(self) -> Floats:
        """Middle of each ring, 1/µm."""
        step = 1 / max(size * pixel for size, pixel in zip(self.shape, self.pixel_um, strict=True))
        return np.arange(int(self.nyquist / step), dtype=np.float64) * step


@dataclass(frozen=True, repr=False)
class Correlation(Brief):
    """Correlation of the halves of a list, ring by ring, for several random halvings.

    frequency: (R,) 1/µm;  raw, smooth: (S, R), one row for each halving;  noise: (R,) standard deviation of the
    smooth curve of two unrelated halves;  nyquist: of the pixels, 1/µm.
    """

    frequency: Floats
    raw: Floats
    smooth: Floats
    noise: Floats
    nyquist: float

    @property
    def resolutions_um(self) -> list[float | None]:
        """For each halving, 1 / (frequency at which the curve falls below 1/7); None where it never does."""
        return [self._crossing(curve) for curve in self.smooth]

    @property
    def resolution_um(self) -> float | None:
        """Mean over the halvings; None where one of them has no resolution."""
        told = [value for value in self.resolutions_um if value is not None]
        return float(np.mean(told)) if len(told) == len(self.smooth) else None

    @property
    def spread_um(self) -> float | None:
        """Standard deviation over the halvings; None where there is no resolution or one halving."""
        if self.resolution_um is None or len(self.smooth) < 2:
            return None
        return float(np.std([value for value in self.resolutions_um if value is not None], ddof=1))

    @property
    def status(self) -> str:
        """``measured``; or why there is no number: ``never above``, ``beyond the pixels`` or ``unsettled``."""
        if self.resolution_um is not None:
            return "measured"
        agree = [bool(self._sure(curve).any()) for curve in self.smooth]
        if not any(agree):
            return "never above"
        untold = all(value is None for value in self.resolutions_um)
        return "beyond the pixels" if all(agree) and untold else "unsettled"

    def _sure(self, curve: Floats) -> NDArray[np.bool_]:
        """Where a curve is significantly above the threshold."""
        return curve > THRESHOLD + _SURE * self.noise

    def _crossing(self, curve: Floats) -> float | None:
        sure = self._sure(curve)
        first = int(np.argmax(sure))
        below = np.flatnonzero(curve[first:] <= THRESHOLD)
        if not sure.any() or not len(below):
            return None
        at = first + int(below[0])
        high, low = curve[at - 1], curve[at]
        step = self.frequency[at] - self.frequency[at - 1]
        return float(1 / (self.frequency[at - 1] + step * (high - THRESHOLD) / (high - low)))


def slabs(points: Floats, across: int, thickness_um: float, tile_um: float) -> Floats:
    """Cut points (N, 3) µm into slabs across one axis and lay their sections side by side, (N, 2) µm.

    thickness_um: of a slab;  tile_um: width of the tiles, so that each tile contains points of one slab only if
    one begins at 0 (`Grid.begin_um`).
    """
    plane = np.delete(points, across, axis=1) - np.delete(points.min(0), across)
    number = np.floor((points[:, across] - points[:, across].min()) / thickness_um)
    pitch = np.ceil((plane[:, 0].max() + 1e-9) / tile_um) * tile_um
    return plane + np.stack([number * pitch + _OFF_EDGE_UM, np.zeros(len(plane))], axis=1)


def block_halves(frame: Whole, block: int, splits: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """For each split, which rows (N,) are in the first half: blocks of frames, assigned at random.

    block: frames in a block.  Raises InputError where the rows lie in fewer than four blocks.
    """
    number = (frame - frame.min()) // block
    blocks = int(number.max()) + 1
    if len(np.unique(number)) < 4:
        raise InputError(
            f"localizations in frames {frame.min()} to {frame.max()} lie in fewer than 4 blocks of {block} "
            "frames, too few to halve; choose shorter blocks, or give a longer movie"
        )
    halves = []
    for _ in range(splits):
        first = np.zeros(blocks, dtype=np.bool_)
        first[rng.permutation(blocks)[: blocks // 2]] = True
        halves.append(first[number])
    return halves


def correlate(points: Floats, halves: Sequence[NDArray[np.bool_]], grid: Grid) -> Correlation:
    """Correlation of the two halves of points (N, D) µm, for each way of halving them.

    Numerator and denominator are summed over the tiles before the ratio: FRC(q) = Σ F₁F₂* / √(Σ|F₁|² Σ|F₂|²).
    """
    ring, number = grid.rings()
    flat = ring.ravel()
    fade = _fade(grid.shape)
    sums = np.zeros((3, len(halves), number))
    tiles = list(_tiles(points, grid))
    for rows, origin in tiles:
        cell = np.floor((points[rows] - origin) / grid.pixel_um).astype(np.int64)
        where = np.asarray(np.ravel_multi_index(tuple(cell.T), grid.shape))
        # The transform is linear: that of one half is the whole less the other. The smaller one is transformed,
        # so that a half of few rows is no small difference of large numbers.
        whole = _transformed(where, fade)
        power = _over_rings(whole, whole, flat, number)
        for split, first in enumerate(halves):
            mine = first[rows]
            fewer = mine if 2 * np.count_nonzero(mine) <= len(mine) else ~mine
            one = _transformed(where[fewer], fade)
            own, crossed = (_over_rings(one, each, flat, number) for each in (one, whole))
            of_both = own, power - 2 * crossed + own
            sums[:, split] += crossed - own, *(of_both if fewer is mine else of_both[::-1])
    raw = sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], np.finfo(np.float64).tiny))
    # Ring 0 is the mean.
    sizes = np.bincount(flat, minlength=number + 1)[1:number].astype(np.float64)
    smooth = np.stack([smoothed(curve[1:], sizes) for curve in raw])
    # Mean number of frequencies in the smoothing window of a tile; the fading edge correlates neighbours.
    within = np.convolve(sizes, np.ones(2 * int(_reach(len(sizes))) + 1))
    first = (len(within) - len(sizes)) // 2
    together = within[first : first + len(sizes)] * max(len(tiles), 1) * (1 - _FADE) ** 2 / 2
    return Correlation(grid.frequencies()[1:], raw[:, 1:], smooth, 1 / np.sqrt(together), grid.nyquist)


def smoothed(curve: Floats, sizes: Floats) -> Floats:
    """Local linear regression over a twentieth of the rings (LOESS), (R,).

    sizes: (R,) number of frequencies in each ring; near rings and rings with many frequencies weigh most.
    """
    count = len(curve)
    reach = _reach(count)
    at = np.arange(count, dtype=np.float64)
    out = np.empty(count)
    for index in range(count):
        low, high = max(0, int(np.ceil(index - reach))), min(count, int(index + reach) + 1)
        away = at[low:high] - index
        weight = sizes[low:high] * (1 - np.minimum(np.abs(away) / reach, 1) ** 3) ** 3
        total, first, second = weight.sum(), weight @ away, weight @ away**2
        values = curve[low:high]
        determinant = total * second - first**2
        level, tilt = weight @ values, (weight * away) @ values
        # A line cannot be fitted to a single ring.
        out[index] = (second * level - first * tilt) / determinant if determinant > 0 else level / total
    return out


def _reach(rings: int) -> float:
    """Rings on either side of one over which a curve is smoothed."""
    return max(_SPAN * rings, _FEWEST_RINGS) / 2 + 0.5


def _tiles(points: Floats, grid: Grid) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Rows and lower corner of the fullest tiles, centred on the points but for `Grid.begin_um`."""
    low, high = points.min(0), points.max(0)
    if grid.begin_um is not None:
        low[0] = grid.begin_um
    side = np.array(grid.shape) * grid.pixel_um
    count = np.maximum(np.ceil((high - low + 1e-9) / side), 1)
    origin = (low + high - count * side) / 2
    if grid.begin_um is not None:
        origin[0] = grid.begin_um
    number = np.minimum(np.floor((points - origin) / side), count - 1).astype(np.int64)
    key = np.asarray(np.ravel_multi_index(tuple(number.T), tuple(count.astype(np.int64))))
    order = np.argsort(key, kind="stable")
    values, starts, sizes = np.unique(key[order], return_index=True, return_counts=True)
    for index in np.argsort(-sizes, kind="stable")[: grid.most].tolist():
        if sizes[index] >= _FEWEST_IN_TILE:
            corner = np.array(np.unravel_index(values[index], tuple(count.astype(np.int64))))
            yield order[starts[index] : starts[index] + sizes[index]], origin + side * corner


def _transformed(where: Whole, fade: NDArray[np.float32]) -> Tensor:
    """Transform of the counts per pixel minus their mean, times the window, half of it as real numbers (…, 2).

    Without the mean a uniform density would correlate through the window.
    """
    window = torch.from_numpy(fade)
    weight = window.flatten()[torch.from_numpy(where)]
    counts = torch.zeros(fade.size).index_add_(0, torch.from_numpy(where), weight).view(window.shape)
    level = float(weight.sum(dtype=torch.float64)) / float(window.sum(dtype=torch.float64))
    return torch.view_as_real(torch.fft.rfftn(counts.sub_(window, alpha=level)))


def _over_rings(one: Tensor, other: Tensor, ring: NDArray[np.intp], number: int) -> Floats:
    """The real part of F₁F₂*, summed over each ring.

    one, other: as of `_transformed`;  ring: of each frequency;  number: of rings; beyond them is one more.
    """
    product = (one[..., 0] * other[..., 0]).addcmul_(one[..., 1], other[..., 1])
    return np.asarray(np.bincount(ring, product.flatten().numpy(), number + 1)[:number], np.float64)


def _fade(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A window that falls to 0 at the edges of a tile (Tukey), so that they do not correlate."""
    window = np.ones((1,) * len(shape), dtype=np.float32)
    for axis, size in enumerate(shape):
        # From the first pixel beyond one edge to that beyond the other.
        inside = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)) / (_FADE * (size + 1))
        along = (0.5 - 0.5 * np.cos(np.pi * np.minimum(inside, 1))).astype(np.float32)
        window = window * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return window
