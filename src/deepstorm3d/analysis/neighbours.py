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

__all__ = ["AxisPrecision", "neighbour_precision"]

Floats = NDArray[np.float64]

_BINS = 61
# Half widths, in √2 σ: of the histogram along an axis, and of the gate in the other two.
_WINDOW, _GATE = 6.0, 3.0
_ROUNDS = 6
# The least guess of σ in x, y, z to start from, µm.
_START_UM = (0.015, 0.015, 0.03)
_FEWEST = 100
_MOST_ROWS = 1_000_000
_BLOCK = 20


@dataclass(frozen=True)
class AxisPrecision:
    """The σ of one axis, and the fit it comes from.

    sigma_um: of a localization, with its standard error;  pairs: of one molecule, by the fit;
    apart_um: (K,) difference between adjacent frames, middle of each bin;  counts: (K,) pairs found there;
    fitted, background: (K,) by the fit, in all and of different molecules.
    """

    sigma_um: float
    error_um: float
    pairs: float
    apart_um: Floats
    counts: Floats
    fitted: Floats
    background: Floats


def neighbour_precision(
    xyz: Floats, frame: NDArray[np.int64], start_um: Floats
) -> tuple[AxisPrecision, AxisPrecision, AxisPrecision] | None:
    """σ in x, y and z from pairs in adjacent frames; None where too few molecules shine in two frames.

    xyz: (N, 3) µm, drift subtracted;  frame: (N,);  start_um: (3,) a first guess of σ.
    It is an average over molecules that shine longer than a frame, their first and last frames, in which
    they shine for part of the time, included. At most a million rows are read, in blocks of frames.
    """
    rows = slice(None)
    if len(frame) > _MOST_ROWS:
        rows = (frame // _BLOCK) % int(np.ceil(len(frame) / _MOST_ROWS)) == 0
    # From wide to narrow: too narrow a window shows no background.
    width = np.sqrt(2) * np.maximum(start_um, _START_UM)
    widest = 3 * width
    apart = _adjacent(xyz[rows], frame[rows], _WINDOW * widest)
    fits: list[AxisPrecision] | None = None
    for _ in range(_ROUNDS):
        fits = []
        for axis in range(3):
            fit = _fit_axis(apart, width, axis)
            if fit is None:
                return None
            fits.append(fit)
        width = np.clip([np.sqrt(2) * fit.sigma_um for fit in fits], widest / 30, widest)
    assert fits is not None
    return fits[0], fits[1], fits[2]


def _adjacent(xyz: Floats, frame: NDArray[np.int64], reach: Floats) -> Floats:
    """Differences (P, 3) µm of all rows in adjacent frames that are nearer than `reach` in every axis."""
    from scipy.spatial import KDTree

    if len(frame) < 2:
        return np.zeros((0, 3))
    # Chebyshev distance below 1: within reach in each axis, and at most one frame apart.
    tree = KDTree(np.column_stack([xyz / reach, frame * 0.9]))
    pairs = tree.query_pairs(1.0, p=np.inf, output_type="ndarray")
    step = frame[pairs[:, 1]] - frame[pairs[:, 0]]
    pairs, step = pairs[step != 0], step[step != 0]
    return (xyz[pairs[:, 1]] - xyz[pairs[:, 0]]) * step[:, None]


def _fit_axis(apart: Floats, width: Floats, axis: int) -> AxisPrecision | None:
    """A Gaussian on a parabola, through the histogram of one axis by least squares weighted for counts."""
    near = np.abs(apart) <= np.where(np.arange(3) == axis, _WINDOW, _GATE) * width
    chosen = apart[near.all(1), axis]
    if len(chosen) < _FEWEST:
        return None
    counts, edges = np.histogram(chosen, _BINS, (-_WINDOW * width[axis], _WINDOW * width[axis]))
    middle, bin_um = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    x = middle / width[axis]

    def model(x: Floats, height: float, spread: float, level: float, bend: float) -> Floats:
        return height * np.exp(-0.5 * (x / spread) ** 2) + level + bend * x**2

    level = float(np.median(np.concatenate([counts[:10], counts[-10:]])))
    found = np.array([max(float(counts.max()) - level, 1.0), 1.0, level, 0.0])
    expected, covariance = counts.astype(np.float64), np.zeros((4, 4))
    try:
        for _ in range(3):
            # Weighted by what is expected, not by what was counted, which would favour what came out low.
            noise = np.sqrt(np.maximum(expected, 1.0))
            found, covariance = curve_fit(model, x, counts, found, noise, absolute_sigma=True, maxfev=5000)
            expected = model(x, *found)
    except RuntimeError:
        return None
    height, spread = float(found[0]), abs(float(found[1]))
    pairs = height * spread * np.sqrt(2 * np.pi) * width[axis] / bin_um
    if height < 5 * np.sqrt(covariance[0, 0]) or pairs < _FEWEST or not 0.2 < spread < 4:
        return None
    per_axis = width[axis] / np.sqrt(2)
    return AxisPrecision(
        sigma_um=spread * per_axis,
        error_um=float(np.sqrt(covariance[1, 1])) * per_axis,
        pairs=pairs,
        apart_um=middle,
        counts=counts.astype(np.float64),
        fitted=expected,
        background=found[2] + found[3] * x**2,
    )
