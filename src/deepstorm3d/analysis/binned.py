"""Columns of a list cut into bins once: histograms of any part of the rows are then quick, for a screen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..columns import COLUMNS, OPTIONAL, WHOLE, Column
from ..emitters import Localizations

__all__ = ["QUANTILES", "BinnedColumn", "bin_column", "even_edges", "known_columns"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of each column."""

# Bins of a column.
_BINS = 120
# Code of a row outside the bins.
_OUTSIDE = 254
# Code of a row that has no value.
_UNKNOWN = 255
# About how many rows the quantiles are found from: their standard error is then below 0.05 % of the rows.
_SAMPLE = 1_000_000
# The bins reach from this quantile to one minus it.
_TAIL = 0.001


@dataclass(frozen=True)
class BinnedColumn:
    """One column of a list, in bins.

    name, unit: as in `columns.COLUMNS`;  edges: (K + 1,) of the bins, over 99.8 % of the values, of frames over
    all;
    codes: (N,) bin of each row, 254 outside of the bins, 255 where the value is not known;
    quantiles: 5, 25, 50, 75 and 95 % of the known values;  least, most: of the known values;
    rows: how many rows have a value.
    Of more than a million rows, evenly chosen ones tell the quantiles.
    """

    name: str
    unit: str
    edges: NDArray[np.float64]
    codes: NDArray[np.uint8]
    quantiles: tuple[float, ...]
    least: float
    most: float
    rows: int

    def known(self, keep: NDArray[np.bool_] | None = None) -> int:
        """How many rows have a value.  keep: as in `counts`."""
        return self.rows if keep is None else int(np.count_nonzero(self.codes[keep] != _UNKNOWN))

    def near_ends(self, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
        """A few of the kept rows (M,): the least and the most value are among theirs.  keep: as in `counts`."""
        occupied = np.flatnonzero(self.counts(keep))
        near = self.codes == _OUTSIDE
        for bin in {*occupied[:1].tolist(), *occupied[-1:].tolist()}:
            near |= self.codes == bin
        return np.flatnonzero(near & keep)

    def counts(self, keep: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Rows in each bin (K,).  keep: (N,) which rows count; None: all."""
        codes = self.codes if keep is None else self.codes[keep]
        return np.bincount(codes, minlength=_UNKNOWN + 1)[: len(self.edges) - 1]


def known_columns(table: Localizations) -> list[str]:
    """Columns that some row of a list has a value in, as `bin_column` takes them."""
    absent = {name for name in OPTIONAL if getattr(table, name) is None}
    names = [name for name in COLUMNS if name not in absent]
    sample = table.select(slice(None, None, 1 + len(table) // _SAMPLE))
    return [name for name in names if np.isfinite(COLUMNS[name].values(sample)).any()]


def bin_column(table: Localizations, name: str) -> BinnedColumn:
    """Cut a column into bins.  A column without any value has one bin, from 0 to 1, and NaN quantiles."""
    column: Column = COLUMNS[name]
    values = column.values(table)
    known = np.isfinite(values)
    rows = int(known.sum())
    if not rows:
        codes, unknown = np.full(len(values), _UNKNOWN, np.uint8), (math.nan,) * len(QUANTILES)
        return BinnedColumn(name, column.unit, np.array([0.0, 1.0]), codes, unknown, math.nan, math.nan, 0)
    told = values if rows == len(values) else values[known]
    low, *middle, high = np.quantile(told[:: 1 + rows // _SAMPLE], [_TAIL, *QUANTILES, 1 - _TAIL]).tolist()
    # Each whole number has a bin of its own if there are not too many.
    if name == "frame":
        # The first and the last few frames are no outliers.
        low, high = float(told.min()), float(told.max())
    edges = _edges(low, high, whole=name in WHOLE)
    place = (values - edges[0]) * (1 / (edges[1] - edges[0]))
    # A value on the last edge belongs to the last bin.
    inside = (values >= edges[0]) & (values <= edges[-1])
    codes = np.where(inside, place.clip(0, len(edges) - 2), np.where(known, _OUTSIDE, _UNKNOWN))
    return BinnedColumn(
        name,
        column.unit,
        edges,
        codes.astype(np.uint8),
        tuple(middle),
        float(told.min()),
        float(told.max()),
        rows,
    )


def _edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    if whole:
        # Bins of one or more whole numbers each, so that none gets more numbers than another.
        first, last = math.floor(low), math.ceil(high)
        step = -(-(last - first + 1) // _BINS)
        bins = -(-(last - first + 1) // step)
        return first - 0.5 + step * np.arange(bins + 1, dtype=np.float64)
    return even_edges(low, high, _BINS)


def even_edges(low: float, high: float, bins: int) -> NDArray[np.float64]:
    """The edges of so many bins of one width from `low` to `high`, 1 % to either side where these are equal."""
    margin = (0.01 * abs(high) or 0.5) if high <= low else 0.0
    return np.linspace(low - margin, high + margin, bins + 1)
