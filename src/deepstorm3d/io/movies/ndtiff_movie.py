"""Movies in NDTiff folders (Micro-Manager 2, pycro-manager): an index, and the pixels in large files."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import Source, check_range, import_reader, missing_notes, refuse_truncated, runs
from .pixel_size import believable_um

__all__ = ["INDEX_NAME", "NdTiffMovie"]

INDEX_NAME = "NDTiff.index"

_FRAME_AXES = ("time", "z")
"""Axes that count as frames, slowest first; every other must have one value."""

_RGB = 2
_EIGHT_BIT = 0


class _Entry(NamedTuple):
    """Where an image lies: its value on the frame axes, file, first byte, size (height, width) and kind."""

    place: tuple[Any, ...]
    file: str
    offset: int
    size: tuple[int, int]
    kind: int
    metadata: tuple[int, int]


class NdTiffMovie(Source):
    """One position in one channel; time and depth count as frames, time first.

    The package ndstorage reads the index; the pixels are not compressed and are read from where it says.
    partial: times that are missing, and frames whose file was cut off, are gaps.
    Raises InputError for several channels or positions, colour, mixed sizes, and (unless `partial`)
    missing frames.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        self.path = path
        entries, index_cut = _entries(path)
        if not entries:
            raise InputError(f"{path}: no frame in {INDEX_NAME} yet")
        first = entries[0]
        for entry in entries:
            if (entry.size, entry.kind) != (first.size, first.kind):
                raise InputError(
                    f"{path}: the image at {_named(entry)} is {entry.size} px (pixel type {entry.kind}), "
                    f"the one at {_named(first)} {first.size} (type {first.kind})",
                    "all frames must have one size and type",
                )
        if first.kind == _RGB:
            raise InputError(f"{path}: a colour (RGB) recording; camera counts of one channel are needed")
        self._size = first.size
        self.dtype: np.dtype[Any] = np.dtype("u1" if first.kind == _EIGHT_BIT else "<u2")
        self.pixel_um = _pixel_um(path, first)
        frames = _frame_numbers([entry.place for entry in entries])
        ends = {name: _length(path / name) for name in {entry.file for entry in entries}}
        each = first.size[0] * first.size[1] * self.dtype.itemsize
        whole = [n for n, entry in zip(frames, entries, strict=True) if entry.offset + each <= ends[entry.file]]
        promised = max(frames) + 1
        if len(whole) < promised or index_cut:
            refuse_truncated(path, len(whole), promised, partial=partial)
        self._frames = max(whole) + 1
        # Three numbers a frame: the index of 100,000 frames takes 2 MB.
        self._files = sorted(ends)
        self._file_of = np.full(self._frames, -1, dtype=np.int32)
        self._offset_of = np.zeros(self._frames, dtype=np.int64)
        kept = set(whole)
        for number, entry in zip(frames, entries, strict=True):
            if number in kept:
                self._file_of[number] = self._files.index(entry.file)
                self._offset_of[number] = entry.offset
        self.gaps = runs(np.flatnonzero(self._file_of < 0).tolist())
        self.notes = missing_notes(path, self.gaps)
        if self._frames < promised:
            self.notes += (f"{path}: truncated: {self._frames} of {promised} frames are whole",)
        if index_cut:
            self.notes += (f"{path}: truncated: {INDEX_NAME} is cut: how many frames are lost is not known",)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        count = self._size[0] * self._size[1]
        for row, frame in enumerate(range(start, stop)):
            file, offset = self.path / self._files[self._file_of[frame]], int(self._offset_of[frame])
            values = np.fromfile(file, dtype=self.dtype, count=count, offset=offset)
            if len(values) < count:
                raise InputError(f"{file}: became shorter while it was read (frame {frame})", "copy it again")
            block[row] = values.reshape(self._size)
        return block


def _entries(path: Path) -> tuple[list[_Entry], bool]:
    """All images that the index lists, in order of time and depth, and whether the last is cut (left out).

    Raises InputError for several values on another axis (channel, position).
    """
    index = import_reader("ndstorage.ndtiff_index", path)
    data = (path / INDEX_NAME).read_bytes()
    found: list[_Entry] = []
    others: dict[str, set[Any]] = {}
    position = 0
    while position < len(data):
        try:
            unpacked = None
            if any(data[position : position + 4]):  # zeros: space that is not written yet
                unpacked = index.NDTiffIndexEntry.unpack_single_index_entry(data, position)
        except (struct.error, ValueError):
            break
        if unpacked is None:
            break
        position, axes, entry = unpacked
        for axis, value in axes.items():
            if axis not in _FRAME_AXES:
                others.setdefault(axis, set()).add(value)
        place = tuple(axes.get(axis, 0) for axis in _FRAME_AXES)
        size = (entry.image_height, entry.image_width)
        where = (entry.metadata_offset, entry.metadata_length)
        found.append(_Entry(place, entry.filename, entry.pix_offset, size, entry.pixel_type, where))
    for axis, values in others.items():
        if len(values) > 1:
            raise InputError(
                f"{path}: {len(values)} values of '{axis}' ({', '.join(sorted(map(str, values))[:4])}) in one "
                "recording",
                "split them and give one (in ImageJ/Fiji: Image > Hyperstacks > Reduce Dimensionality)",
            )
    return sorted(found), any(data[position:])


def _frame_numbers(places: Sequence[tuple[Any, ...]]) -> list[int]:
    """Frames from 0 of images at (time, z): the first time is 0, each time has all depths."""
    times, depths = ([place[axis] for place in places] for axis in (0, 1))
    layers = sorted(set(depths))
    start, below = min(times), {depth: number for number, depth in enumerate(layers)}
    return [(time - start) * len(layers) + below[depth] for time, depth in places]


def _named(entry: _Entry) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in zip(_FRAME_AXES, entry.place, strict=True))


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _pixel_um(path: Path, entry: _Entry) -> float | None:
    """The pixel that Micro-Manager keeps with each image (PixelSizeUm; 0 where it is not calibrated)."""
    offset, length = entry.metadata
    try:
        with (path / entry.file).open("rb") as file:
            file.seek(offset)
            said = json.loads(file.read(length))
        return believable_um(float(said["PixelSizeUm"]), "µm")
    except (OSError, ValueError, KeyError, TypeError):
        return None
