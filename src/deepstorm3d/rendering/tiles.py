"""Points sorted once by the tile of the field that they lie in: a small window needs no search of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..emitters import Localizations
from ..extent import limits
from .categories import Numbers, numbers_of, numbers_taken
from .sections import Box, Cloud, Interval

__all__ = ["Tiles"]

# Most tiles along an axis: the number of a tile then has 16 bits, which NumPy sorts fastest.
_MOST_ALONG = 256
# Rows of a tile, on average, below which smaller tiles would find nothing sooner.
_FEW_ROWS = 64
# About how many points tell which lie far beyond all others.
_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Tiles:
    """The points of a list in the order of square tiles in x–y.

    xyz, sigma: (N, 3) µm, in this order (σ 0: not known);  rows: (N,) of the list, in this order;
    starts: (down·across + 1,) the first point of each tile, row by row of tiles;
    first, side: edge of the first tile in x and y, and side of a tile, µm;  shape: (down, across);
    wide: 99 % of the known σ on x, y and z are smaller, µm;  numbers: of dye and molecule (`categories`).
    Rows without a finite position are not among the points.
    """

    xyz: NDArray[np.float32]
    sigma: NDArray[np.float32]
    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    first: tuple[float, float]
    side: float
    shape: tuple[int, int]
    wide: NDArray[np.float32]
    numbers: Numbers = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, table: Localizations) -> Tiles:
        """Sort the rows of a list; those far beyond all others count to tiles at the border."""
        xyz = table.xyz.detach().cpu().float().numpy()
        rows = np.flatnonzero(np.isfinite(xyz).all(axis=1)).astype(np.int32)
        xyz = xyz[rows] if len(rows) < len(xyz) else xyz
        low, high = _near_limits(xyz)
        side = max(float((high - low)[:2].max()) / _along(len(xyz)), 1e-6)
        across, down = (max(1, int(np.ceil(reach / side))) for reach in (high - low)[:2])
        x, y = (
            ((xyz[:, axis] - low[axis]) * np.float32(1 / side)).clip(0, most - 1).astype(np.uint16)
            for axis, most in ((0, across), (1, down))
        )
        tile = y * np.uint16(across) + x
        order = np.argsort(tile, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(tile, minlength=down * across))])
        sigma = table.sigma_xyz.detach().cpu().float().numpy()[rows]
        first = (float(low[0]), float(low[1]))
        shape, numbers = (down, across), numbers_taken(numbers_of(table), rows[order])
        return cls(xyz[order], sigma[order], rows[order], starts, first, side, shape, _wide(sigma), numbers)

    @property
    def limits(self) -> tuple[Interval, Interval, Interval]:
        """From where to where the points lie on x, y and z, µm, without those far beyond all others."""
        low, high = _near_limits(self.xyz)
        x, y, z = ((float(a), float(b)) for a, b in zip(low, high, strict=True))
        return x, y, z

    def near(self, box: Box) -> list[slice]:
        """Points, as slices, among which are all of a box: those of every tile that it touches."""
        down, across = self.shape
        left, right = self._touched(box.x, self.first[0], across)
        top, bottom = self._touched(box.y, self.first[1], down)
        if (left, right) == (0, across):
            return [slice(int(self.starts[top * across]), int(self.starts[bottom * across]))]
        lines = range(top * across, bottom * across, across)
        return [slice(int(self.starts[line + left]), int(self.starts[line + right])) for line in lines]

    def count_near(self, box: Box) -> int:
        """How many points `near` gives."""
        return sum(part.stop - part.start for part in self.near(box))

    def _touched(self, interval: Interval, first: float, most: int) -> tuple[int, int]:
        """The first tile that an interval touches, and the last + 1; those at the border reach to infinity."""
        low, high = (min(max((end - first) / self.side, -1.0), most + 1.0) for end in interval)
        begin = min(max(int(np.floor(low)), 0), most - 1)
        return begin, min(max(int(np.floor(high)) + 1, begin + 1), most)

    def inside(self, box: Box, keep: NDArray[np.bool_] | None = None, *, step: int = 1) -> NDArray[np.int64]:
        """The points (K,) of a box, growing.

        keep: (N,) which of the points count; None: all;  step: look only at every step-th point.
        """
        found: list[NDArray[Any]] = [np.zeros(0, np.int64)]
        for part in self.near(box):
            looked = slice(part.start + -part.start % step, part.stop, step)
            held = box.inside(self.xyz[looked])
            held = held if keep is None else held & keep[looked]
            found.append(np.flatnonzero(held) * step + looked.start)
        return np.concatenate(found)

    def cloud(self, points: NDArray[np.int64]) -> Cloud:
        """Some of the points, to be drawn."""
        xyz = self.xyz[points].astype(np.float64)
        return Cloud(xyz, self.sigma[points], numbers_taken(self.numbers, points))


def _near_limits(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and greatest position (3,), µm, of points that do not lie far beyond all others on an axis."""
    low, high = np.zeros(3, np.float32), np.ones(3, np.float32)
    for axis, column in enumerate(xyz.T if len(xyz) else ()):
        first, last = limits(column[:: 1 + len(column) // _SAMPLE].astype(np.float64))
        near = (column >= first) & (column <= last)
        near = column if near.all() else column[near]
        low[axis], high[axis] = near.min(), near.max()
    return low, high


def _wide(sigma: NDArray[np.float32]) -> NDArray[np.float32]:
    """The σ (3,) that 99 % of the known ones on x, y and z do not reach; 0 where none is known."""
    known = sigma[:: 1 + len(sigma) // _SAMPLE]
    known = known[(known > 0).all(axis=1)]
    return np.quantile(known, 0.99, axis=0).astype(np.float32) if len(known) else np.zeros(3, np.float32)


def _along(points: int) -> int:
    """Tiles along the longer axis for a number of points."""
    return int(np.clip(np.sqrt(points / _FEW_ROWS), 1, _MOST_ALONG))
