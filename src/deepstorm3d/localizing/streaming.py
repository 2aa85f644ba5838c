"""Blocks of frames on their way through the program: read ahead, localized, written behind, all at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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

# Pixels in a block of frames: enough to keep two cores busy, little enough for a laptop's memory.
_PIXELS = 2**18
# With the fit a frame takes seconds where it is dense: smaller blocks, so that Ctrl-C and the progress keep up.
_FITTED_PIXELS = 2**16
# A GPU is only busy with many frames.
_GPU_PIXELS, _GPU_FITTED_PIXELS = 2**23, 2**22
# Blocks read before they are needed: one while another is localized, one more for a disk that falters.
_AHEAD = 2


@dataclass
class StageTimes:
    """Seconds that each stage worked; with overlap they add up to more than the run took."""

    reading: float = 0.0
    localizing: float = 0.0
    writing: float = 0.0

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time that the body takes to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.perf_counter() - began)


def block_frames(size: tuple[int, int], device: torch.device, *, fitted: bool) -> int:
    """Frames in a block: it follows from frame size, device and fit alone, so that a resumed run cuts alike.

    size: height and width of what is localized, px.
    """
    if device.type == "cuda":
        pixels = _GPU_FITTED_PIXELS if fitted else _GPU_PIXELS
    else:
        pixels = _FITTED_PIXELS if fitted else _PIXELS
    return max(1, pixels // (size[0] * size[1]))


def blocks_of(first: int, last: int, frames: int) -> Iterator[Block]:
    """Blocks that begin at first, first + frames, …, up to before frame `last`."""
    for begin in range(first, last, frames):
        yield begin, min(begin + frames, last)


def read_ahead(blocks: Iterable[Block], read: Callable[[Block], Read]) -> Iterator[tuple[Block, Read]]:
    """Each block with what was read of it, in order; a thread reads the next ones meanwhile.

    `blocks` may wait for frames that a camera still has to write: it does so in that thread.
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
    """A function that hands results to `write` in a thread, in order, one at a time.

    It waits for the result before; an error of `write` comes out of the next call, or of the end.
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
