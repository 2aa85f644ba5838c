"""Precision from the list itself: how far a molecule lies from where it lay one frame before.

Nearest-neighbour analysis, NeNA (Endesfelder et al. 2014, Histochem. Cell Biol. 141, 629), axis by axis: the
differences of localizations of one molecule in adjacent frames are Gaussian with √2 σ; those of different
molecules lie in a broad background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from .pairs import pairs_within

__all__ = ["AxisPrecision", "neighbour_precision"]

Floats = NDArray[np.float64]

_BINS = 61
# Half widths, in √2 σ: of the histogram along an axis, and of the gate in the other two.
_WINDOW, _GATE = 6.0, 3.0
_ROUNDS = 6
# The least guess of σ in x, y, z to start from, µm.
_START_UM = (0.015, 0.015, 0.03)
# Where the guess shows no pairs, parts of it: most rows may be of dim molecules that shine once.
_NARROWER = (1.0, 0.3, 0.1)
_FEWEST = 100
_MOST_ROWS = 1_000_000
_BLOCK = 20


@dataclass(frozen=True)
class AxisPrecision:
    """The σ of one axis, and the fit it comes from.

    sigma_um: of a localization, with its standard error;  pairs: of one molecule, by the fit;
    apart_um: (K,) difference between adjacent frames, middle of each bin;  counts: (K,) pairs found there;
    fitted, background: (K,) by the fit, in all and of different molecules;  motion_um: of all molecules from
    one frame to the next (drift), with its standard error;  stated_um: median of the σ that the rows of those
    pairs state, None where they state none.
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
    """Rows in adjacent frames: apart (P, 3) µm; stated (P, 3) µm, σ of a row of each pair, 0: unknown."""

    apart: Floats
    stated: Floats


def neighbour_precision(
    xyz: Floats, frame: NDArray[np.int64], start_um: Floats, stated_um: Floats | None = None
) -> tuple[AxisPrecision, AxisPrecision, AxisPrecision] | None:
    """σ in x, y and z from pairs in adjacent frames; None where too few molecules shine in two frames.

    xyz: (N, 3) µm, drift subtracted;  frame: (N,);  start_um: (3,) a first guess of σ;  stated_um: (N, 3) σ
    that the rows state, 0 where unknown.
    It is an average over molecules that shine longer than a frame, their first and last frames, in which
    they shine for part of the time, included. At most a million rows are read, in blocks of frames.
    """
    rows = slice(None)
    if len(frame) > _MOST_ROWS:
        rows = (frame // _BLOCK) % int(np.ceil(len(frame) / _MOST_ROWS)) == 0
    stated = np.zeros_like(xyz) if stated_um is None else stated_um
    chosen = xyz[rows], frame[rows], stated[rows]
    for part in _NARROWER:
        fits = _from_wide_to_narrow(chosen, np.sqrt(2) * np.maximum(part * start_um, _START_UM))
        if fits is not None:
            return fits
    return None


def _from_wide_to_narrow(
    rows: tuple[Floats, NDArray[np.int64], Floats], width: Floats
) -> tuple[AxisPrecision, AxisPrecision, AxisPrecision] | None:
    """Fits in windows that follow σ: a narrow one shows no background, in a wide one it hides the pairs."""
    widest = 3 * width
    pairs = _adjacent(*rows, _WINDOW * widest)
    fits: list[AxisPrecision] = []
    for _ in range(_ROUNDS):
        fits = []
        for axis in range(3):
            fit = _fit_axis(pairs, width, axis)
            if fit is None:
                return None
            fits.append(fit)
        width = np.clip([np.sqrt(2) * fit.sigma_um for fit in fits], widest / 30, widest)
    return fits[0], fits[1], fits[2]


def _adjacent(xyz: Floats, frame: NDArray[np.int64], stated: Floats, reach: Floats) -> _Pairs:
    """All rows in adjacent frames that are nearer than `reach` in every axis."""
    rows = xyz / reach, frame
    earlier, later = pairs_within(rows, rows, 1.0, frames_later=1, norm=np.inf)
    first, second = stated[earlier], stated[later]
    # The difference has the variance of both.
    known = (first > 0) & (second > 0)
    return _Pairs(xyz[later] - xyz[earlier], np.where(known, np.sqrt((first**2 + second**2) / 2), 0.0))


def _fit_axis(adjacent: _Pairs, width: Floats, axis: int) -> AxisPrecision | None:
    """σ along one axis from the histogram of the differences there, where the other two axes agree."""
    near = (np.abs(adjacent.apart) <= np.where(np.arange(3) == axis, _WINDOW, _GATE) * width).all(1)
    chosen = adjacent.apart[near, axis]
    if len(chosen) < _FEWEST:
        return None
    counts, edges = np.histogram(chosen, _BINS, (-_WINDOW * width[axis], _WINDOW * width[axis]))
    middle, bin_um = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    x = middle / width[axis]
    fit = _fit_counts(x, counts.astype(np.float64))
    if fit is None:
        return None
    found, error, expected = fit
    height, spread, centre = float(found[0]), abs(float(found[1])), float(found[4])
    pairs = height * spread * np.sqrt(2 * np.pi) * width[axis] / bin_um
    if height < 5 * error[0] or pairs < _FEWEST or not 0.2 < spread < 4:
        return None
    background = found[2] + found[3] * x**2
    inside = np.abs(x - centre) <= _GATE * spread
    level_inside, level_outside = (float(background[each].sum()) for each in (inside, ~inside))
    others = max(level_inside, 0.0) / level_outside if level_outside > 0 else 0.0
    close = np.abs(chosen / width[axis] - centre) <= _GATE * spread
    return AxisPrecision(
        sigma_um=spread * width[axis] / np.sqrt(2),
        error_um=float(error[1]) * width[axis] / np.sqrt(2),
        pairs=pairs,
        apart_um=middle,
        counts=counts.astype(np.float64),
        fitted=expected,
        background=background,
        motion_um=centre * width[axis],
        motion_error_um=float(error[4]) * width[axis],
        stated_um=_median_stated(adjacent.stated[near, axis], close, others),
    )


def _fit_counts(x: Floats, counts: Floats) -> tuple[Floats, Floats, Floats] | None:
    """A Gaussian on a parabola by least squares weighted for counts; None where that does not settle.

    Its height, σ, level, bend and centre, and their standard errors (5,); counts by the fit (K,).
    """

    def model(x: Floats, height: float, spread: float, level: float, bend: float, centre: float) -> Floats:
        return height * np.exp(-0.5 * ((x - centre) / spread) ** 2) + level + bend * x**2

    level = float(np.median(np.concatenate([counts[:10], counts[-10:]])))
    found = np.array([max(float(counts.max()) - level, 1.0), 1.0, level, 0.0, 0.0])
    expected, covariance = counts, np.zeros((5, 5))
    try:
        for _ in range(3):
            # Weighted by what is expected, not by what was counted, which would favour what came out low.
            noise = np.sqrt(np.maximum(expected, 1.0))
            found, covariance = curve_fit(model, x, counts, found, noise, absolute_sigma=True, maxfev=5000)
            expected = model(x, *found)
    except RuntimeError:
        return None
    return found, np.sqrt(np.diag(covariance)), expected


def _median_stated(stated: Floats, close: NDArray[np.bool_], others: float) -> float | None:
    """Median σ of the pairs of one molecule; None where none is known.

    stated: (P,) µm;  close: (P,) whether a pair may be of one molecule;  others: pairs of different molecules
    among these for each pair that is not close, by which they are subtracted.
    """
    known = stated > 0
    order = np.argsort(stated[known])
    weight = np.where(close[known], 1.0, -others)[order]
    total = np.cumsum(weight)
    if not len(total) or total[-1] <= 0:
        return None
    return float(stated[known][order][np.argmax(total >= total[-1] / 2)])
