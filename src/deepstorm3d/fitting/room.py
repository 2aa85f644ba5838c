"""Memory that fits have in common which run side by side: one begins when there is room for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from ..watch import Watcher, advance

__all__ = ["Room"]

_ASKED_EVERY_S = 0.5  # how often the watcher is asked whether to stop while a fit waits


class Room:
    """Memory for fits that run side by side; one alone may take more.

    size: of it, bytes.
    """

    def __init__(self, size: float) -> None:
        self._left, self._inside, self._change = size, 0, Condition()

    @contextmanager
    def of(self, needed: float, watch: Watcher) -> Iterator[None]:
        """The body begins when so many bytes are left, or no other is at work; the watcher can end the wait."""
        with self._change:
            while self._inside and needed > self._left:
                self._change.wait(_ASKED_EVERY_S)
                advance(watch)
            self._left, self._inside = self._left - needed, self._inside + 1
        try:
            yield
        finally:
            with self._change:
                self._left, self._inside = self._left + needed, self._inside - 1
                self._change.notify_all()
