"""Diffusion of tracked molecules: mean squared displacement, D and localization error by covariances.

Vestergaard, Blainey and Flyvbjerg, Phys. Rev. E 89:022726, 2014. For free diffusion observed with localization
error σ and motion blur R, the steps Δ between frames Δt apart fulfil

    ⟨Δ²⟩ = 2 D Δt + 2 σ² − 4 R D Δt,    ⟨Δₙ Δₙ₊₁⟩ = 2 R D Δt − σ²,

so D = ⟨Δ²⟩/(2 Δt) + ⟨Δₙ Δₙ₊₁⟩/Δt and σ² = R ⟨Δ²⟩ + (2 R − 1) ⟨Δₙ Δₙ₊₁⟩: unbiased, without a fit. R is one sixth
of the fraction of Δt during which the shutter is open (Berglund, Phys. Rev. E 82:011917, 2010).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..brief import Brief
from ..emitters import Localizations

__all__ = [
    "AxisDiffusion",
    "Diffusion",
    "Displacements",
    "common_motion",
    "diffusion",
    "mean_square_displacement",
    "rows_between_steps",
    "rows_in_order",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Number of trajectories from which the error is estimated by the jackknife; for fewer, or where a few of them
# weigh as much as fewer, free diffusion is assumed.
_ENOUGH_TRACKS = 10


@dataclass(frozen=True)
class AxisDiffusion:
    """Free diffusion along one axis.

    coefficient: D, µm²/s, with its standard error;  sigma_um: localization error, with its standard error
    (0 where the estimated σ² is not positive).
    """

    coefficient: float
    coefficient_error: float
    sigma_um: float
    sigma_error_um: float


@dataclass(frozen=True)
class Diffusion:
    """D and σ of all trajectories together.

    axes: along x, y and z;  coefficient: mean D of the axes on which rows differ at all (a list without depths
    has no z), µm²/s, weighted by their precision, with its standard error;  steps: number of steps between
    adjacent frames;  tracks: number of trajectories with three frames in a row;  alike: the chance that D of
    these axes comes out as different as it does where it is the same on all;  measured: whether rows differ on
    x, y and z;  longest: the trajectory (``track``) with the most steps;  most: its number of steps.
    """

    axes: tuple[AxisDiffusion, AxisDiffusion, AxisDiffusion]
    coefficient: float
    coefficient_error: float
    steps: int
    tracks: int
    alike: float = 1.0
    measured: tuple[bool, bool, bool] = (True, True, True)
    longest: int = 0
    most: int = 0


@dataclass(frozen=True, repr=False)
class Displacements(Brief):
    """Mean squared displacement over time.

    lags: (L,) frames, from 1;  square_um2: (L, 3) mean square displacement on x, y and z, µm²;
    error_um2: (L, 3) standard error from the scatter between trajectories;  pairs: (L,) number of pairs of rows
    at that lag in one trajectory.
    """

    lags: Ints
    square_um2: Floats
    error_um2: Floats
    pairs: Ints


def diffusion(table: Localizations, *, interval: float = 1.0, exposure: float = 0.0) -> Diffusion | None:
    """D and localization error by the covariance estimator; None where no molecule has three frames in a row.

    table: with `track`;  interval: time between frames, s;  exposure: time the shutter is open in each frame,
    s. Steps across missing frames are not used. Every trajectory is weighted by its number of steps. Errors: by
    the jackknife over trajectories, which is valid for molecules of different D too; for fewer than ten
    trajectories by the paper's variance for free diffusion, and by the larger of both where a few of many
    trajectories have nearly all weight.
    """
    xyz, frame, track = rows_in_order(table)
    follows = (np.diff(track) == 0) & (np.diff(frame) == 1)
    step, owner = np.diff(xyz, axis=0), track[1:]
    twice = follows[1:] & follows[:-1]
    if not twice.any():
        return None
    blur = exposure / interval / 6
    used = np.unique(owner[1:][twice])
    place = np.searchsorted(used, owner)
    own = follows & np.isin(owner, used)

    def sums(values: Floats, of: NDArray[np.intp]) -> Floats:
        return np.stack([np.bincount(of, values[:, axis], len(used)) for axis in range(3)], axis=1).astype(
            float
        )

    squares = sums(step[own] ** 2, place[own])
    products = sums((step[1:] * step[:-1])[twice], place[1:][twice])
    steps = np.bincount(place[own], minlength=len(used))
    couples = np.bincount(place[1:][twice], minlength=len(used))
    total = int(steps.sum())
    found, variance = _estimate(squares.sum(0), products.sum(0), steps.sum(), couples.sum(), interval, blur)
    weighed = _Weighed.of(squares.sum(1), steps)
    errors, variance_errors = _expected_errors(found, variance, total, interval, blur)
    without = None
    if len(used) >= _ENOUGH_TRACKS:
        without = _estimate(
            squares.sum(0) - squares,
            products.sum(0) - products,
            (steps.sum() - steps)[:, None],
            (couples.sum() - couples)[:, None],
            interval,
            blur,
        )
        free = errors * math.sqrt(weighed.more), variance_errors
        errors, variance_errors = (_jackknife(each) for each in without)
        if not weighed.enough:
            errors, variance_errors = np.maximum(errors, free[0]), np.maximum(variance_errors, free[1])
        without = without[0]
    # An axis on which no row ever moves was not measured.
    measured = squares.sum(0) > 0 if squares.any() else np.ones(3, np.bool_)
    typical = np.full(3, found[measured].mean())
    expected = _expected_errors(typical, variance, total, interval, blur)[0] * math.sqrt(weighed.more)
    mean, spread, alike = _over_axes(found, errors, expected, without, weighed, measured)
    axes = [
        AxisDiffusion(
            float(d), float(d_error), math.sqrt(max(float(v), 0.0)), _sigma_error(float(v), float(v_error))
        )
        for d, d_error, v, v_error in zip(found, errors, variance, variance_errors, strict=True)
    ]
    x, y, z = measured.tolist()
    at = int(steps.argmax())
    return Diffusion(
        (axes[0], axes[1], axes[2]),
        mean,
        spread,
        steps=total,
        tracks=len(used),
        alike=alike,
        measured=(x, y, z),
        longest=int(used[at]),
        most=int(steps[at]),
    )


def mean_square_displacement(table: Localizations, longest: int) -> Displacements:
    """Mean squared displacement of rows 1 … `longest` frames apart in one trajectory, for lags with any pair.

    table: with `track`. Overlapping pairs are all counted, as usual; errors are from the scatter of
    trajectories.
    """
    xyz, frame, track = rows_in_order(table)
    lags, squares, errors, pairs = [], [], [], []
    for lag in range(1, longest + 1):
        key = track * (int(frame.max(initial=0)) + longest + 2) + frame
        at = np.searchsorted(key, key + lag)
        found = np.flatnonzero(at < len(key))
        found = found[key[at[found]] == key[found] + lag]
        if not len(found):
            continue
        square = (xyz[at[found]] - xyz[found]) ** 2
        of, owner = np.unique(track[found], return_inverse=True)
        mean = square.mean(axis=0)
        apart = np.stack([np.bincount(owner, square[:, axis] - mean[axis], len(of)) for axis in range(3)], 1)
        error = np.sqrt((apart**2).sum(axis=0)) / len(found) * math.sqrt(len(of) / max(len(of) - 1, 1))
        lags.append(lag)
        squares.append(mean)
        errors.append(error if len(of) > 1 else mean * math.sqrt(2 * lag / len(found)))
        pairs.append(len(found))
    rows = (len(lags), 3)
    return Displacements(
        np.array(lags, np.int64),
        np.array(squares, np.float64).reshape(rows),
        np.array(errors, np.float64).reshape(rows),
        np.array(pairs, np.int64),
    )


def common_motion(table: Localizations) -> tuple[float, float]:
    """Fraction of the squared steps that all molecules make together (drift), and its standard error.

    It is computed from the mean step between each two frames, minus the value expected of independent steps;
    (0, infinity) where no two frames share two trajectories.
    """
    xyz, frame, track = rows_in_order(table)
    follows = (np.diff(track) == 0) & (np.diff(frame) == 1)
    step, at = np.diff(xyz, axis=0)[follows], frame[1:][follows]
    _, owner, count = np.unique(at, return_inverse=True, return_counts=True)
    many = count >= 2
    if not many.any():
        return 0.0, math.inf
    mean = np.stack([np.bincount(owner, step[:, axis]) for axis in range(3)], axis=1) / count[:, None]
    total = float((step**2).sum(axis=1).mean())
    n = count[many]
    # The mean of n independent steps has 1/n of their mean square; of common steps it has all of it.
    excess = ((mean[many] ** 2).sum(axis=1) / max(total, 1e-30) * n - 1.0) / (n - 1.0)
    weight = (n - 1.0) ** 2
    weight /= weight.sum()
    return float(weight @ excess), float(np.sqrt((weight**2 * (2 / 3) / (n - 1.0) ** 2).sum()))


def rows_between_steps(table: Localizations) -> NDArray[np.bool_]:
    """Rows (N,) whose trajectory has rows in the frames before and after, the ones `diffusion` takes σ from."""
    order = _order(table)
    _, frame, track = rows_in_order(table)
    follows = (np.diff(track) == 0) & (np.diff(frame) == 1)
    between = np.zeros(len(table), np.bool_)
    between[order[1:-1][follows[1:] & follows[:-1]]] = True
    return between


def _order(table: Localizations) -> NDArray[np.intp]:
    """The tracked rows, by trajectory and frame."""
    assert table.track is not None
    frame, track = table.frame.cpu().numpy(), table.track.cpu().numpy()
    order = np.lexsort((frame, track))
    return order[track[order] >= 0]


def rows_in_order(table: Localizations) -> tuple[Floats, Ints, Ints]:
    """Positions, frames and trajectories of the tracked rows, sorted by trajectory and frame."""
    assert table.track is not None
    order = _order(table)
    frame, track = table.frame.cpu().numpy(), table.track.cpu().numpy()
    return table.xyz.detach().cpu().double().numpy()[order], frame[order], track[order]


def _estimate(
    squares: Floats, products: Floats, steps: Ints, couples: Ints, interval: float, blur: float
) -> tuple[Floats, Floats]:
    """D and σ² (…, 3) from the sums of Δ² and of ΔₙΔₙ₊₁ and the number of terms in each."""
    square, product = squares / np.maximum(steps, 1), products / np.maximum(couples, 1)
    return square / (2 * interval) + product / interval, blur * square + (2 * blur - 1) * product


def _jackknife(left_out: Floats) -> Floats:
    """Standard error of an estimate from the estimates with one of the (K, …) parts left out."""
    return np.sqrt((len(left_out) - 1) * ((left_out - left_out.mean(axis=0)) ** 2).mean(axis=0))


def _over_axes(
    found: Floats,
    errors: Floats,
    expected: Floats,
    without: Floats | None,
    weighed: _Weighed,
    measured: NDArray[np.bool_],
) -> tuple[float, float, float]:
    """Mean of D (3,) over the measured axes, its standard error, and `Diffusion.alike`.

    errors: (3,) of `found`;  expected: those expected at the mean D, which give the weights: an axis whose D
    came out low by chance has too small an error;  without: (K, 3) estimates with one trajectory left out, if
    there are enough.
    """
    weight = measured / np.maximum(expected, 1e-30) ** 2
    weight /= weight.sum()
    spread = float(np.sqrt((weight**2 * errors**2).sum()))
    if without is not None:
        # The axes of one molecule share its D: errors are independent only if all molecules have the same D.
        shared = float(_jackknife(without @ weight))
        spread = shared if weighed.enough else max(shared, spread)
    if without is not None and weighed.enough:
        around = without - without.mean(axis=0)
        covariance = (1 - 1 / len(without)) * around.T @ around
        alike = _chance_alike(found, covariance, weighed.tracks - 1, measured)
    else:
        alike = _chance_alike(found, np.diag(expected**2), weighed.steps, measured)
    return float(found @ weight), spread, alike


@dataclass(frozen=True)
class _Weighed:
    """How many trajectories and steps of equal weight tell as much as those there are.

    Each trajectory of n steps adds n D² of its own D to the variance of the sum: a long or a fast one may be
    nearly all of it, and the others then tell nothing (Satterthwaite, Biometrics Bull. 2:110, 1946).
    more: how much larger the variance is than of molecules of one D.
    """

    tracks: float
    steps: float
    more: float

    @classmethod
    def of(cls, square: Floats, steps: Ints) -> _Weighed:
        """square: (K,) sum of Δ² of each trajectory;  steps: (K,) its number of steps."""
        if not square.any():
            return cls(0.0, 0.0, 1.0)
        part = square**2 / steps
        more = float(part.sum() * steps.sum() / square.sum() ** 2)
        part = part / part.sum()
        return cls(1 / float((part**2).sum()), 1 / float((part**2 / steps).sum()), more)

    @property
    def enough(self) -> bool:
        """Whether the scatter between the trajectories tells the errors."""
        return self.tracks >= _ENOUGH_TRACKS


def _chance_alike(found: Floats, covariance: Floats, degrees: float, measured: NDArray[np.bool_]) -> float:
    """Chance that D of the measured axes differs as much as in `found` (3,) where it is the same on all.

    covariance: (3, 3) of `found`, estimated with so many degrees of freedom: Hotelling's T² of the differences.
    """
    from scipy.special import fdtrc

    others = int(measured.sum()) - 1
    rest = degrees - others + 1
    if others < 1 or rest < 1:
        return 1.0
    apart = np.diff(np.eye(3)[measured], axis=0)
    difference = apart @ found
    square = float(difference @ np.linalg.pinv(apart @ covariance @ apart.T) @ difference)
    return float(fdtrc(others, rest, square * rest / (others * degrees)))


def _expected_errors(
    coefficient: Floats, variance: Floats, steps: int, interval: float, blur: float
) -> tuple[Floats, Floats]:
    """Standard errors of D and σ² of free diffusion for this number of steps (the paper's variance of D)."""
    moved = np.maximum(coefficient, 0.0) * interval
    noise = np.maximum(variance, 0.0) - 2 * blur * moved
    of_d = (6 * moved**2 + 4 * moved * noise + 2 * noise**2) / steps + 4 * (moved + noise) ** 2 / steps**2
    # Var ⟨ΔₙΔₙ₊₁⟩ of a Gaussian process with these two covariances.
    first, second = 2 * moved + 2 * noise, -noise
    of_product = (first**2 + second**2 + 2 * second**2) / steps
    return np.sqrt(of_d) / interval, np.sqrt(of_product)


def _sigma_error(variance: float, error: float) -> float:
    """Standard error of σ from that of σ²; if σ² is below its error, the largest σ that it allows."""
    return error / (2 * math.sqrt(variance)) if variance > error else math.sqrt(max(error, 0.0))
