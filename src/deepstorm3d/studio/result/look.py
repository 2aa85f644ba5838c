"""What the panel "Result" shows: a list, the rows of it that are kept, and how they are drawn."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from ...analysis.binned import BinnedColumn
from ...errors import InputError
from ...watch import Watcher
from ..latest import Latest
from .cloud import CloudLook
from .conditions import Conditions, Range
from .kept import Distribution, Kept, Sieve, distributions
from .opened import OpenList, Wanted, bin_columns, open_list
from .picture import PictureLook
from .steps import Outcome, Step, take_step

__all__ = ["ResultLook"]


class ResultLook:
    """The open list, its filter, its pictures, and the steps that make other lists of it.

    Attributes
    ----------
    opening, binning, sieving, counting, stepping : Latest
        Reading a list; its columns in bins; the rows that are kept; their histograms; a step such as drift.
    opened : OpenList or None
        The list that was opened last without an error.
    columns : mapping
        Its columns in bins, empty until they are counted.
    kept : Kept or None
        Its rows that meet the conditions, of the newest answer.
    conditions : Conditions
        The filter that is asked for.
    picture, cloud : PictureLook, CloudLook
        How the list is drawn in two and three dimensions.
    """

    def __init__(self) -> None:
        self._own = 0
        self._lock = threading.Lock()
        self._sieve = Sieve()
        self.opened: OpenList | None = None
        self.columns: Mapping[str, BinnedColumn] = {}
        self.kept: Kept | None = None
        self.conditions = Conditions()
        self.opening: Latest[Wanted, OpenList] = Latest(self._open)
        self.binning: Latest[OpenList, Mapping[str, BinnedColumn]] = Latest(self._bin)
        self.sieving: Latest[tuple[OpenList, Conditions], Kept] = Latest(self._keep)
        self.counting: Latest[tuple[Kept, Mapping[str, BinnedColumn]], dict[str, Distribution]] = Latest(
            distributions
        )
        self.stepping: Latest[Step, Outcome] = Latest(take_step)
        self.picture = PictureLook()
        self.cloud = CloudLook()

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        parts = (self.opening, self.binning, self.sieving, self.counting, self.stepping)
        return self._own + self.picture.changes + self.cloud.changes + sum(part.changes for part in parts)

    def open(self, path: Path, pixel_nm: float | None = None) -> None:
        """Open a list in a thread; the one that is open stays until the new one is read."""
        self.opening.ask(Wanted(path, pixel_nm))

    def close(self) -> None:
        """No list is open."""
        with self._lock:
            self.opening.stop()
            self.opened, self.kept, self.columns, self.conditions = None, None, {}, Conditions()
            self._own += 1

    def limit(self, column: str, limits: Range) -> None:
        """Keep only rows whose column lies in a range; (None, None): any."""
        binned = self.columns.get(column)
        if binned is None:
            raise InputError(f"the list has no values in a column '{column}'")
        self._filter(self.conditions.within(column, limits, float(binned.edges[-1] - binned.edges[0])))

    def say(self, words: str) -> None:
        """Keep only rows that meet a condition in words too; raises InputError where it cannot be read."""
        self._filter(self.conditions.saying(words))

    def keep_all(self) -> None:
        """Drop all conditions."""
        self._filter(Conditions())

    @property
    def distributions(self) -> Mapping[str, Distribution]:
        """How the kept rows are distributed in each column, of the newest answer; empty where there is none."""
        answer = self.counting.answer
        mine = answer is not None and answer.question[0].opened is self.opened
        return (answer.result or {}) if mine and answer is not None else {}

    @property
    def problem(self) -> Exception | None:
        """What kept the newest list from being opened, or the newest conditions from being applied."""
        for latest in (self.opening, self.sieving):
            if latest.answer is not None and latest.answer.error is not None and not latest.busy:
                return latest.answer.error
        return None

    def _filter(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._own += 1
        if self.opened is not None:
            self.sieving.ask((self.opened, conditions))

    # Each of these runs in the thread of its question, and asks for what follows from its answer.

    def _open(self, wanted: Wanted, watch: Watcher) -> OpenList:
        opened = open_list(wanted, watch)
        with self._lock:
            again = self.opened is not None and self.opened.path == wanted.path
            self.opened, self.columns = opened, {}
            self.conditions = self.conditions if again else Conditions()
            self.kept = Kept(opened, Conditions(), None, len(opened.table), 0)
            self.picture.suit(opened)
            self.cloud.suit()
        self.binning.ask(opened)
        self.sieving.ask((opened, self.conditions))
        return opened

    def _bin(self, opened: OpenList, watch: Watcher) -> Mapping[str, BinnedColumn]:
        columns = bin_columns(opened, watch)
        with self._lock:
            if opened is self.opened:
                self.columns = columns
        self._count()
        return columns

    def _keep(self, asked: tuple[OpenList, Conditions], watch: Watcher) -> Kept:
        kept = self._sieve.keep(asked, watch)
        with self._lock:
            if kept.opened is self.opened:
                self.kept = kept
        self._count()
        return kept

    def _count(self) -> None:
        with self._lock:
            if self.kept is not None and self.columns:
                self.counting.ask((self.kept, self.columns))
