"""Movies in several TIFF files of many frames each, read as one."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import Source, check_range, frames_in_words
from .numbered_files import Numbered, in_order, micro_manager_part, tiff_names
from .tiff_movie import TiffMovie

__all__ = ["StacksMovie", "open_micro_manager"]


def open_micro_manager(path: Path, *, partial: bool = False) -> StacksMovie | None:
    """All frames of a recording that Micro-Manager split into files, given its first; None for any other file.

    Raises InputError for a later file of a recording, and names the first.
    """
    part = micro_manager_part(path)
    if part is None:
        return None
    first, place = part
    if not first.exists():
        raise InputError(
            f"{first}: the first file of a recording of several is not here",
            "copy all of them into one folder, or rename a later one to read it alone",
        )
    if place > 0:
        raise InputError(f"{path}: file {place + 1} of a recording of several", f"give the first, {first.name}")
    parts = {name: micro_manager_part(path.with_name(name)) for name in tiff_names(path.parent)}
    names = [name for name, found in parts.items() if found is not None and found[0].name == path.name]
    if len(names) < 2:
        return None
    files = in_order(names, path.parent, second=1, partial=partial)
    return StacksMovie(path, path.parent, files, partial=partial)


class StacksMovie(Source):
    """TIFF files of many frames each, one after the other; one of them is open at a time.

    path: how the movie is called;  folder, numbered: where its files are, and their order.
    partial: frames that a truncated file has lost are a gap where it says how many they are, so that later
    frames keep their numbers; where it does not say, `notes` tells from which frame on numbers are too low,
    and `uncertain` lists the first frames behind such places.
    Raises InputError for files of different sizes or types and, unless `partial`, truncated ones.
    """

    def __init__(self, path: Path, folder: Path, numbered: Numbered, *, partial: bool = False) -> None:
        self.path, self._partial = path, partial
        self.uncertain: list[int] = []
        self._files: list[Path] = []
        self._starts: list[int] = []
        self._open: tuple[int, TiffMovie] | None = None
        gaps: list[tuple[int, int]] = []
        notes: list[str] = []
        if numbered.missing:
            notes.append(
                f"{path}: the files numbered {numbered.missing} are missing; how many frames they had cannot "
                "be known: later frames are numbered as if there had been none"
            )
        end = whole_end = 0
        last_place, certain = -1, True
        for place, file in zip(numbered.places, (folder / name for name in numbered.names), strict=True):
            certain, last_place = certain and place == last_place + 1, place
            try:
                with TiffMovie(file, partial=partial, alone=True) as movie:
                    self._agree(movie, file)
                    frames, missing = movie.shape[0], movie.layout.missing
            except _Disagreement:
                raise
            except InputError as error:
                if not partial or not self._files:
                    raise
                notes.append(
                    f"{error}; how many frames it had cannot be known: later frames are numbered too low"
                )
                certain = False
                continue
            if end > whole_end:
                gaps.append((whole_end, end))
            self._files.append(file)
            self._starts.append(end)
            if not certain:
                self.uncertain.append(end)
            whole_end = end + frames
            end = whole_end + (missing or 0)
            certain = missing is not None
            if missing != 0:
                notes.append(_lost(file, whole_end, missing))
        self._frames = whole_end
        self.gaps, self.notes = tuple(gaps), tuple(notes)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        here = start
        while here < stop:
            number = bisect_right(self._starts, here) - 1
            file, first = self._opened(number), self._starts[number]
            end = min(stop, first + file.shape[0])
            block[here - start : end - start] = file.read(here - first, end - first)
            here = end
        return block

    def _agree(self, movie: TiffMovie, file: Path) -> None:
        """All files have the size, type and pixel of the first."""
        if not self._files:
            _, height, width = movie.shape
            self._size, self.dtype, self.pixel_um = (height, width), movie.dtype, movie.pixel_um
            self.pixel_height_um = movie.pixel_height_um
        elif movie.shape[1:] != self._size or movie.dtype != self.dtype:
            raise _Disagreement(
                f"{file}: its frames are {movie.shape[1:]} {movie.dtype}, those of {self._files[0].name} "
                f"{self._size} {self.dtype}; all frames must have one size and type: put the files of each "
                "recording into a folder of its own"
            )

    def _opened(self, number: int) -> TiffMovie:
        if self._open is None or self._open[0] != number:
            self.close()
            self._open = (number, TiffMovie(self._files[number], partial=self._partial, alone=True))
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


class _Disagreement(InputError):
    """A file of another size: no damage that ``partial`` could put up with."""


def _lost(file: Path, frame: int, missing: int | None) -> str:
    if missing is None:
        return (
            f"{file}: truncated: nothing says how many frames it has lost, so frames from {frame} on "
            "are numbered too low"
        )
    return f"{file}: truncated: {frames_in_words([(frame, frame + missing)])} lost"
