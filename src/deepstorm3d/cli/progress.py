"""Progress of long work: a bar with rate and time left, or a plain line now and then where nobody watches.

Other programs find the same in a file (`progress_file`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ..watch import Silent, Watcher
from .console import remark, screen
from .flags import with_flags
from .interrupt import StopRequest
from .progress_file import PROGRESS_VARIABLE, ProgressFile, Told

__all__ = ["REMARKS", "ScreenWatcher", "duration"]

# Seconds between plain lines.
_EVERY = 15.0


def duration(seconds: float) -> str:
    """A length of time for people: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _Remarks(Silent):
    """Watches short work: shows what it tells, and no bar."""

    def message(self, text: str) -> None:
        """A line on standard error."""
        remark(text, screen())


REMARKS = _Remarks()
"""For work that is done before a bar would be of use."""


class ScreenWatcher(Watcher):
    """Watches a job for the command line: a bar or lines, and Ctrl-C; a context manager.

    unit: what is counted, in the plural;  stoppable: whether the job asks again and again whether to stop: the
    first Ctrl-C then lets it come to a good end (`StopRequest`), else it ends it at once;  console: where to
    draw (standard error where left out).
    """

    def __init__(self, unit: str, *, stoppable: bool = False, console: Console | None = None) -> None:
        self.unit = unit
        self._stop = StopRequest() if stoppable else None
        self._console = console or screen()
        self._bar: Progress | None = None
        self._started: tuple[float, int] | None = None
        self._done = 0
        self._spoken = 0.0
        self._file = ProgressFile.asked_for()
        self._file_failed = False

    def __enter__(self) -> Self:
        if self._stop is not None:
            self._stop.__enter__()
        if self._console.is_terminal:
            self._bar = Progress(
                BarColumn(), TextColumn("{task.description}", markup=False), console=self._console
            )
            self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._file is not None:
            self._file.close()
        if self._stop is not None:
            self._stop.__exit__(kind, error, trace)

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C was pressed; who asks is left to end the work by itself."""
        return self._stop is not None and self._stop()

    def progress(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units are complete; note: put behind the rate."""
        now = time.monotonic()
        if self._started is None or done < self._done:
            # Rates count from the first call on (a resumed run starts beyond 0), anew for each step of a job.
            self._started, self._spoken = (now, done), now
        self._done = done
        rate = self._per_second(now, done)
        left = (total - done) / rate if rate is not None and done < total else None
        self._tell(Told(done, total, self.unit, note, rate, left), now)
        text = self._text(now, rate, left, total) + (f", {note}" if note else "")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=text)
        elif now - self._spoken >= _EVERY or done == total:
            self._spoken = now
            self.line(text)

    def message(self, text: str) -> None:
        """A line that stays, above the bar."""
        self.line(text)
        if self._file is not None:
            told = replace(self._file.told, unit=self.unit)
            self._tell(told, time.monotonic(), with_flags(text))

    def line(self, text: str) -> None:
        """A line that stays, for the screen alone: a row of a table."""
        remark(text, self._console if self._bar is None else self._bar.console)

    def _per_second(self, now: float, done: int) -> float | None:
        """Units a second since the first call; None while it is unknown."""
        assert self._started is not None
        began, first = self._started
        return (done - first) / (now - began) if done > first and now > began else None

    def _text(self, now: float, rate: float | None, left: float | None, total: int) -> str:
        assert self._started is not None
        text = f"{self._done:,}/{total:,} {self.unit}"
        seconds = now - self._started[0]
        if rate is not None:
            text += f", {rate:.3g} per second"
            if left is not None:
                text += f", {duration(left)} left"
        elif seconds >= _EVERY:
            text += f", {duration(seconds)} at work"
        return text

    def _tell(self, told: Told, now: float, message: str | None = None) -> None:
        """Into the file, if one was asked for; that it cannot be written is said once."""
        if self._file is None:
            return
        self._file.tell(replace(told, message=self._file.told.message if message is None else message), now)
        if self._file.trouble and not self._file_failed:
            self._file_failed = True
            self.line(
                f"warning: cannot write the progress to {self._file.path} ({self._file.trouble}), which "
                f"{PROGRESS_VARIABLE} names; the work goes on"
            )
