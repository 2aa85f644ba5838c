"""Progress within a block of frames, converted to frames of the whole run."""

from __future__ import annotations

import time

from ..watch import Watcher
from .excerpt import OpenExcerpt

__all__ = ["BlockWatcher"]

_REPORT_S = 0.5  # shortest time between two reports, s; the fit reports its progress thousands of times


class BlockWatcher(Watcher):
    """Passes the progress within the blocks of a run to the watcher of the run.

    watch: of the run;  source: its movie, which may still grow;  done: frame at which the run begins.
    """

    def __init__(self, watch: Watcher, source: OpenExcerpt, done: int) -> None:
        self._watch, self._source, self._before = watch, source, done
        self._last_report = time.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether the watcher of the run has stopped it."""
        return self._watch.stopped

    def message(self, text: str) -> None:
        """Pass a message on."""
        self._watch.message(text)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report `done` frames of the block, but not more often than every `_REPORT_S` seconds."""
        now = time.monotonic()
        if now - self._last_report >= _REPORT_S:
            self._last_report = now
            self._report(self._before + done)

    def block_done(self, end: int) -> None:
        """Report that all frames before frame `end` are done."""
        self._before = end
        self._report(end)

    def _report(self, end: int) -> None:
        first = self._source.span[0]
        self._watch.progress(end - first, max(end, self._source.last) - first)
