"""Frames made ready for the model: turned to its orientation, a temporal minimum or median subtracted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...spec import Spec, quantity
from .movie_source import Movie, Source, check_range, readable_ranges

__all__ = ["Oriented", "Prepared", "Subtracted", "prepare"]

Flip = Literal["none", "horizontal", "vertical", "both"]
Statistic = Literal["minimum", "median"]

_READ_BYTES = 2**24
"""Of a window that is gone through, so much is read at a time."""

_HELD_BYTES = 2**28
"""For a median so much of a window is held at a time; of larger ones a part of the rows in each pass."""


class Prepared(Spec):
    """How the frames of a movie are changed before anything else is done with them."""

    flip: Flip = quantity("none", "", "mirror: none, horizontal (left-right), vertical (up-down) or both")
    transpose: bool = quantity(False, "", "exchange rows and columns, before the mirror")
    subtract: Literal["none", "minimum", "median"] = quantity(
        "none", "", "of each pixel over a window of frames: none, minimum or median"
    )
    window: int = quantity(500, "frames", "over which minimum or median are taken", ge=2)

    def turned(self, values: Tensor) -> Tensor:
        """Values of the stored frames' pixels (..., H, W) as those of the prepared frames."""
        values = values.mT if self.transpose else values
        axes = [axis for axis, kind in ((-1, "horizontal"), (-2, "vertical")) if self.flip in (kind, "both")]
        return values.flip(axes).contiguous()

    def final(self, frames: int) -> int:
        """Of a movie that grows and has `frames` frames now: how many are prepared as they will be in the end.

        The last whole window may yet be joined by a shorter rest, so with a subtraction it is not final.
        """
        return frames if self.subtract == "none" else max(0, frames // self.window - 1) * self.window


def prepare(movie: Movie, settings: Prepared) -> Movie:
    """The movie as the settings want it; the same frames whatever blocks they are read in.

    Raises InputError for a movie too short for a subtraction. Closing what is returned closes the movie.
    """
    if settings.subtract != "none":
        movie = Subtracted(movie, settings.subtract, window=settings.window)
    if settings.flip != "none" or settings.transpose:
        movie = Oriented(movie, flip=settings.flip, transpose=settings.transpose)
    return movie


class _Wrapped(Source):
    """What a prepared movie has from the one that it wraps."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie

    @property
    def path(self) -> Path:
        return self._movie.path

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._movie.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._movie.dtype

    @property
    def pixel_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._movie.pixel_um

    @property
    def pixel_height_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._movie.pixel_height_um

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._movie.gaps

    @property
    def notes(self) -> Sequence[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._movie.notes

    def close(self) -> None:
        self._movie.close()


class Oriented(_Wrapped):
    """A movie whose frames are transposed, then mirrored; cameras and programs differ in both.

    flip: horizontal exchanges left and right, vertical top and bottom (of the transposed frame).
    """

    def __init__(self, movie: Movie, *, flip: Flip = "none", transpose: bool = False) -> None:
        super().__init__(movie)
        self._transpose = transpose
        self._rows = slice(None, None, -1 if flip in ("vertical", "both") else 1)
        self._columns = slice(None, None, -1 if flip in ("horizontal", "both") else 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        frames, height, width = self._movie.shape
        return (frames, width, height) if self._transpose else (frames, height, width)

    @property
    def pixel_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        turned = self._transpose and self._movie.pixel_height_um is not None
        return self._movie.pixel_height_um if turned else self._movie.pixel_um

    @property
    def pixel_height_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        turned = self._transpose and self._movie.pixel_height_um is not None
        return self._movie.pixel_um if turned else self._movie.pixel_height_um

    def read(self, start: int, stop: int) -> NDArray[Any]:
        block = self._movie.read(start, stop)
        if self._transpose:
            block = block.transpose(0, 2, 1)
        return np.ascontiguousarray(block[:, self._rows, self._columns])


class Subtracted(_Wrapped):
    """A movie less the minimum or median of each pixel over windows of frames.

    It takes away what does not change: fixed background, the camera's baseline. The published frames of
    Nehme et al. 2020 (Fig. 3) had their temporal minimum subtracted; `MinimumSubtractedCamera` models them.
    The median is a better estimate of a background where a molecule lights up a pixel in fewer than half of
    the frames; the minimum lies below the background by some σ of its noise, more in longer windows.

    Windows start at frames 0, window, 2 window, … whatever is read, and a shorter rest at the end belongs
    to the window before it, so neither blocks nor a run that is resumed change a result. Frames in gaps do
    not count. window: frames.

    Unsigned counts less their minimum keep their type; everything else becomes float32, and frames less
    their median are negative in about half of the dark pixels. Held are one frame of statistics, the block
    that is asked for, and for a median at most 256 MB of frames (a larger window is read several times).
    """

    def __init__(self, movie: Movie, statistic: Statistic, *, window: int = 500) -> None:
        super().__init__(movie)
        if window < 2:
            raise ValueError(f"a window needs at least 2 frames, got {window}")
        self._statistic, self._window = statistic, window
        self._known: tuple[tuple[int, int], NDArray[Any]] | None = None
        for first, last in self.gaps:
            # What a gap leaves of a window shows now, not an hour later.
            self._check_window(*self._window_of(max(0, first - 1)))
            self._check_window(*self._window_of(last))

    @property
    def dtype(self) -> np.dtype[Any]:
        kept = self._statistic == "minimum" and self._movie.dtype.kind == "u"
        return self._movie.dtype if kept else np.dtype(np.float32)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        here = start
        while here < stop:
            first, last = self._window_of(here)
            end = min(stop, last)
            level = self._level(first, last)
            np.subtract(
                self._movie.read(here, end), level, out=block[here - start : end - start], casting="unsafe"
            )
            here = end
        return block

    def _window_of(self, frame: int) -> tuple[int, int]:
        """The window (first, last) of a frame; the last one takes what is left over."""
        frames = self._movie.shape[0]
        number = min(frame // self._window, max(1, frames // self._window) - 1)
        first = number * self._window
        return first, frames if frames - first < 2 * self._window else first + self._window

    def _check_window(self, first: int, last: int) -> None:
        there = sum(b - a for a, b in readable_ranges(self.gaps, first, last))
        if there == 1:
            raise InputError(
                f"{self.path}: of frames {first} to {last - 1} only one can be read, and less its own "
                f"{self._statistic} nothing of it is left",
                "take more frames, a longer window, or none",
            )

    def _level(self, first: int, last: int) -> NDArray[Any]:
        """The statistic over a window, (height, width): of the counts' type, or float32 for the median."""
        if self._known is None or self._known[0] != (first, last):
            self._known = None
            self._check_window(first, last)
            take = self._minimum if self._statistic == "minimum" else self._median
            self._known = ((first, last), take(first, last))
        return self._known[1]

    def _blocks(self, first: int, last: int) -> Iterator[NDArray[Any]]:
        """The frames of a window that can be read, a few at a time."""
        _, height, width = self.shape
        step = max(1, _READ_BYTES // (height * width * self._movie.dtype.itemsize))
        for start, stop in readable_ranges(self.gaps, first, last, step):
            yield self._movie.read(start, stop)

    def _minimum(self, first: int, last: int) -> NDArray[Any]:
        blocks = (block.min(axis=0) for block in self._blocks(first, last))
        least = next(blocks)
        for block in blocks:
            np.minimum(least, block, out=least)
        return least if self.dtype == self._movie.dtype else least.astype(np.float32)

    def _median(self, first: int, last: int) -> NDArray[Any]:
        _, height, width = self.shape
        count = sum(stop - start for start, stop in readable_ranges(self.gaps, first, last))
        rows = max(1, _HELD_BYTES // (count * width * self._movie.dtype.itemsize))
        level = np.empty((height, width), dtype=np.float32)
        for top in range(0, height, rows):
            held = np.empty((count, min(rows, height - top), width), dtype=self._movie.dtype)
            filled = 0
            for block in self._blocks(first, last):
                held[filled : filled + len(block)] = block[:, top : top + rows]
                filled += len(block)
            for row in range(held.shape[1]):
                # A row at a time: the median sorts a copy of what it is given.
                level[top + row] = np.median(np.ascontiguousarray(held[:, row].T), axis=1)
        return level
