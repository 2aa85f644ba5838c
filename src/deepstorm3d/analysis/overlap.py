"""Sum of the Gaussian overlaps of the near pairs of a list once drift is subtracted: largest when it is right.

The minimum-entropy estimator and its relatives maximize this sum (Cnossen et al. 2021, Opt. Express 29, 27961;
Reinkensmeier & Bates 2026, COMET). Positions and shifts are in units of the localizations' σ on each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.sparse import coo_array, csr_array

__all__ = ["Pairs", "align", "near_pairs", "spline_basis"]

Floats = NDArray[np.float64]

# Pairs are searched up to this many widths of the kernel, where it has fallen to 1 %.
_REACH = 3.0
# Number of localizations from which the number of pairs is estimated.
_PROBED = 2000
# Weight of the squared second differences of neighbouring knots (σ units), relative to the overlap: too small
# to act against a few localizations, yet it makes the curve straight in frames without any.
_STIFFNESS = 1e-5
# Most iterations of L-BFGS.
_STEPS = 60


@dataclass(frozen=True)
class Pairs:
    """Pairs of localizations from different frames that may be neighbours.

    apart: (3, P) float32, position of the first minus that of the second, drift included, in σ;
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
        moved, weight = self._weighted(shift, width)
        slope = np.empty_like(shift)
        for a in range(3):
            pull = weight * moved[a]
            slope[:, a] = np.bincount(self.first, pull, self.frames) - np.bincount(
                self.second, pull, self.frames
            )
        return float(weight.sum(dtype=np.float64)), slope / width**2

    def stiffness(self, shift: Floats, width: float, basis: csr_array) -> Floats:
        """Coupling of the knots of a curve by the pairs that overlap, (K, K).

        It is the Laplacian of the graph whose edges are the overlaps of the pairs, which bounds the curvature
        of the sum of overlaps: the matrix of a mean-shift step.
        """
        weight = self._weighted(shift, width)[1].astype(np.float64)
        tied = coo_array((weight, (self.first, self.second)), shape=(self.frames, self.frames)).tocsr()
        degree = tied.sum(0) + tied.sum(1)
        crossed = (basis.T @ tied @ basis).toarray()
        own = (basis.T @ (basis * degree[:, None])).toarray()
        return (own - crossed - crossed.T) / width**2

    def _weighted(self, shift: Floats, width: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Distances (3, P) minus the shift between their frames, and their overlaps (P,)."""
        shift32 = shift.astype(np.float32)
        moved = np.stack(
            [self.apart[a] - (shift32[:, a][self.first] - shift32[:, a][self.second]) for a in range(3)]
        )
        return moved, np.exp(np.einsum("ap,ap->p", moved, moved) * np.float32(-0.5 / width**2))


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
    from scipy.spatial import KDTree

    reach, corrected = _REACH * width, place - shift[frame]
    if within is not None:
        # Time is the fourth coordinate: a pair that is far apart in time lies outside the ball.
        corrected = np.column_stack([corrected, frame * (reach / within)])
    kept = np.arange(len(place))
    tree = KDTree(corrected)
    probes = corrected[rng.choice(len(place), min(len(place), _PROBED), replace=False)]
    expected = len(place) * float(np.mean(tree.query_ball_point(probes, reach, return_length=True)) - 1) / 2
    if expected > most:
        kept = np.flatnonzero(rng.random(len(place)) < np.sqrt(most / expected))
        tree = KDTree(corrected[kept])
    pairs = tree.query_pairs(reach, output_type="ndarray")
    one, other = kept[pairs[:, 0]], kept[pairs[:, 1]]
    tell = frame[one] != frame[other]
    one, other = one[tell], other[tell]
    return Pairs(
        apart=np.ascontiguousarray((place[one] - place[other]).T, dtype=np.float32),
        first=frame[one].astype(np.int32),
        second=frame[other].astype(np.int32),
        frames=len(shift),
    )


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
