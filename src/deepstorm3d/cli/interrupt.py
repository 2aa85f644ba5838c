"""Ctrl-C and SIGTERM that end work cleanly: the first stops it where it can be resumed, the second quits."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopRequest", "terminated_like_interrupted"]

_WORDS = b"\nstopping at the next point from which --resume can go on; Ctrl-C again quits at once\n"
# Seconds that work has to come to such a point (a step of a training, a step of a fit). After them it is ended
# as by a second Ctrl-C: what is saved is whole at any moment.
_PATIENCE_S = 4.0
# The same after SIGTERM: nobody waits at a keyboard, and systems, schedulers and the studio give more time.
_SYSTEM_PATIENCE_S = 30.0


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt as Ctrl-C does, so that what is unfinished is deleted.

    By default the system ends the process at once. Where it was told to ignore the signal, it does.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class StopRequest:
    """Whether the user (SIGINT) or the system (SIGTERM) has asked to stop; a context manager.

    Calling it gives the answer. Work that does not ask in time is interrupted.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}
        self._patience: threading.Timer | None = None

    def __call__(self) -> bool:
        if self.requested:
            # The work knows, and is left to end by itself.
            self._have_patience()
        return self.requested

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere (a browser application) the job is stopped otherwise.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._have_patience()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # print() may be what was interrupted; a plain write is always safe here.
        os.write(2, _WORDS)
        patience = _SYSTEM_PATIENCE_S if number == signal.SIGTERM else _PATIENCE_S
        self._patience = threading.Timer(patience, _thread.interrupt_main)
        self._patience.daemon = True
        self._patience.start()

    def _have_patience(self) -> None:
        """Interrupt nothing: the work knows, or has ended."""
        if self._patience is not None:
            self._patience.cancel()
