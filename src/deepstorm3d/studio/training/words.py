"""A run in words: how far it is, how long it still takes, and how it ended."""

from __future__ import annotations

import time

from ...cli.progress import duration
from ..runs.record import Run

__all__ = ["share_done", "told_line", "when"]

_ENDINGS = {"finished": "finished", "stopped": "stopped", "failed": "failed", "lost": "ended without a word"}


def share_done(run: Run) -> float | None:
    """Part of the work that is done, 0 to 1; None while it is unknown."""
    if run.state == "finished":
        return 1.0
    return run.told.done / run.told.total if run.told is not None and run.told.total > 0 else None


def told_line(run: Run) -> str:
    """The line under the title: progress with time left while it is at work, then its end and its length."""
    told, parts = run.told, []
    if run.state == "stopping":
        parts.append("stopping at the next point from which it can go on")
    if told is not None and told.total:
        parts.append(f"{told.done:,} of {told.total:,} {told.unit}")
    elif run.alive:
        parts.append("starting")
    if run.state == "running" and told is not None and told.per_second is not None:
        parts.append(f"{told.per_second:.3g} per second")
    if run.state == "running" and told is not None and told.seconds_left is not None:
        parts.append(f"{duration(told.seconds_left)} left")
    if told is not None and told.note:
        parts.append(told.note)
    if not run.alive:
        length = "" if run.ended is None else f" after {duration(run.ended - run.started)}"
        parts.insert(0, _ENDINGS[run.state] + length + (", with a warning" if run.warnings else ""))
    return " · ".join(parts)


def when(seconds: float) -> str:
    """The time of a start: of the day, and the date where it was not today."""
    then, now = time.localtime(seconds), time.localtime()
    return time.strftime("%H:%M" if then[:3] == now[:3] else "%Y-%m-%d %H:%M", then)
