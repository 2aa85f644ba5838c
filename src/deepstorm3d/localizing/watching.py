"""Inside a block of frames: how far the work is, and whether it has been asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import Interrupted

__all__ = ["Watch"]

# Seconds between two reports: the work asks thousands of times.
_EVERY = 0.5


class Watch:
    """Called again and again with the frames of a block that are done; `before` frames were before it.

    should_stop: asked each time; raises Interrupted where it says yes;
    on_progress: told the frames done in all, now and then, so that the user sees that the work is alive.
    """

    def __init__(self, should_stop: Callable[[], bool], on_progress: Callable[[int], None]) -> None:
        self.should_stop, self.on_progress = should_stop, on_progress
        self.before = 0
        self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        """`done` frames of the block are done."""
        if self.should_stop():
            raise Interrupted
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            self.on_progress(self.before + done)
