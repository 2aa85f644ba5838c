"""Which rows of two channels are partners under a transform, and how many would be by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from .points import Points

__all__ = ["Paired", "chance_pairs", "independent_pairs", "log10_chance", "paired"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Most rows of the first list, about, with which they are counted, in frames spread over the recording.
_COUNTED = 100_000
# Displaced transforms with which partners by chance are counted.
_DISPLACED = 24
# They are displaced by this many gates, from … to.
_NEAREST = 4.0
_FARTHEST = 12.0


class Paired(NamedTuple):
    """Rows of the first and the second list that are each other's nearest of the frame: (P,) each."""

    first: Ints
    second: Ints

    def __len__(self) -> int:
        return len(self.first)


def paired(moved: Floats, first: Points, second: Points, gate_um: float) -> Paired:
    """Rows that are each other's nearest in their frame, nearer than the gate.

    moved: (N, 2) µm, where the first list's rows are expected in the second channel.
    """
    from scipy.spatial import KDTree

    # Frames lie apart by more than the gate in a third coordinate, so no row sees another frame.
    one = np.column_stack([moved, first.frame * (2 * gate_um)])
    other = np.column_stack([second.xy, second.frame * (2 * gate_um)])
    if not len(one) or not len(other):
        return Paired(np.zeros(0, np.int64), np.zeros(0, np.int64))
    distance, nearest = (np.asarray(each) for each in KDTree(other).query(one, distance_upper_bound=gate_um))
    rows = np.flatnonzero(np.isfinite(distance))
    # Of the rows that share a nearest one, the nearer has it.
    order = rows[np.argsort(distance[rows], kind="stable")]
    _, at = np.unique(nearest[order], return_index=True)
    kept = np.sort(order[at])
    return Paired(kept, nearest[kept].astype(np.int64))


def independent_pairs(xy: Floats, frame: Ints, gate_um: float) -> float:
    """How many pairs there are, with what lies at one place in many frames counted about once.

    xy: (P, 2) µm, frame: (P,) of the pairs.  Their number over 1 + the mean number of pairs of other frames
    within the gate, less what as many would have that are spread evenly over the field.
    """
    from scipy.spatial import KDTree

    count = len(xy)
    if count < 2:
        return float(count)
    tree = KDTree(xy)
    near = tree.count_neighbors(tree, gate_um) - count
    same = KDTree(np.column_stack([xy, frame * (2 * gate_um)]))
    near -= same.count_neighbors(same, gate_um) - count
    area = float(np.prod(np.ptp(xy, axis=0) + 2 * gate_um))
    even = count * np.pi * gate_um**2 / area
    return count / (1 + max(0.0, near / count - even))


def chance_pairs(
    moved: Floats, first: Points, second: Points, gate_um: float, rng: np.random.Generator
) -> float:
    """Mean number of partners that a transform has by chance.

    They are counted with the first list's rows displaced by 4 to 12 gates in random directions; of more than
    100,000 rows, with those of every n-th frame, and multiplied.
    """
    whole, every = len(first), len(first) // _COUNTED + 1
    if every > 1:
        frames = np.unique(first.frame)[::every]
        kept = np.isin(first.frame, frames)
        moved, first, second = moved[kept], first.rows(kept), second.rows(np.isin(second.frame, frames))
    times = whole / len(first) if len(first) else 0.0
    angle = 2 * np.pi * (np.arange(_DISPLACED) + rng.random(_DISPLACED)) / _DISPLACED
    far = gate_um * rng.uniform(_NEAREST, _FARTHEST, _DISPLACED)
    steps = np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)
    return times * float(np.mean([len(paired(moved + step, first, second, gate_um)) for step in steps]))


def log10_chance(pairs: float, by_chance: float, trials: float) -> float:
    """Logarithm of the probability that any of the trials has so many partners where none is right.

    Two pairs fix a similarity and prove nothing; the others are counts of Poisson's law with the mean number of
    partners by chance, to which half a count is added for the few displacements it was counted with.
    """
    mean, others = by_chance + 0.5 / _DISPLACED, int(pairs) - 2
    one = float(poisson.logsf(others - 1, mean)) / np.log(10) if others > 0 else 0.0
    return min(0.0, one + float(np.log10(max(trials, 1.0))))
