"""Work: one long piece of work in a thread, with its progress, what it says, and a way to stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from ..errors import InputError, Interrupted
from ..watch import Watcher

__all__ = ["Work"]

State = Literal["idle", "running", "done", "failed", "stopped"]


class Work(Watcher):
    """One piece of work at a time, which goes on though the page is closed, and ends with the studio.

    Attributes
    ----------
    name, state
        What is being done; idle, running, done, failed or stopped.
    done, total, note
        How far it is.
    said : list of str
        What it told the user on the way.
    result, error
        What came out of it.
    seconds : float
        How long it has been at it, or took.
    changes : int
        Grows with every change that a page shows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = False
        self._began = self._ended = 0.0
        self.changes = 0
        self.name, self.state = "", "idle"
        self._blank()

    def _blank(self) -> None:
        self.done, self.total, self.note = 0, 0, ""
        self.said: list[str] = []
        self.result: Any = None
        self.error: Exception | None = None

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self.state == "running"

    @property
    def seconds(self) -> float:
        """How long it has been at work, or took."""
        return (time.monotonic() if self.running else self._ended) - self._began

    def start(self, name: str, work: Callable[[Watcher], Any]) -> None:
        """Do this in a thread.  Raises InputError while something else is being done."""
        with self._lock:
            if self.running:
                raise InputError(f"busy: {self.name}", "wait, or stop it first")
            self._blank()
            self.name, self.state, self._stop = name, "running", False
            self._began = time.monotonic()
            self.changes += 1
            self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ask it to stop; it does at the next step."""
        self._stop = True
        self.changes += 1

    def clear(self) -> None:
        """Forget what came out of it."""
        if not self.running:
            self._blank()
            self.name, self.state = "", "idle"
            self.changes += 1

    def wait(self, seconds: float = 120.0) -> Any:
        """What came out of it, when it has ended; raises its error, or TimeoutError."""
        if self._thread is not None:
            self._thread.join(seconds)
        if self.running:
            raise TimeoutError(f"{self.name}: not done within {seconds:g} s")
        if self.error is not None:
            raise self.error
        return self.result

    def _run(self, work: Callable[[Watcher], Any]) -> None:
        state: State = "done"
        try:
            self.result = work(self)
        except Interrupted:
            state = "stopped"
        except Exception as error:  # whatever it is, the page says it
            state, self.error = "failed", error
        self._ended = time.monotonic()
        self.state = state
        self.changes += 1

    # What the work tells, and asks.

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far it is."""
        self.done, self.total, self.note = done, total, note
        self.changes += 1

    def message(self, text: str) -> None:
        """What the user should know now."""
        self.said.append(text)
        self.changes += 1

    @property
    def stopped(self) -> bool:
        """Whether the user wants it to stop."""
        return self._stop
