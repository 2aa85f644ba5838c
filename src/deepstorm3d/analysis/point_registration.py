"""The shift in x, y, z between two lists of points: the shift that most differences agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .pairs import pairs_within

__all__ = ["PointShift", "register_points"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Differences nearer than this to the shift belong to it, first search, µm.
_WIDE_UM = 0.3
# The same when the shift is refined, µm.
_NARROW_UM = 0.15
# Largest shift along each axis, µm.
_REACH_UM = 2.0
# Fewest points that must agree on the shift.
_LEAST_PAIRS = 4
# Least fraction of the shorter list that must agree on the shift.
_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class PointShift:
    """A shift to add to a list so that it lies on the reference.

    xyz: (3,) µm;  pairs: points that then have a partner within 0.15 µm;  sigma: (3,) µm, standard error.
    """

    xyz: Floats
    pairs: int
    sigma: Floats


def register_points(points: Floats, reference: Floats, frames: tuple[Ints, Ints] | None = None) -> PointShift:
    """Find the rigid shift that brings most points onto one of the reference.

    points: (N, 3), reference: (M, 3) µm;  frames: (N,) and (M,), only points of one frame meet, and all frames
    have one shift (None: all are of one frame). The shift is at most 2 µm along each axis; memory grows with
    the number of pairs within that.
    The densest region among all differences is the initial guess; then the median of the pairs near it is taken
    until it no longer changes.  Raises InputError where fewer than 4 points, or a fifth of the shorter list,
    agree on a shift.
    """
    from scipy.spatial import KDTree

    fewest = min(len(points), len(reference))
    differences = _differences(points, reference, frames)
    pairs = 0
    shift, near = np.zeros(3), np.zeros((0, 3))
    if len(differences):
        tree = KDTree(differences)
        votes = tree.query_ball_point(differences, _WIDE_UM / 2, return_length=True)
        shift = differences[int(np.argmax(votes))]
        for radius in (_WIDE_UM, _WIDE_UM, _NARROW_UM, _NARROW_UM, _NARROW_UM):
            near = differences[np.linalg.norm(differences - shift, axis=1) <= radius]
            shift = np.median(near, axis=0) if len(near) else shift
        pairs = len(near)
    if pairs < max(_LEAST_PAIRS, _LEAST_SHARE * fewest):
        raise InputError(
            f"the two lists cannot be registered: at the best shift within {_REACH_UM:g} µm only {pairs} of "
            f"{fewest} points agree; are they of the same field, in the same orientation?"
        )
    # The standard error of a median is 1.25 times that of the mean.
    return PointShift(shift, pairs, 1.25 * near.std(0) / pairs**0.5)


def _differences(points: Floats, reference: Floats, frames: tuple[Ints, Ints] | None) -> Floats:
    """From each point to each of the reference in its frame that is in reach, (P, 3): in its order."""
    of_points, of_reference = (
        frames if frames is not None else (np.zeros(len(points), np.int64), np.zeros(len(reference), np.int64))
    )
    row, other = pairs_within((points, of_points), (reference, of_reference), _REACH_UM, norm=np.inf)
    order = np.lexsort((row, other))
    differences = reference[other[order]] - points[row[order]]
    return differences[(np.abs(differences) <= _REACH_UM).all(1)]
