"""What the panel "Compare" holds: two lists, the rule by which they are matched, a movie, and a frame of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...analysis.evaluation import MatchRule
from ...errors import InputError
from ...io.movies import Movie, open_movie
from ...jobs.evaluate import Compared, evaluate_table, read_compared
from ...jobs.figure_files import FigureFiles
from ...watch import Watcher, advance
from ..latest import Latest
from .outcome import Fate, Outcome, outcome_of

__all__ = ["Comparison", "Question"]

# What belongs to the rule of the matching.
_OF_RULE = ("tolerance_nm", "challenge", "min_photons")


@dataclass(frozen=True)
class Question:
    """Which lists are compared, and how.

    found, truth: files; None where none is chosen yet;  rule: of the matching;  register: shift the list onto
    the truth first;  pixel_nm: camera pixel in the sample, for lists that do not name it.
    """

    found: Path | None = None
    truth: Path | None = None
    rule: MatchRule = field(default_factory=MatchRule)
    register: bool = False
    pixel_nm: float | None = None


class Comparison:
    """The two lists and what became of their rows, and the frame that is looked at.

    Attributes
    ----------
    asked : Question
        What is compared.
    frame : int
        The frame that is looked at, from 0.
    movie : Path or None
        The movie under the marks.
    """

    def __init__(self) -> None:
        self._own = 0
        self._lock = threading.Lock()
        self._source: Movie | None = None
        self._read: tuple[object, Compared] | None = None
        self.asked = Question()
        self.frame = 0
        self.movie: Path | None = None
        self.work: Latest[Question, Outcome] = Latest(self._compare)

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._own + self.work.changes

    def use(self, **changes: Any) -> None:
        """Change what is compared: found, truth, tolerance_nm, challenge, min_photons, register, pixel_nm.

        Raises InputError for a tolerance that is not above 0.
        """
        of_rule = {name: changes.pop(name) for name in _OF_RULE if name in changes}
        rule = replace(self.asked.rule, **of_rule)
        if not rule.tolerance_nm > 0:
            raise InputError(f"the tolerance must be above 0 nm, got {rule.tolerance_nm:g}")
        asked = replace(self.asked, rule=rule, **changes)
        if asked != self.asked:
            self.asked = asked
            self.again()

    def again(self) -> None:
        """Compare again, as when a file has changed."""
        self._own += 1
        if self.asked.found is not None and self.asked.truth is not None:
            self.work.ask(self.asked)
        else:
            self.work.stop()

    @property
    def outcome(self) -> Outcome | None:
        """The comparison that is asked for; None while it is not there."""
        answer = self.work.answer
        return None if answer is None or answer.question != self.asked else answer.result

    @property
    def error(self) -> Exception | None:
        """What keeps the lists from being compared."""
        answer = self.work.answer
        return None if answer is None or answer.question != self.asked else answer.error

    def open_movie(self, path: Path | None) -> None:
        """Open the movie under the marks; None: none.  Raises InputError for what is no movie."""
        source = None if path is None else open_movie(path)
        with self._lock:
            if self._source is not None:
                self._source.close()
            self._source = source
        self.movie = path
        self._own += 1

    @property
    def frames(self) -> int:
        """Frames that can be looked at: of the movie, or of the longer list."""
        with self._lock:
            if self._source is not None:
                return self._source.shape[0]
        outcome = self.outcome
        return 0 if outcome is None else outcome.frames

    def counts(self, frame: int) -> NDArray[Any]:
        """The camera counts of a frame (height, width), all 0 without a movie.

        Raises InputError where the frame cannot be read, or there is nothing to look at yet.
        """
        with self._lock:
            if self._source is not None:
                return self._source.read(frame, frame + 1)[0]
        outcome = self.outcome
        if outcome is None:
            raise InputError("there is no frame yet", "choose two lists, or a movie")
        return np.zeros(outcome.shape, dtype=np.uint8)

    def show(self, frame: int) -> None:
        """Look at another frame; beyond the ends it is the first or the last."""
        wanted = max(0, min(frame, self.frames - 1))
        if wanted != self.frame:
            self.frame = wanted
            self._own += 1

    def jump(self, fates: tuple[Fate, ...], direction: Literal[-1, 1]) -> bool:
        """Go to the next frame (1) or the one before (−1) with a row of such a fate; whether there is one."""
        outcome = self.outcome
        there = None if outcome is None else outcome.next_with(fates, self.frame, direction)
        if there is None:
            return False
        self.show(there)
        return True

    def save(self, figures: Path, picture: Path) -> None:
        """Write figures (.json) and the picture as the command `evaluate` does.

        Raises InputError where no two lists are chosen, and where a file exists or cannot be written.
        """
        asked = self.asked
        if asked.found is None or asked.truth is None:
            raise InputError("no two lists are chosen yet")
        evaluate_table(
            asked.found,
            asked.truth,
            asked.rule,
            register=asked.register,
            pixel_nm=asked.pixel_nm,
            files=FigureFiles(figures, picture),
        )

    def _compare(self, asked: Question, watch: Watcher) -> Outcome:
        assert asked.found is not None
        assert asked.truth is not None
        advance(watch, 0, 2, "reading the lists")
        compared = self._lists(asked.found, asked.truth, asked.pixel_nm)
        advance(watch, 1, 2, "matching")
        return outcome_of(compared, compared.evaluated(asked.rule, register=asked.register))

    def _lists(self, found: Path, truth: Path, pixel_nm: float | None) -> Compared:
        """Both lists, read again only where a file is another or has changed."""
        changed = tuple(path.stat().st_mtime_ns for path in (found, truth) if path.exists())
        stamp = (found, truth, pixel_nm, changed)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, read_compared(found, truth, pixel_nm))
        return self._read[1]
