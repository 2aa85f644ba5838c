"""Step of molecules from one frame to the next, estimated from the list before rows are linked.

All pairs of rows in adjacent frames are used. The differences within one molecule are Gaussian on each axis;
those between two molecules, spread evenly over a box, have the density 1 − |Δ|/L on an axis of length L. A
mixture of the two, fitted by expectation maximization, gives the step on each axis without linking (after
Semrau and Schmidt, Biophys. J. 92:613, 2007, who fit the cumulative count). Where molecules are not spread
evenly, chance brings them near each other as well: `chance_steps` tells whether the pairs are more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .chance_steps import beyond_chance
from .pairs import neighbour_counts

__all__ = ["StepModel", "expected_wrong", "nearest_um", "neighbours_within", "step_model"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Most pairs that are used.
_MOST_PAIRS = 400_000
# Lower quartile of χ² with 3 degrees of freedom.
_QUARTER = 1.2125
# No σ is less, µm.
_LEAST_UM = 1e-4
# Half width of the window, in σ.
_REACH = 8.0
# Number of times the window is adapted to the fitted σ.
_WINDOWS = 4
# Iterations of expectation maximization in each window.
_ROUNDS = 200
# The pairs inside so many σ are tested against chance.
_CORE = 2.0
# Pairs inside so many σ, nearly all those of one molecule, are held against rows that are of different ones.
_NEAR = 3.0
# Fraction of the pairs of one molecule that lie inside 2 σ in 3D.
_IN_CORE = 0.739
# Fewest pairs for a clear result.
_FEWEST = 20
# The pairs inside 2 σ must exceed this many standard deviations of chance.
_SIGNIFICANT = 5.0


@dataclass(frozen=True)
class StepModel:
    """The step of a molecule from one frame to the next.

    sigma_um: (3,) standard deviation on x, y and z, localization error of both ends included;
    pairs: fitted number of pairs of one molecule;  rows: number of rows that have an adjacent frame;
    clear: whether those pairs are significantly more than chance.
    """

    sigma_um: Floats
    pairs: float
    rows: int
    clear: bool

    @property
    def lateral_um(self) -> float:
        """Root mean square of the steps on x and y."""
        return math.sqrt(float(np.mean(self.sigma_um[:2] ** 2)))

    @property
    def axial_um(self) -> float:
        """The step on z."""
        return float(self.sigma_um[2])


def step_model(xyz: Floats, frame: Ints) -> StepModel | None:
    """Steps of a list; None where no two rows lie in adjacent frames.

    xyz: (N, 3) µm;  frame: (N,). At most 400,000 pairs are used, in whole frames spread over the list.
    """
    couples = list(_adjacent(frame))
    if not couples:
        return None
    every = max(1, math.ceil(sum(len(left) * len(right) for left, right in couples) / _MOST_PAIRS))
    couples = couples[::every]
    apart = [xyz[right][None] - xyz[left][:, None] for left, right in couples]
    nearest = np.concatenate([(one**2).sum(axis=2).min(axis=1) for one in apart])
    rows, apart = len(nearest), np.concatenate([one.reshape(-1, 3) for one in apart])
    sigma = np.full(3, max(math.sqrt(float(np.quantile(nearest, 0.25)) / _QUARTER), _LEAST_UM))
    # Just longer than the list, so that every difference in it is possible.
    box = np.maximum(np.ptp(xyz, axis=0), _REACH * _LEAST_UM) * (1 + 1 / len(xyz))
    pairs, near, reach = 0.0, 0, box
    for _ in range(_WINDOWS):
        reach = np.minimum(_REACH * sigma, box)
        inside = apart[(np.abs(apart) <= reach).all(axis=1)]
        sigma, pairs = _mixture(inside, sigma, reach, box)
        near = int((((inside / sigma) ** 2).sum(axis=1) <= _CORE**2).sum())
    own = _IN_CORE * pairs
    clear = _FEWEST <= pairs <= 1.1 * rows and own > max(_SIGNIFICANT * math.sqrt(near), near / 3)
    # A Gaussian as wide as its window cannot be distinguished from the background. On z it need not be: the
    # depths of a thin layer, or none at all, say nothing of whose pairs they are.
    narrow = sigma < np.minimum(reach, box / 2) / 3
    clear = clear and bool(narrow[:2].all()) and beyond_chance(xyz, couples, sigma, _NEAR)
    return StepModel(sigma, pairs, rows, clear)


def neighbours_within(xyz: Floats, frame: Ints, lateral_um: float, axial_um: float) -> float:
    """Mean number of other molecules of a frame inside an ellipsoid with these half axes around a row."""
    if len(frame) < 2:
        return 0.0
    return float(neighbour_counts(xyz / np.array([lateral_um, lateral_um, axial_um]), frame, 1.0).mean())


def nearest_um(xyz: Floats, frame: Ints) -> tuple[float, float]:
    """Median distance of a row to the nearest other one of its frame, and to the nearest of the next frame.

    Over frames that have a next one; infinite where no row has such a neighbour.
    """
    from scipy.spatial import KDTree

    own, following = [np.full(1, np.inf)], [np.full(1, np.inf)]
    for left, right in _adjacent(frame):
        following.append(KDTree(xyz[right]).query(xyz[left])[0])
        if len(left) > 1:
            own.append(KDTree(xyz[left]).query(xyz[left], k=2)[0][:, 1])
    return float(np.median(np.concatenate(own))), float(np.median(np.concatenate(following)))


def expected_wrong(xyz: Floats, frame: Ints, lateral_um: float, axial_um: float) -> float:
    """Expected fraction of wrong links to the nearest row, for Gaussian steps of these σ: 0 to 1.

    A link of length r is wrong where another molecule lies within r of its start. With ⟨r³⟩ = 8 √(2/π) σ³ and
    the neighbours counted within 4 σ, the fraction is their number times 8 √(2/π)/4³. Linking chooses the best
    pairing of all rows at once, which is wrong less often.
    """
    within = neighbours_within(xyz, frame, 4 * lateral_um, 4 * axial_um)
    return 1.0 - math.exp(-within * 8 * math.sqrt(2 / math.pi) / 64)


def _adjacent(frame: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Rows of a frame and rows of the next one, for each two frames in a row that have any."""
    order = np.argsort(frame, kind="stable")
    numbers, first = np.unique(frame[order], return_index=True)
    rows = np.split(order, first[1:])
    for index in np.flatnonzero(np.diff(numbers) == 1):
        yield rows[index], rows[index + 1]


def _mixture(apart: Floats, start_um: Floats, reach_um: Floats, box_um: Floats) -> tuple[Floats, float]:
    """σ (3,) of the pairs of one molecule among differences (P, 3) within ±reach, and their number.

    box_um: (3,) lengths in which molecules are spread evenly, at least the reach.
    """
    variance, share = start_um**2, 0.5
    chance = ((1 - np.abs(apart) / box_um) / (2 * reach_um - reach_um**2 / box_um)).prod(axis=1)
    square = apart**2
    weight = np.zeros(len(apart))
    for _ in range(_ROUNDS):
        height = share / math.sqrt((2 * math.pi) ** 3 * float(variance.prod()))
        own = height * np.exp(-0.5 * (square / variance).sum(axis=1))
        weight = own / (own + (1 - share) * chance)
        total = float(weight.sum())
        if total < 1.0:
            break
        before = variance
        variance = np.maximum((weight[:, None] * square).sum(0) / total, _LEAST_UM**2)
        share = min(total / len(apart), 1 - 1e-6)
        if np.abs(np.log(variance / before)).max() < 1e-4:
            break
    return np.sqrt(variance), float(weight.sum())
