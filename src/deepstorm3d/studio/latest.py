"""Latest: work in a thread of its own, where only the newest question matters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar
from weakref import WeakSet

from ..errors import Interrupted
from ..watch import Watcher

__all__ = ["Answer", "Latest"]

Question = TypeVar("Question")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer(Generic[Question, Result]):
    """What became of a question: its result, or the error that ended the work."""

    question: Question
    result: Result | None
    error: Exception | None = None


class Latest(Generic[Question, Result]):
    """Answers questions one at a time; a new one makes the work on the old one stop where its watcher is asked.

    work: called with the question and a watcher that says `stopped` as soon as there is a newer question.

    Attributes
    ----------
    answer : Answer or None
        The newest.
    changes : int
        Grows whenever something that a page shows has changed: a question, progress, an answer.
    done, total, note
        The progress of the question that is being answered.
    """

    _all: ClassVar[WeakSet[Latest]] = WeakSet()

    def __init__(self, work: Callable[[Question, Watcher], Result]) -> None:
        Latest._all.add(self)
        self._work = work
        self._ready = threading.Condition()
        self._waiting: list[Question] = []
        self._thread: threading.Thread | None = None
        self._dropped = False
        self.answer: Answer[Question, Result] | None = None
        self.changes = 0
        self.done, self.total, self.note = 0, 0, ""

    @property
    def busy(self) -> bool:
        """Whether a question is being answered, or waits."""
        return self._thread is not None

    def ask(self, question: Question) -> None:
        """Answer this question next, in place of any that waits or is being answered."""
        with self._ready:
            self._waiting = [question]
            self.changes += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Drop the question that waits or is being answered."""
        with self._ready:
            self._waiting, self._dropped = [], True
            self.changes += 1

    def wait(self, seconds: float = 60.0) -> Answer[Question, Result]:
        """The answer to the newest question; raises TimeoutError where it does not come."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._thread is None, seconds) or self.answer is None:
                raise TimeoutError(f"no answer within {seconds:g} s")
            return self.answer

    def end(self, seconds: float = 10.0) -> None:
        """Stop, and wait until the work has noticed, at most so long."""
        self.stop()
        with self._ready:
            self._ready.wait_for(lambda: self._thread is None, seconds)

    @classmethod
    def end_all(cls, seconds: float = 10.0) -> None:
        """End the work of all before the process ends: a thread in the middle of it would crash then."""
        for latest in list(cls._all):
            latest.stop()
        for latest in list(cls._all):
            latest.end(seconds)

    def _run(self) -> None:
        while True:
            with self._ready:
                if not self._waiting:
                    self._thread = None
                    self.changes += 1
                    self._ready.notify_all()
                    return
                question = self._waiting.pop()
                self.done, self.total, self.note, self._dropped = 0, 0, "", False
            answer = self._answer(question)
            if answer is not None:
                with self._ready:
                    self.answer = answer
                    self.changes += 1

    def _answer(self, question: Question) -> Answer[Question, Result] | None:
        try:
            return Answer(question, self._work(question, _Impatient(self)))
        except Interrupted:
            return None
        except Exception as error:  # whatever it is, the page says it
            return Answer(question, None, error)

    @property
    def outdated(self) -> bool:
        """Whether the question that is being answered is no longer wanted."""
        return bool(self._waiting) or self._dropped

    def tell(self, done: int, total: int, note: str) -> None:
        """How far the work is; called by its watcher."""
        self.done, self.total, self.note = done, total, note
        self.changes += 1


class _Impatient(Watcher):
    """Watches work for `Latest`, and stops it when its question is outdated."""

    def __init__(self, asker: Latest) -> None:
        self._asker = asker

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._asker.tell(done, total, note)

    def message(self, text: str) -> None:
        self._asker.tell(self._asker.done, self._asker.total, text)

    @property
    def stopped(self) -> bool:
        return self._asker.outdated
