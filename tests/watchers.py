"""A watcher for tests: it remembers what it is told, and stops the work when asked for the n-th time."""

from __future__ import annotations

from deepstorm3d.watch import Silent

__all__ = ["Recorder"]


class Recorder(Silent):
    """Remembers every step (done, total, note), every message, and how often it was asked whether to stop.

    stop_at: which of these questions, counted from 1, is the first to be answered with yes.
    """

    def __init__(self, stop_at: float = float("inf")) -> None:
        self.stop_at, self.asked = stop_at, 0
        self.steps: list[tuple[int, int, str]] = []
        self.messages: list[str] = []

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total, note))

    def message(self, text: str) -> None:
        self.messages.append(text)

    @property
    def stopped(self) -> bool:
        self.asked += 1
        return self.asked >= self.stop_at

    @property
    def done(self) -> list[int]:
        """Units that were done, each time it was told."""
        return [done for done, _, _ in self.steps]
