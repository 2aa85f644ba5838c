"""Whether rows lie near each other in adjacent frames more often than by chance, however molecules are spread.

Molecules of clusters or filaments lie near each other in any two frames, so a density of chance that is even is
exceeded without one true step. Rows of one frame are always of different molecules, also where molecules are at
rest: they show how near each other the different molecules of this list lie. Where too few rows share a frame,
frames half a movie apart show it, from which molecules have gone by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pairs import neighbour_counts, pairs_within

__all__ = ["Near", "beyond_chance"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Couples = Sequence[tuple[Ints, Ints]]

# Square of the 4 standard deviations that the difference of two shares must exceed.
_SIGNIFICANT = 16.0
# Share of the near pairs that must be beyond chance.
_LEAST_SHARE = 1 / 3
# Fewest couples of frames of which others are half a movie away.
_FEWEST_COUPLES = 10


@dataclass(frozen=True)
class Near:
    """How many of the pairs of rows are near each other."""

    near: int
    pairs: int

    def exceeds(self, chance: Near) -> bool:
        """Whether a larger share is near than by chance: significantly, and by a third of it."""
        from scipy.special import xlogy

        if not (self.pairs and chance.pairs):
            return False
        if self.near - self.pairs * chance.near / chance.pairs <= _LEAST_SHARE * self.near:
            return False
        seen = np.array([[one.near, one.pairs - one.near] for one in (self, chance)], np.float64)
        expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0) / seen.sum()
        # Twice the logarithm of the likelihood ratio of two shares to one: χ² with 1 degree of freedom.
        return bool(2 * xlogy(seen, seen / np.maximum(expected, 1e-30)).sum() > _SIGNIFICANT)


def beyond_chance(xyz: Floats, couples: Couples, sigma_um: Floats, radius: float) -> bool:
    """Whether rows of adjacent frames within `radius` σ are clearly more than those of different molecules.

    xyz: (N, 3) µm;  couples: rows of a frame and rows of the next one;  sigma_um: (3,) of the steps.
    """
    points = xyz / sigma_um
    adjacent = _between(points, couples, 0, radius)
    same = _within(points, couples, radius)
    if adjacent.exceeds(Near(0, same.pairs)):
        return adjacent.exceeds(same)
    # Hardly two rows share a frame. One molecule at rest, which is all that the list holds, is where it was in
    # any other frame: it is told by most pairs being near.
    if 2 * adjacent.near > adjacent.pairs:
        return True
    far = len(couples) // 2
    return len(couples) >= _FEWEST_COUPLES and adjacent.exceeds(_between(points, couples, far, radius))


def _within(points: Floats, couples: Couples, radius: float) -> Near:
    """Pairs of rows of one frame, the first of each couple."""
    rows, number = _numbered([left for left, _ in couples])
    each = np.bincount(number)
    return Near(
        int(neighbour_counts(points[rows], number, radius).sum()) // 2, int((each * (each - 1)).sum()) // 2
    )


def _between(points: Floats, couples: Couples, later: int, radius: float) -> Near:
    """Pairs of rows of a frame with those of the frame that follows the one so many couples later."""
    lefts = [left for left, _ in couples]
    rights = [couples[(at + later) % len(couples)][1] for at in range(len(couples))]
    (left, number), (right, other) = _numbered(lefts), _numbered(rights)
    near, _ = pairs_within((points[left], number), (points[right], other), radius)
    return Near(len(near), sum(len(a) * len(b) for a, b in zip(lefts, rights, strict=True)))


def _numbered(groups: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Rows of all groups, and the number of the group of each."""
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
