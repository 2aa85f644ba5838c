"""Processing of a movie in blocks of frames, with reading and writing in parallel to the localization."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

__all__ = ["Block", "StageTimes", "block_frames", "blocks_of", "read_ahead", "write_behind"]

Block = tuple[int, int]
"""Frames start … stop−1."""
Read = TypeVar("Read")
Done = TypeVar("Done")

_PIXELS = 2**18  # pixels in a block: enough to keep two cores busy, few enough for a laptop's memory
# Pixels in a block with the fit: fewer, because dense frames take seconds and progress should stay visible.
_FITTED_PIXELS = 2**16
_GPU_PIXELS = 2**23  # pixels in a block on a GPU, which needs many frames to be busy
_GPU_FITTED_PIXELS = 2**22  # pixels in a block on a GPU with the fit
_AHEAD = 2  # blocks read in advance: one during a localization, and one for a slow disk


@dataclass
class StageTimes:
    """Time of each stage, s; the stages overlap, so the sum can exceed the time of the run.

    localizing: in which the run waits for the next list, while several blocks may be worked on.
    """

    reading: float = 0.0
    localizing: float = 0.0
    writing: float = 0.0

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time of the body to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.perf_counter() - began)


def block_frames(size: tuple[int, int], device: torch.device, *, fitted: bool) -> int:
    """Number of frames in a block.

    It depends only on frame size, device and fit, so that a resumed run uses the same blocks.
    size: height and width of the region, px.
    """
    if device.type == "cuda":
        pixels = _GPU_FITTED_PIXELS if fitted else _GPU_PIXELS
    else:
        pixels = _FITTED_PIXELS if fitted else _PIXELS
    return max(1, pixels // (size[0] * size[1]))


def blocks_of(first: int, last: int, frames: int) -> Iterator[Block]:
    """Blocks that begin at first, first + frames, … and end before frame `last`."""
    for begin in range(first, last, frames):
        yield begin, min(begin + frames, last)


def read_ahead(
    blocks: Iterable[Block], read: Callable[[Block], Read]
) -> Generator[tuple[Block, Read], None, None]:
    """Yield each block with its data, in order, while a thread reads the next ones.

    If `blocks` waits for frames that the camera has not yet written, it waits in that thread.
    """
    coming_blocks = iter(blocks)

    def fetch() -> tuple[Block, Read] | None:
        block = next(coming_blocks, None)
        return None if block is None else (block, read(block))

    with ThreadPoolExecutor(1, "reader") as reader:
        ahead: deque[Future[tuple[Block, Read] | None]] = deque(reader.submit(fetch) for _ in range(_AHEAD))
        try:
            while (arrived := ahead.popleft().result()) is not None:
                ahead.append(reader.submit(fetch))
                yield arrived
        finally:
            for waiting in ahead:
                waiting.cancel()


@contextmanager
def write_behind(write: Callable[[Done], None]) -> Iterator[Callable[[Done], None]]:
    """Yield a function that passes results to `write` in a thread, in order, one at a time.

    It waits until the result before is written. An error of `write` is raised by the next call, or at the end.
    """
    with ThreadPoolExecutor(1, "writer") as writer:
        under_way: list[Future[None]] = []

        def hand_over(done: Done) -> None:
            if under_way:
                under_way.pop().result()
            under_way.append(writer.submit(write, done))

        yield hand_over
        if under_way:
            under_way.pop().result()
