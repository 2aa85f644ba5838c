"""Pairs of rows within a radius, in the same frame or in frames a fixed number apart.

The search uses one KD-tree for the whole movie, with the frame as one more coordinate in which two frames lie
farther apart than the radius.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["SLACK", "neighbour_counts", "pairs_within"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

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
    first = int(one[1].min())
    trees = [
        _tree(points, frame - start, radius)
        for (points, frame), start in ((one, first), (other, first + frames_later))
    ]
    near = trees[0].sparse_distance_matrix(trees[1], radius * SLACK, p=norm, output_type="ndarray")
    return near["i"], near["j"]


def neighbour_counts(points: Floats, frame: Ints, radius: float) -> Ints:
    """How many other rows of its frame each row has within a radius.

    points: (N, d), in the unit of the radius;  frame: (N,);  returns (N,) int64.
    """
    if not len(frame):
        return np.zeros(0, np.int64)
    tree = _tree(points, frame - int(frame.min()), radius)
    return np.asarray(tree.query_ball_point(tree.data, radius, return_length=True), dtype=np.int64) - 1


def _tree(points: Floats, frame: Ints, radius: float) -> KDTree:
    from scipy.spatial import KDTree

    # Unbalanced trees are built in half the time, and searches in them are as fast.
    return KDTree(np.column_stack([points, 2.0 * radius * frame]), balanced_tree=False, compact_nodes=False)
