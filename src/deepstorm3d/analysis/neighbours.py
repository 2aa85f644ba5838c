"""Precision from the list itself: the distance of a molecule from its position one frame before.

Nearest-neighbour analysis, NeNA (Endesfelder et al. 2014, Histochem. Cell Biol. 141, 629), axis by axis: the
differences of localizations of one molecule in adjacent frames are Gaussian with √2 σ; those of different
molecules form a background, which is narrow where they lie along a structure. It is measured: in frames far
apart, where the first molecule has gone dark, neighbours are different molecules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from ..brief import Brief
from .pairs import pairs_within

__all__ = ["AxisPrecision", "neighbour_precision"]

Floats = NDArray[np.float64]

# Bins of the histogram along an axis.
_BINS = 61
# Half width of the histogram along an axis, in √2 σ.
_WINDOW = 6.0
# Half width of the gate on the other two axes, in √2 σ.
_GATE = 3.0
# Largest width of the window over the initial one.
_WIDER = 3.0
# Number of times the window is fitted again to the new σ.
_ROUNDS = 6
# Lower limit of the initial guess of σ in x, y, z, µm.
_START_UM = (0.015, 0.015, 0.03)
# Factors on the initial guess, tried in order until pairs are found: most rows may be of dim molecules seen
# once.
_NARROWER = (1.0, 0.3, 0.1)
# Fewest pairs for a fit.
_FEWEST = 100
# Most rows that are used.
_MOST_ROWS = 1_000_000
# Numbers of frames after which a neighbour is another molecule, unless most molecules shine on. Those beyond
# half of the movie are left out; half of it is taken where that leaves none.
_LATER = (41, 53)
# Least such number: in shorter movies the background is the parabola alone.
_LEAST_LATER = 5
# Close pairs in adjacent frames for each row, from which on most molecules shine on, so that frames far apart
# show the same ones. Different molecules are rarely so close.
_LASTING = 0.3
# Frames in a block; longer lists are thinned out by whole blocks.
_BLOCK = 100
# Why there is no precision.
_TOO_FEW = "too few shine in adjacent frames"
_BY_CHANCE = (
    "neighbours in adjacent frames are no more than in frames far apart: they are different molecules of the "
    "structure, near each other by chance, and too few molecules shine on"
)


@dataclass(frozen=True, repr=False)
class AxisPrecision(Brief):
    """The σ of one axis, and the fit it comes from.

    sigma_um: of a localization, with its standard error;  pairs: fitted number of pairs of one molecule;
    apart_um: (K,) difference between adjacent frames, middle of each bin;  counts: (K,) pairs found there;
    fitted, background: (K,) expected counts, in all and of different molecules;  motion_um: displacement of all
    molecules from one frame to the next (drift), with its standard error;  stated_um: median of the σ that the
    rows of those pairs state, None where they state none.
    """

    sigma_um: float
    error_um: float
    pairs: float
    apart_um: Floats
    counts: Floats
    fitted: Floats
    background: Floats
    motion_um: float
    motion_error_um: float
    stated_um: float | None = None


@dataclass(frozen=True)
class _Pairs:
    """Rows in adjacent frames: apart (P, 3) µm; stated (P, 3) µm, σ of a row of each pair, 0: unknown.

    chance: (Q, 3) µm, differences of rows in frames far apart;  weight: expected adjacent pairs of different
    molecules for each of them, 0 where they cannot be told;  rows: that were searched.
    """

    apart: Floats
    stated: Floats
    chance: Floats
    weight: float
    rows: int

    def near(self, apart: Floats, axis: int, width: Floats) -> NDArray[np.bool_]:
        """Which differences are inside the window on one axis, and the gates on the others."""
        return np.all(np.abs(apart) <= np.where(np.arange(3) == axis, _WINDOW, _GATE) * width, axis=1)

    def expected(self, axis: int, width: Floats) -> tuple[Floats, Floats]:
        """Histogram of different molecules along an axis and its variance, (K,) each."""
        range_um = (-_WINDOW * width[axis], _WINDOW * width[axis])
        close = int((np.abs(self.apart) <= _GATE * width).all(1).sum())
        if self.weight == 0 or close >= _LASTING * self.rows:
            return np.zeros(_BINS), np.zeros(_BINS)
        chosen = self.chance[self.near(self.chance, axis, width), axis]
        counts = self.weight * np.histogram(chosen, _BINS, range_um)[0]
        return counts, self.weight * counts


def neighbour_precision(
    xyz: Floats, frame: NDArray[np.int64], start_um: Floats, stated_um: Floats | None = None
) -> tuple[AxisPrecision, AxisPrecision, AxisPrecision] | str:
    """σ in x, y and z from pairs in adjacent frames, or why there is none.

    xyz: (N, 3) µm, drift subtracted;  frame: (N,);  start_um: (3,) initial guess of σ;  stated_um: (N, 3) σ
    that the rows state, 0 where unknown.
    The result is an average over molecules that are bright for longer than a frame. It includes their first and
    last frames, in which they are bright for part of the exposure. At most a million rows are used, in blocks
    of frames.
    """
    if not len(frame):
        return _TOO_FEW
    rows = slice(None)
    if len(frame) > _MOST_ROWS:
        rows = ((frame - frame.min()) // _BLOCK) % int(np.ceil(len(frame) / _MOST_ROWS)) == 0
    stated = np.zeros_like(xyz) if stated_um is None else stated_um
    widths = [np.sqrt(2) * np.maximum(part * start_um, _START_UM) for part in _NARROWER]
    pairs = _adjacent(xyz[rows], frame[rows], stated[rows], _WINDOW * _WIDER * widths[0])
    for width in widths:
        if (fits := _from_wide_to_narrow(pairs, width)) is not None:
            return fits
    alone = replace(pairs, weight=0.0)
    return _BY_CHANCE if any(_from_wide_to_narrow(alone, width) for width in widths) else _TOO_FEW


def _from_wide_to_narrow(
    pairs: _Pairs, width: Floats
) -> tuple[AxisPrecision, AxisPrecision, AxisPrecision] | None:
    """Fits in windows that follow σ: a narrow window shows no background, in a wide one it hides the pairs."""
    widest = _WIDER * width
    fitted, fits = width, list[AxisPrecision]()
    for _ in range(_ROUNDS):
        fits = []
        for axis in range(3):
            fit = _fit_axis(pairs, width, axis)
            if fit is None:
                return None
            fits.append(fit)
        fitted, width = width, np.clip([np.sqrt(2) * fit.sigma_um for fit in fits], widest / 30, widest)
    x, y, z = (replace(fit, stated_um=_stated(pairs, fitted, axis, fit)) for axis, fit in enumerate(fits))
    return x, y, z


def _later(frame: NDArray[np.int64]) -> tuple[int, ...]:
    """Numbers of frames after which rows are of different molecules; none in a movie that is too short."""
    half = int(np.ptp(frame)) // 2
    return tuple(each for each in _LATER if each <= half) or ((half,) if half >= _LEAST_LATER else ())


def _adjacent(xyz: Floats, frame: NDArray[np.int64], stated: Floats, reach: Floats) -> _Pairs:
    """All pairs of rows nearer than `reach` on every axis, in adjacent frames and in frames far apart."""
    later = _later(frame)
    rows = xyz / reach, frame
    first, second = pairs_within(rows, rows, 1.0, frames_later=1, norm=np.inf)
    far = [pairs_within(rows, rows, 1.0, frames_later=each, norm=np.inf) for each in later]
    chance = [xyz[two] - xyz[one] for one, two in far]
    in_frame = np.bincount(frame - frame.min()).astype(np.float64)
    possible = [float(in_frame[:-each] @ in_frame[each:]) for each in (1, *later)]
    weight = possible[0] / sum(possible[1:]) if sum(possible[1:]) > 0 else 0.0
    # The variance of the difference is the sum of both variances.
    one, two = stated[first], stated[second]
    known = np.where((one > 0) & (two > 0), np.sqrt((one**2 + two**2) / 2), 0.0)
    beside = np.concatenate(chance) if chance else np.zeros((0, 3))
    return _Pairs(xyz[second] - xyz[first], known, beside, weight, len(frame))


def _fit_axis(adjacent: _Pairs, width: Floats, axis: int) -> AxisPrecision | None:
    """σ along one axis from the histogram of the differences, for pairs inside the gate on the other axes."""
    near = adjacent.near(adjacent.apart, axis, width)
    chosen = adjacent.apart[near, axis]
    if len(chosen) < _FEWEST:
        return None
    counts, edges = np.histogram(chosen, _BINS, (-_WINDOW * width[axis], _WINDOW * width[axis]))
    middle, bin_um = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    x = middle / width[axis]
    chance, variance = adjacent.expected(axis, width)
    fit = _fit_counts(x, counts - chance, chance + variance)
    if fit is None:
        return None
    found, error, expected = fit
    height, spread, centre = float(found[0]), abs(float(found[1])), float(found[4])
    pairs = height * spread * np.sqrt(2 * np.pi) * width[axis] / bin_um
    if height < 5 * error[0] or pairs < _FEWEST or not 0.2 < spread < 4:
        return None
    background = found[2] + found[3] * x**2 + chance
    return AxisPrecision(
        sigma_um=spread * width[axis] / np.sqrt(2),
        error_um=float(error[1]) * width[axis] / np.sqrt(2),
        pairs=pairs,
        apart_um=middle,
        counts=counts.astype(np.float64),
        fitted=expected + chance,
        background=background,
        motion_um=centre * width[axis],
        motion_error_um=float(error[4]) * width[axis],
    )


def _stated(adjacent: _Pairs, width: Floats, axis: int, fit: AxisPrecision) -> float | None:
    """Median σ that the rows of one molecule state, of the pairs of a fit."""
    near = adjacent.near(adjacent.apart, axis, width)
    reach = _GATE * np.sqrt(2) * fit.sigma_um
    inside = np.abs(fit.apart_um - fit.motion_um) <= reach
    level_inside, level_outside = (float(fit.background[each].sum()) for each in (inside, ~inside))
    others = max(level_inside, 0.0) / level_outside if level_outside > 0 else 0.0
    close = np.abs(adjacent.apart[near, axis] - fit.motion_um) <= reach
    return _median_stated(adjacent.stated[near, axis], close, others)


def _fit_counts(x: Floats, counts: Floats, beside: Floats) -> tuple[Floats, Floats, Floats] | None:
    """Gaussian on a parabola by least squares weighted for counts; None where the fit does not converge.

    counts: (K,) above those of different molecules;  beside: (K,) variance of the counts that theirs adds.
    Returns its height, σ, level, curvature and centre, their standard errors (5,), and the fitted counts (K,).
    """

    def model(x: Floats, height: float, spread: float, level: float, bend: float, centre: float) -> Floats:
        return height * np.exp(-0.5 * ((x - centre) / spread) ** 2) + level + bend * x**2

    level = float(np.median(np.concatenate([counts[:10], counts[-10:]])))
    found = np.array([max(float(counts.max()) - level, 1.0), 1.0, level, 0.0, 0.0])
    expected, covariance = counts, np.zeros((5, 5))
    try:
        for _ in range(3):
            # Weights from the expected counts: weights from the measured ones would favour bins that came out
            # low.
            noise = np.sqrt(np.maximum(expected + beside, 1.0))
            found, covariance = curve_fit(model, x, counts, found, noise, absolute_sigma=True, maxfev=5000)
            expected = model(x, *found)
    except RuntimeError:
        return None
    return found, np.sqrt(np.diag(covariance)), expected


def _median_stated(stated: Floats, close: NDArray[np.bool_], others: float) -> float | None:
    """Median σ of the rows in pairs of one molecule; None where none is known.

    stated: (P,) µm;  close: (P,) whether a pair may be of one molecule;  others: expected number of pairs of
    different molecules among the close ones, for each pair that is not close; they are subtracted.
    """
    known = stated > 0
    order = np.argsort(stated[known])
    weight = np.where(close[known], 1.0, -others)[order]
    total = np.cumsum(weight)
    if not len(total) or total[-1] <= 0:
        return None
    return float(stated[known][order][np.argmax(total >= total[-1] / 2)])
