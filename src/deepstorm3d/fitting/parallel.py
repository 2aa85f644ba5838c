"""Frames fitted side by side in threads; the compiled code runs without Python's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

from ..watch import Silent, Watcher, advance

__all__ = ["Stoppable", "one_thread", "side_by_side"]

Result = TypeVar("Result")
_ASKED_EVERY_S = 0.5  # how often the watcher is asked whether to stop while no frame is complete


class Stoppable(Silent):
    """Watches one of several works that run at a time: it reports nothing, and stops when all are stopped."""

    def stop(self) -> None:
        """Stop the works."""
        self.stopped = True


def side_by_side(work: Callable[[int, Watcher], Result], count: int, watch: Watcher) -> list[Result]:
    """Results of work(number, its watcher) for the numbers 0 … count − 1, in as many threads as PyTorch uses.

    Each runs with one thread of PyTorch, so the results do not depend on the number of threads. If one raises,
    or the watcher stops the work (Interrupted), the others end early.
    """
    threads, stoppable = min(torch.get_num_threads(), count), Stoppable()
    if torch.get_num_threads() == 1 and isinstance(watch, Stoppable):
        # Within a work that runs beside others: the outer one asks whether to stop.
        results = list[Result]()
        for number in range(count):
            advance(watch)
            results.append(work(number, watch))
        return results
    with one_thread(), ThreadPoolExecutor(max(1, threads)) as pool:
        futures: list[Future[Result]] = [pool.submit(work, number, stoppable) for number in range(count)]
        try:
            advance(watch, 0, count)
            left = set(futures)
            while left:
                done, left = wait(left, _ASKED_EVERY_S, FIRST_COMPLETED)
                for future in done:
                    future.result()
                advance(watch, count - len(left), count)
        except BaseException:
            stoppable.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread, so that sums do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
