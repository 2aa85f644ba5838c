"""Pairs of rows within a radius, in the same frame or in frames a fixed number apart.

Where a frame is wide for its rows they are swept: sorted along one axis, a row has few others within the
radius. Else a KD-tree for the whole movie finds them, with the frame as one more coordinate in which two frames
lie farther apart than the radius.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["SLACK", "neighbour_counts", "pairs_within"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Rows within the radius along the axis that is swept, for each row; where there are more, a tree is faster.
_FEW = 16
# Of these, how many are looked at together.
_AT_ONCE = 1_000_000

SLACK = 1.0 + 1e-6
"""Factor on the radius of a search: positions are float32, and a pair at exactly the radius must be found."""


def pairs_within(
    one: tuple[Floats, Ints],
    other: tuple[Floats, Ints],
    radius: float,
    *,
    frames_later: int = 0,
    norm: float = 2.0,
) -> tuple[Ints, Ints]:
    """Rows i of `one` and j of `other` within a radius, where j is in the frame `frames_later` after that of i.

    one, other: positions (N, d), in any unit, and frames (N,);  norm: order of the distance (2: Euclidean,
    infinity: the largest difference along an axis);  returns (P,) and (P,) int64.  `SLACK` widens the radius.
    """
    if not len(one[1]) or not len(other[1]):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    swept = _swept(one, other, radius * SLACK, frames_later, norm)
    if swept is not None:
        first, second = zip(*swept, strict=True)
        return np.concatenate(first), np.concatenate(second)
    start = int(one[1].min())
    trees = [
        _tree(points, frame - begin, radius)
        for (points, frame), begin in ((one, start), (other, start + frames_later))
    ]
    near = trees[0].sparse_distance_matrix(trees[1], radius * SLACK, p=norm, output_type="ndarray")
    return near["i"], near["j"]


def neighbour_counts(points: Floats, frame: Ints, radius: float) -> Ints:
    """How many other rows of its frame each row has within a radius.

    points: (N, d), in the unit of the radius;  frame: (N,);  returns (N,) int64.
    """
    if not len(frame):
        return np.zeros(0, np.int64)
    swept = _swept((points, frame), (points, frame), radius, 0, 2.0)
    if swept is not None:
        # Each row is a neighbour of itself.
        counts = np.full(len(frame), -1)
        for rows, _ in swept:
            counts += np.bincount(rows, minlength=len(frame))
        return counts
    tree = _tree(points, frame - int(frame.min()), radius)
    return np.asarray(tree.query_ball_point(tree.data, radius, return_length=True), dtype=np.int64) - 1


def _swept(
    one: tuple[Floats, Ints], other: tuple[Floats, Ints], radius: float, frames_later: int, norm: float
) -> Iterator[tuple[Ints, Ints]] | None:
    """The pairs of `pairs_within` in parts, in order of the rows of `one`; None where a tree is faster.

    radius: exactly that.
    """
    points, frame = other
    axis = int(np.argmax(np.ptp(points, axis=0)))
    along, beside = one[0][:, axis], points[:, axis]
    low, high = min(along.min(), beside.min()), max(along.max(), beside.max())
    # Where a frame ends and the next begins on the axis on which all frames lie side by side.
    pitch = high - low + 3 * radius
    start = int(one[1].min())
    place = (one[1] - start) * pitch + (along - low)
    row = (frame - start - frames_later) * pitch + (beside - low)
    if not (np.isfinite(one[0]).all() and np.isfinite(place).all() and np.isfinite(row).all()):
        return None
    order = np.argsort(row)
    row = row[order]
    # As much wider as these places are rounded.
    reach = radius + 8 * np.spacing(max(np.abs(place).max(), np.abs(row).max(), pitch))
    begin = np.searchsorted(row, place - reach, side="left")
    number = np.searchsorted(row, place + reach, side="right") - begin
    if number.sum() > _FEW * (len(place) + len(row)):
        return None
    return _looked_at(one[0], points, (order, begin, number), radius, norm)


def _looked_at(
    one: Floats, other: Floats, candidates: tuple[Ints, Ints, Ints], radius: float, norm: float
) -> Iterator[tuple[Ints, Ints]]:
    """Pairs within the radius, of those along the axis.

    candidates: rows of `other` in the order of the sweep, and for each row of `one` the first and how many.
    """
    order, begin, number = candidates
    ends = np.cumsum(number)
    cuts = np.searchsorted(ends, np.arange(0, ends[-1], _AT_ONCE)[1:], side="right")
    for rows in np.split(np.arange(len(one)), cuts):
        first = np.repeat(rows, number[rows])
        # Counted from the first candidate of its row.
        place = np.arange(len(first)) - np.repeat(np.cumsum(number[rows]) - number[rows], number[rows])
        second = order[np.repeat(begin[rows], number[rows]) + place]
        apart = one[first] - other[second]
        near = np.linalg.norm(apart, norm, axis=1) <= radius
        yield first[near], second[near]


def _tree(points: Floats, frame: Ints, radius: float) -> KDTree:
    from scipy.spatial import KDTree

    # Unbalanced trees are built in half the time, and searches in them are as fast.
    return KDTree(np.column_stack([points, 2.0 * radius * frame]), balanced_tree=False, compact_nodes=False)
