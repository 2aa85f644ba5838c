"""Whether molecules of a list come back in other parts of the movie, from the distances of its rows.

Rows of one molecule in both halves correlate down to its σ, however few molecules there are: Nieuwenhuizen et
al. 2013 (Nature Methods 10, 557, supplementary note on spurious correlations).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["rows_again", "spot_resolution_um"]

Floats = NDArray[np.float64]

# Radii in √2 σ: rows of one molecule lie within the first; their surroundings between the others.
_SAME = 2.0
_AROUND = (3.0, 4.0, 6.0)
# Share of the pairs of one molecule within the first radius.
_INSIDE = 1 - np.exp(-(_SAME**2) / 2)
# Gate in z, in √2 σ.
_DEPTH = 3.0
# Rows whose neighbours are counted, at most; of these the first that are looked up, and most at a time.
_MOST = 20_000
_AT_FIRST = 16
_AT_ONCE = 500
# Pairs that are looked up at a time, about, and that are enough.
_PAIRS_AT_ONCE = 300_000
_ENOUGH = 3_000_000
# Standard errors by which there must be more near rows than the surroundings explain.
_SURE = 5.0
_SEED = 3


def rows_again(xyz: Floats, frame: NDArray[np.int64], apart: int, sigma_um: Floats) -> float:
    """How many rows of the same molecule a row has in frames further off than `apart`, on average; 0: no sign.

    xyz: (N, 3) µm, drift subtracted;  frame: (N,);  sigma_um: (3,) of a row.
    Rows within some σ are counted beyond those that the density around explains, of an area or of lines. Where
    rows are dense it is too small; clumps of molecules no larger than σ look the same.
    """
    from scipy.spatial import KDTree

    scaled = xyz / (np.sqrt(2) * sigma_um)
    # The depth is gated, and does not count to the distance: one tree, in which z is compressed.
    squeezed = np.column_stack([scaled[:, :2], scaled[:, 2] * (_AROUND[-1] / _DEPTH)])
    tree = KDTree(squeezed, balanced_tree=False, compact_nodes=False)
    chosen = np.random.default_rng(_SEED).permutation(len(xyz))[:_MOST]
    counts, looked, pairs = np.zeros(3), 0, 0
    while looked < len(chosen) and pairs <= _ENOUGH:
        # As many as have pairs enough by the rows before: a bead in each frame is a pair with every other row.
        batch = int(_PAIRS_AT_ONCE * looked / pairs) + 1 if pairs else _AT_FIRST
        rows = chosen[looked : looked + min(batch, _AT_ONCE)]
        near = tree.query_ball_point(squeezed[rows], _AROUND[-1], p=np.inf)
        one = np.repeat(rows, [len(each) for each in near])
        other = np.concatenate([np.asarray(each, dtype=np.int64) for each in near])
        far = np.abs(frame[one] - frame[other]) > apart
        distance = np.hypot(*(scaled[one[far], :2] - scaled[other[far], :2]).T)
        counts += [np.count_nonzero(distance <= _SAME), *np.histogram(distance, _AROUND)[0]]
        looked, pairs = looked + len(rows), pairs + len(one)
    more, error = _more_than_around(*counts.tolist())
    # A pair of rows that were both looked up is counted twice.
    error *= np.sqrt(1 + looked / len(xyz))
    return more / _INSIDE / looked if more > _SURE * error else 0.0


def spot_resolution_um(again: float, sigma_um: float) -> float | None:
    """Where Fourier correlation falls below 1/7 by rows of the same molecules alone, µm; None: never above.

    With m rows of a molecule in a half it is m·g/(1 + m·g) at a frequency q, g = exp(−4π²σ²q²).
    again: as of `rows_again`, twice m;  sigma_um: of a row.
    """
    return float(2 * np.pi * sigma_um / np.sqrt(np.log(3 * again))) if again > 1 / 3 else None


def _more_than_around(same: float, ring: float, outer: float) -> tuple[float, float]:
    """Pairs near each other beyond those that the surroundings explain, and the standard error.

    same, ring, outer: pairs within the first radius and in the rings around. An area gives as many as there is
    area, a line as many as there is length: both are taken from the two rings, neither below 0.
    """
    length = np.array([_SAME, *np.diff(_AROUND)])
    area = np.array([_SAME**2, *np.diff(np.square(_AROUND))])
    even = (outer - ring * length[2] / length[1]) / (area[2] - area[1] * length[2] / length[1])
    even = min(max(even, 0.0), (ring + outer) / (area[1] + area[2]))
    along = max(ring + outer - even * (area[1] + area[2]), 0.0) / (length[1] + length[2])
    expected = even * area[0] + along * length[0]
    # A change of the rings by their noise changes what is expected by up to twice as much.
    return same - expected, float(np.sqrt(max(same, 1.0) + 4 * (ring + outer)))
