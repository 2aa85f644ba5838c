"""Who watches long work: told how far it is and what a user should know, and asked whether to stop.

Every long function takes ``watch: Watcher = SILENT``. A watcher has three members; one for a notebook:

    class Printed(Silent):
        def progress(self, done, total, note=""):
            print(f"{done} of {total} {note}")

Where its ``stopped`` is set to True, there or from another thread, the work ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .errors import Interrupted

__all__ = ["SILENT", "Named", "Part", "Quiet", "Silent", "Watcher", "advance", "warn"]


class Watcher(Protocol):
    """What long work tells, and what it asks."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of the work are complete; note: what is being done, or how good it is."""
        ...

    def message(self, text: str) -> None:
        """A sentence that the user should read now; a warning begins with ``warning:``."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether the user wants the work to stop; asked again and again."""
        ...


class Silent(Watcher):
    """Watches nothing, and stops the work where ``stopped`` is set; a base for watchers that need only some of
    the members."""

    _stopped = False

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nobody is told."""

    def message(self, text: str) -> None:
        """Nobody is told."""

    @property
    def stopped(self) -> bool:
        """False until it is set."""
        return self._stopped

    @stopped.setter
    def stopped(self, stopped: bool) -> None:
        self._stopped = stopped


SILENT: Watcher = Silent()
"""Nobody watches."""


def advance(watch: Watcher, done: int = 0, total: int = 1, note: str = "") -> None:
    """Tell how far the work is, and raise Interrupted where it is asked to stop.

    Without numbers: the work is alive, and no further than before.
    """
    if watch.stopped:
        raise Interrupted
    watch.progress(done, total, note)


def warn(watch: Watcher, text: str) -> None:
    """Tell what the user should look after, now."""
    watch.message(f"warning: {text}")


@dataclass(frozen=True)
class Part(Watcher):
    """Watches one part of a work for the watcher of the whole.

    before, share: units of the whole that were done before this part, and that the part stands for (fractions
    are allowed);  whole: units of the whole.
    """

    watch: Watcher
    before: float
    share: float
    whole: int

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Told in units of the part, of which it has `total`; passed on in whole units of the whole."""
        # The small addition: a sum of fractions that should be 3 may be 2.9999999.
        self.watch.progress(int(self.before + self.share * done / total + 1e-6), self.whole, note)

    def message(self, text: str) -> None:
        """Passed on."""
        self.watch.message(text)

    @property
    def stopped(self) -> bool:
        """As the watcher of the whole says."""
        return self.watch.stopped


@dataclass(frozen=True)
class Quiet(Watcher):
    """Tells the watcher of the whole nothing of this part, and asks it whether to stop."""

    watch: Watcher

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nobody is told."""

    def message(self, text: str) -> None:
        """Nobody is told."""

    @property
    def stopped(self) -> bool:
        """As the watcher of the whole says."""
        return self.watch.stopped


@dataclass(frozen=True)
class Named(Watcher):
    """Watches one of several works and puts its name before what it tells."""

    watch: Watcher
    name: str

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Passed on, the name as part of the note."""
        self.watch.progress(done, total, f"{self.name}, {note}" if note else self.name)

    def message(self, text: str) -> None:
        """Passed on behind the name."""
        self.watch.message(f"{self.name}: {text}")

    @property
    def stopped(self) -> bool:
        """As the watcher of all says."""
        return self.watch.stopped
