"""Which rows of an open list meet the conditions, and how they are distributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...analysis.binned import QUANTILES, BinnedColumn
from ...analysis.filters import rows_where
from ...analysis.frames_of_molecules import frames_of_molecules
from ...columns import COLUMNS
from ...emitters import Localizations
from ...watch import SILENT, Watcher, advance
from .conditions import Conditions
from .molecule import FRAMES_OF_MOLECULES
from .opened import OpenList

__all__ = ["Distribution", "Kept", "Sieve", "distributions"]

# About how many rows tell the quantiles.
_SAMPLE = 1_000_000
# Numbers of frames up to which each is counted by itself.
_MOST_BARS = 40


@dataclass(frozen=True, eq=False)
class Kept:
    """The rows that meet the conditions.

    mask: (N,) in the order of the list; None: all rows;  rows: how many;  number: grows with each answer.
    """

    opened: OpenList
    conditions: Conditions
    mask: NDArray[np.bool_] | None
    rows: int
    number: int

    @cached_property
    def points(self) -> NDArray[np.bool_] | None:
        """The same in the order of the points of `tiles`."""
        return None if self.mask is None else self.mask[self.opened.tiles.rows]

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """The kept points in an order of which any part is a fair sample."""
        order = self.opened.order
        return order if self.points is None else order[self.points[order]]

    @property
    def table(self) -> Localizations:
        """The kept rows as a list."""
        return self.opened.table if self.mask is None else self.opened.table[self.mask]


class Sieve:
    """Finds the rows that meet conditions; a condition that was asked before is not computed again."""

    def __init__(self) -> None:
        self._opened: OpenList | None = None
        self._known: dict[str, NDArray[np.bool_]] = {}
        self._number = 0

    def keep(self, asked: tuple[OpenList, Conditions], watch: Watcher = SILENT) -> Kept:
        """The rows of a list for which each part holds, which is the same as that all together hold.

        Raises InputError as `rows_where` does.
        """
        opened, conditions = asked
        if opened is not self._opened:
            self._opened, self._known = opened, {}
        known = {}
        for done, part in enumerate(conditions.parts):
            advance(watch, done, len(conditions.parts), "filtering")
            mask = self._known.get(part)
            known[part] = rows_where(opened.table, part).numpy() if mask is None else mask
        self._known = known
        self._number += 1
        if not known:
            return Kept(opened, conditions, None, len(opened.table), self._number)
        mask = np.logical_and.reduce(list(known.values()))
        return Kept(opened, conditions, mask, int(mask.sum()), self._number)


@dataclass(frozen=True)
class Distribution:
    """Kept rows in the bins of a column (K,), and their figures; NaN where no row has a value.

    rows: how many have one;  least, most: of these;  quantiles: 5, 25, 50, 75 and 95 %.
    """

    counts: list[int]
    rows: int
    least: float
    quantiles: tuple[float, ...]
    most: float


def distributions(
    asked: tuple[Kept, Mapping[str, BinnedColumn]], watch: Watcher = SILENT
) -> dict[str, Distribution]:
    """How the kept rows are distributed in each column; of many rows, evenly chosen ones tell the quantiles."""
    kept, columns = asked
    rows = np.arange(len(kept.opened.table)) if kept.mask is None else np.flatnonzero(kept.mask)
    sample = kept.opened.table[rows[:: 1 + len(rows) // _SAMPLE]]
    found = {}
    for done, (name, column) in enumerate(columns.items()):
        advance(watch, done, len(columns), f"counting {name}")
        values = COLUMNS[name].values(sample)
        values = values[np.isfinite(values)]
        told = np.quantile(values, QUANTILES).tolist() if len(values) else [np.nan] * len(QUANTILES)
        least, most = _ends(kept, column)
        found[name] = Distribution(
            column.counts(kept.mask).tolist(), column.known(kept.mask), least, tuple(told), most
        )
    if kept.opened.table.molecule is not None and kept.rows:
        advance(watch, len(columns) - 1, len(columns), "counting molecules")
        found[FRAMES_OF_MOLECULES] = _frames_of_molecules(kept)
    return found


def _frames_of_molecules(kept: Kept) -> Distribution:
    """In how many of the kept rows each molecule is: its frames, in bins of one up to `_MOST_BARS`."""
    frames = frames_of_molecules(kept.table)
    most = int(frames.max())
    shown = min(most, _MOST_BARS)
    counts = np.bincount(np.minimum(frames, shown), minlength=shown + 1)[1:]
    quantiles = np.quantile(frames, QUANTILES).tolist()
    return Distribution(counts.tolist(), len(frames), float(frames.min()), tuple(quantiles), float(most))


def _ends(kept: Kept, column: BinnedColumn) -> tuple[float, float]:
    """The least and the most value of the kept rows."""
    if kept.mask is None:
        return column.least, column.most
    values = COLUMNS[column.name].values(kept.opened.table[column.near_ends(kept.mask)])
    return (float(values.min()), float(values.max())) if len(values) else (np.nan, np.nan)
