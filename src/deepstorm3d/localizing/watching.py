"""Inside a block of frames: what its work tells, counted in frames of the whole run."""

from __future__ import annotations

import time

from ..watch import Silent, Watcher
from .excerpt import OpenExcerpt

__all__ = ["BlockWatcher"]

# Seconds between two reports: the work inside a block tells thousands of times.
_EVERY = 0.5


class BlockWatcher(Silent):
    """Watches the blocks of a run, one after the other, for the watcher of the run.

    watch: of the run;  source: its movie, which may still grow;  done: frames that were done before.
    """

    def __init__(self, watch: Watcher, source: OpenExcerpt, done: int) -> None:
        self._watch, self._source, self._before = watch, source, done
        self._told = time.monotonic()

    @property
    def stopped(self) -> bool:
        """As the watcher of the run says."""
        return self._watch.stopped

    def message(self, text: str) -> None:
        """Passed on."""
        self._watch.message(text)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """`done` frames of the block are done; passed on now and then: the user sees that it is alive."""
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            self._tell(self._before + done)

    def block_done(self, end: int) -> None:
        """All frames before frame `end` are done."""
        self._before = end
        self._tell(end)

    def _tell(self, end: int) -> None:
        first = self._source.span[0]
        self._watch.progress(end - first, max(end, self._source.last) - first)
