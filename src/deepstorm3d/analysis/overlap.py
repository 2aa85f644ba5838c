"""Sum of the Gaussian overlaps of the near pairs of a list once drift is subtracted: largest when it is right.

The minimum-entropy estimator and its relatives maximize this sum (Cnossen et al. 2021, Opt. Express 29, 27961;
Reinkensmeier & Bates 2026, COMET). Positions and shifts are in units of the localizations' σ on each axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["Pairs", "align", "near_pairs", "spline_basis"]

Floats = NDArray[np.float64]

# Pairs are searched up to this many widths of the kernel, where it has fallen to 1 %.
_REACH = 3.0
# Number of localizations from which the number of pairs is estimated.
_PROBED = 2000
# Number of localizations among which their neighbours are counted for that.
_SAMPLE = 100_000
# Weight of the squared second differences of neighbouring knots (σ units), relative to the overlap: too small
# to act against a few localizations, yet it makes the curve straight in frames without any.
_STIFFNESS = 1e-5
# Most iterations of L-BFGS.
_STEPS = 60


@dataclass(frozen=True)
class Pairs:
    """Pairs of localizations from different frames that may be neighbours.

    apart: (P, 3) float32, position of the first minus that of the second, drift included, in σ;
    first, second: (P,) int32, their frames;  frames: number of frames in the movie.
    """

    apart: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    frames: int

    def __len__(self) -> int:
        return len(self.first)

    def overlap(self, shift: Floats, width: float) -> tuple[float, Floats]:
        """Sum over pairs of exp(−Δ²/2w²) and its gradient; shift: (F, 3) σ, width: w, σ;  gradient: (F, 3)."""
        from .compiled import add_overlaps

        slope = np.zeros(shift.shape)
        shift32, sharpness = shift.astype(np.float32), np.float32(0.5 / width**2)
        total = add_overlaps(self.apart, self.first, self.second, shift32, sharpness, slope)
        return float(total), slope / width**2

    def stiffness(self, shift: Floats, width: float, basis: csr_array) -> Floats:
        """Coupling of the knots of a curve by the pairs that overlap, (K, K).

        It is the Laplacian of the graph whose edges are the overlaps of the pairs, which bounds the curvature
        of the sum of overlaps: the matrix of a mean-shift step.  basis: of `spline_basis`.
        """
        from .compiled import add_couplings

        knots = np.zeros((int(basis.indices.max()) + 1,) * 2)
        # Each frame has the four knots of a cubic spline.
        spline = basis.indices[::4].astype(np.int64), basis.data.reshape(-1, 4)
        shift32, sharpness = shift.astype(np.float32), np.float32(0.5 / width**2)
        add_couplings((self.apart, self.first, self.second), shift32, sharpness, spline, knots)
        return knots / width**2


def near_pairs(
    place: Floats,
    frame: NDArray[np.int64],
    shift: Floats,
    width: float,
    *,
    most: int,
    rng: np.random.Generator,
    within: float | None = None,
) -> Pairs:
    """All pairs within 3 widths of each other once `shift` is subtracted.

    place: positions (N, 3), σ;  frame: (N,);  shift: (F, 3) σ;  width: of the kernel, σ;  most: approximate
    upper limit of the number of pairs; localizations are left out at random to stay below it;  within: pairs
    farther apart in time than this number of frames are left out.
    """
    from .compiled import differences

    reach = _REACH * width

    def corrected(rows: NDArray[np.int64]) -> Floats:
        at: Floats = place[rows] - shift[frame[rows]]
        # Time is the fourth coordinate: a pair that is far apart in time lies outside the ball.
        if within is not None:
            at = np.asarray(np.column_stack([at, frame[rows] * (reach / within)]), np.float64)
        return at

    # A sample tells the number of pairs: of a long list few rows are used while the kernel is wide.
    sample = rng.choice(len(place), min(len(place), _SAMPLE), replace=False)
    at = corrected(sample)
    around = _tree(at).query_ball_point(at[:_PROBED], reach, return_length=True)
    share = float(np.mean(around) - 1) / max(len(sample) - 1, 1)
    expected = len(place) * (len(place) - 1) / 2 * share
    kept = np.arange(len(place))
    if expected > most:
        kept = np.flatnonzero(rng.random(len(place)) < np.sqrt(most / expected))
    near = _tree(corrected(kept)).query_pairs(reach, output_type="ndarray")
    apart, (first, second) = np.empty((len(near), 3), np.float32), np.empty((2, len(near)), np.int32)
    number = differences(near, kept, place, frame, apart, first, second)
    return Pairs(apart[:number], first[:number], second[:number], frames=len(shift))


def _tree(points: Floats) -> KDTree:
    from scipy.spatial import KDTree

    # Unbalanced trees are built in half the time, and searches in them are as fast.
    return KDTree(points, balanced_tree=False, compact_nodes=False)


def spline_basis(frames: int, segments: int) -> csr_array:
    """Cubic B-splines over the movie with `segments` equal spans, (frames, segments + 3)."""
    ends = np.linspace(0, max(frames - 1, 1), segments + 1)
    knots = np.concatenate([[ends[0]] * 3, ends, [ends[-1]] * 3])
    return csr_array(BSpline.design_matrix(np.arange(frames, dtype=np.float64), knots, 3))


def align(pairs: Pairs, basis: csr_array, start: Floats, width: float) -> Floats:
    """Coefficients (K, 3) of the curve of greatest overlap near `start` (K, 3).

    L-BFGS on coefficients that are scaled by the stiffness at the start. Drift accumulates from pair to pair
    along the movie, and without the scaling the descent would hardly move parts that are far apart in time.
    """
    if not len(pairs):
        return start
    scale = max(pairs.overlap(basis @ start, width)[0], 1.0)
    bend = np.diff(np.eye(len(start)), 2, axis=0)
    stiff = 2 * _STIFFNESS * bend.T @ bend
    held = pairs.stiffness(basis @ start, width, basis) / scale + stiff
    root = np.linalg.cholesky(held + 1e-6 * np.trace(held) / len(held) * np.eye(len(held)))
    transposed = basis.T.tocsr()

    def loss(flat: Floats) -> tuple[float, Floats]:
        knots = start + solve_triangular(root, flat.reshape(start.shape), lower=True, trans=1)
        gain, slope = pairs.overlap(basis @ knots, width)
        value = -gain / scale + 0.5 * float((knots * (stiff @ knots)).sum())
        downhill = stiff @ knots - transposed @ slope / scale
        return value, solve_triangular(root, downhill, lower=True).ravel()

    settings = {"maxiter": _STEPS, "ftol": 1e-8, "maxcor": 20}
    found = minimize(loss, np.zeros(start.size), jac=True, method="L-BFGS-B", options=settings)
    return start + solve_triangular(root, found.x.reshape(start.shape), lower=True, trans=1)
