"""Blocks of frames localized side by side in threads, their results in the order of the frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, TypeVar

import torch

from ..errors import Interrupted
from ..fitting.parallel import Stoppable
from ..watch import Watcher, advance

__all__ = ["in_order"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_BEGUN_EACH = 2  # pieces begun for each thread: while one takes long, the threads go on with the next ones
_ASKED_EVERY_S = 0.5  # how often the watcher is asked whether to stop where there is no news
_END: Any = object()


def in_order(
    work: Callable[[Piece, Watcher], Result], coming: Iterable[Piece], threads: int, watch: Watcher
) -> Generator[Result, None, None]:
    """Yield the results of work(piece, its watcher) for the pieces that come, in their order.

    With `threads` = 1 the caller's own thread does the work, with all threads of PyTorch. Else each has one of
    PyTorch's (as threads that begin meanwhile have), so a result does not depend on their number; `coming` is
    asked in a thread of its own, where it may read a file or wait for a camera, and what is done is yielded
    meanwhile. An error of a piece, or of `coming`, is raised when its turn comes.
    watch: told how much the pieces under way have done in all, and each sentence once, by the caller's thread;
    it can end the work (Interrupted), and the pieces under way are given up then.
    """
    if threads == 1:
        for piece in coming:
            yield work(piece, watch)
        return
    before = torch.get_num_threads()
    alone = partial(torch.set_num_threads, 1)
    under_way, common = deque[tuple[Future[Result], _OfPiece]](), _Common(watch)
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(threads, "localizer", alone) as pool:
        pieces, ended = iter(coming), False
        next_one: Future[Any] = common.told(reader.submit(next, pieces, _END))
        try:
            while under_way or not ended:
                common.pass_on()
                room = not ended and len(under_way) < _BEGUN_EACH * threads
                if room and next_one.done():
                    ended = next_one.exception() is not None or next_one.result() is _END
                    if not ended:
                        own = _OfPiece(common)
                        under_way.append((common.told(pool.submit(work, next_one.result(), own)), own))
                        next_one = common.told(reader.submit(next, pieces, _END))
                elif under_way and under_way[0][0].done():
                    yield under_way.popleft()[0].result()
                    if watch.stopped and (under_way or not ended):
                        raise Interrupted
                else:
                    common.news.wait(_ASKED_EVERY_S)
                    done = sum(own.done for _, own in under_way)
                    total = max(1, sum(own.total for _, own in under_way))
                    advance(watch, done, total)
            next_one.result()
        finally:
            for future, own in under_way:
                future.cancel()
                own.stop()
            next_one.cancel()
            torch.set_num_threads(before)


class _Common:
    """What the pieces have in common: the watcher of all, what it was told, and whether anything is new."""

    def __init__(self, watch: Watcher) -> None:
        self.news, self._watch = Event(), watch
        self._sentences, self._said = deque[str](), set[str]()

    def told(self, future: Future[Result]) -> Future[Result]:
        """The same, whose end will be news."""
        future.add_done_callback(lambda _: self.news.set())
        return future

    def say(self, text: str) -> None:
        """Keep a sentence of a piece until `pass_on`."""
        self._sentences.append(text)
        self.news.set()

    def pass_on(self) -> None:
        """Tell the watcher what is new; called by the thread that waits."""
        self.news.clear()
        while self._sentences:
            text = self._sentences.popleft()
            if text not in self._said:
                self._said.add(text)
                self._watch.message(text)


class _OfPiece(Stoppable):
    """Watches one piece.  done, total: units of it that are done, and how many there are, as it told."""

    def __init__(self, common: _Common) -> None:
        super().__init__()
        self._common, self.done, self.total = common, 0, 0

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Kept, to be asked for in the thread that waits."""
        if (done, total) != (self.done, self.total):
            self.done, self.total = done, total
            self._common.news.set()

    def message(self, text: str) -> None:
        """Passed on, once."""
        self._common.say(text)
