"""Movies in a folder: numbered TIFF files of one frame each, or of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import Movie, Source, check_range, missing_notes, runs
from .numbered_files import Numbered, in_order, micro_manager_part, tiff_names
from .stacks_movie import StacksMovie, open_micro_manager
from .tiff_movie import TiffMovie

__all__ = ["FolderMovie", "open_folder"]


def open_folder(path: Path, *, partial: bool = False) -> Movie:
    """The movie whose frames, or parts, are the TIFF files of a folder.

    Raises InputError for a folder without TIFF files, of several recordings, or with numbers missing.
    """
    names = tiff_names(path)
    if not names:
        raise InputError(f"{path}: the folder holds no TIFF file (.tif, .tiff)")
    first = _micro_manager_first(path, names)
    if first is not None and (recording := open_micro_manager(first, partial=partial)) is not None:
        return recording
    files = in_order(names, path, partial=partial)
    # A first file with one frame may be what is left of a stack, or the last of a short recording.
    if any(_is_stack(path / name, partial=partial) for name in files.names[:2]):
        return StacksMovie(path, path, files, partial=partial)
    return FolderMovie(path, partial=partial)


def _is_stack(file: Path, *, partial: bool) -> bool:
    try:
        with TiffMovie(file, partial=partial, alone=True) as movie:
            return movie.shape[0] > 1 or movie.layout.missing != 0
    except InputError:
        if partial:
            return False
        raise


def _micro_manager_first(path: Path, names: Sequence[str]) -> Path | None:
    """First file of the one recording of Micro-Manager in a folder; its positions are recordings apart."""
    parts = [micro_manager_part(path / name) for name in names]
    firsts = sorted({part[0] for part in parts if part is not None})
    if len(firsts) > 1:
        raise InputError(
            f"{path}: the folder holds {len(firsts)} positions ({firsts[0].name}, {firsts[1].name})",
            "give the first file of one of them",
        )
    return firsts[0] if firsts else None


class FolderMovie(Source):
    """A folder of single-page TIFFs, one frame each, in the natural order of their names.

    Only the names are held. partial: a missing number, or a file too short for a frame, is a gap.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        self.path = path
        self._files: Numbered = in_order(tiff_names(path), path, partial=partial)
        names = self._files.names
        with TiffMovie(path / names[0], alone=True) as first:
            frames, *size = first.shape
            self._size = (size[0], size[1])
            self.dtype, self.pixel_um = first.dtype, first.pixel_um
            self.pixel_height_um = first.pixel_height_um
            self._check_single(frames, names[0])
            least = first.least_bytes
        self._name_of = dict(zip(self._files.places, names, strict=True))
        for place, name in list(self._name_of.items()):
            if (path / name).stat().st_size < least and self._is_cut(name, place, partial=partial):
                del self._name_of[place]
        self._drop_unfinished(partial=partial)
        self._frames = max(self._name_of) + 1
        self.gaps = runs([place for place in range(self._frames) if place not in self._name_of])
        self.notes = missing_notes(path, self.gaps) + self._lost_at_the_end()

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        for row, frame in enumerate(range(start, stop)):
            name = self._name_of[frame]
            with TiffMovie(self.path / name, alone=True) as single:
                self._check_like_first(single, name, frame)
                block[row] = single.read(0, 1)[0]
        return block

    def _check_like_first(self, single: TiffMovie, name: str, frame: int) -> None:
        self._check_single(single.shape[0], name)
        if single.shape[1:] != self._size or single.dtype != self.dtype:
            raise InputError(
                f"{self.path / name} (frame {frame}) is {single.shape[1:]} {single.dtype}, "
                f"{self._files.names[0]} is {self._size} {self.dtype}",
                "all frames must have one size and type",
            )

    def _check_single(self, frames: int, name: str) -> None:
        if frames != 1:
            raise InputError(
                f"{self.path / name} holds {frames} frames, the files before it one each",
                "put the files of each recording into a folder of its own",
            )

    def _is_cut(self, name: str, frame: int, *, partial: bool) -> bool:
        """Whether a file too short for a frame was cut off: unless `partial`, an InputError says so."""
        try:
            single = TiffMovie(self.path / name, alone=True)
        except InputError:
            if partial:
                return True
            raise
        with single:
            self._check_like_first(single, name, frame)
        return False

    def _lost_at_the_end(self) -> tuple[str, ...]:
        """What to say of the last files where they are not whole."""
        beyond = zip(self._files.places, self._files.names, strict=True)
        lost = [name for place, name in beyond if place >= self._frames]
        if not lost:
            return ()
        named = lost[0] if len(lost) == 1 else f"{lost[0]} to {lost[-1]}"
        whole = f"{len(self._name_of)} frames are whole, {len(lost)} are lost at the end ({named})"
        return (f"{self.path}: truncated: {whole}",)

    def _drop_unfinished(self, *, partial: bool) -> None:
        """Of a recording that is still being written, or was cut off, the last file may be half there."""
        last = max(self._name_of)
        if not partial or last == 0:
            return
        try:
            TiffMovie(self.path / self._name_of[last], alone=True).close()
        except InputError:
            del self._name_of[last]
