"""Movies as bare numbers: NumPy arrays, and raw files described by a sidecar as Picasso writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..texts import read_text
from ..yaml_files import read_documents
from .movie_source import Source, check_finite, check_range, read_as, refuse_truncated
from .pixel_size import believable_um

__all__ = ["RAW_SUFFIXES", "RawMovie", "open_npy", "open_raw"]

RAW_SUFFIXES = (".raw", ".dat", ".bin")

_NEEDED = ("Width", "Height", "Frames", "Data Type", "Byte Order")


class RawMovie(Source):
    """Frames that follow each other in a file without anything between them.

    frames: how many the file is said to have;  size: (height, width);  stored: their type in the file, byte
    order included;  header: bytes before the first frame.  Only what is asked for is read.
    Raises InputError for a file that is too short (unless `partial`) or too long.
    """

    def __init__(
        self,
        path: Path,
        *,
        frames: int,
        size: tuple[int, int],
        stored: np.dtype[Any],
        header: int = 0,
        pixel_um: float | None = None,
        partial: bool = False,
    ) -> None:
        if stored.kind not in "uif":
            raise InputError(f"{path}: pixels of type {stored}; integer or float counts are needed")
        if min(frames, *size) < 1:
            raise InputError(f"{path}: {frames} frames of {size[1]} x {size[0]} px hold no picture")
        self.path, self.pixel_um = path, pixel_um
        self._size, self._stored, self._header = size, stored, header
        self._bytes_each = size[0] * size[1] * stored.itemsize
        self.dtype: np.dtype[Any] = read_as(stored)
        there = path.stat().st_size - header
        if there > frames * self._bytes_each:
            raise InputError(
                f"{path}: {there} bytes of frames, {frames} frames of {size[1]} x {size[0]} px {stored.name} "
                f"are {frames * self._bytes_each}: width, height, number of frames or type are wrong"
            )
        self._frames = max(0, there) // self._bytes_each
        if self._frames < frames:
            refuse_truncated(path, self._frames, frames, partial=partial)
            self.notes = (f"{path}: truncated: {self._frames} of {frames} frames are whole",)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        count = (stop - start) * self._size[0] * self._size[1]
        offset = self._header + start * self._bytes_each
        values = np.fromfile(self.path, dtype=self._stored, count=count, offset=offset)
        if len(values) < count:
            raise InputError(f"{self.path}: became shorter while it was read", "copy it again")
        block = values.astype(self.dtype, copy=False).reshape(stop - start, *self._size)
        check_finite(block, start, self.path)
        return block


def open_npy(path: Path, *, partial: bool = False) -> RawMovie:
    """A movie that NumPy saved: (frames, height, width), or one frame (height, width).

    Raises InputError for another kind of file, other dimensions, or frames that do not follow each other.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            form = np.lib.format
            header_of = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
            shape, fortran, stored = header_of(file)
            header = file.tell()
    except ValueError as error:
        raise InputError(f"{path}: not a NumPy array ({error})", "save it with numpy.save") from error
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3:
        raise InputError(f"{path}: an array of shape {shape}; a movie has (frames, height, width)")
    if fortran:
        raise InputError(
            f"{path}: the array is stored column by column, its frames are scattered over the file",
            "save it again with numpy.save(path, numpy.ascontiguousarray(movie))",
        )
    frames, height, width = shape
    return RawMovie(path, frames=frames, size=(height, width), stored=stored, header=header, partial=partial)


def open_raw(path: Path, *, partial: bool = False) -> RawMovie:
    """A raw file with a sidecar of the same name, .yaml, .yml or .json, as Picasso writes it.

    Its keys: Width, Height (px), Frames, Data Type (uint16, …), Byte Order (< little, > big endian), and
    Pixelsize (nm) if known (Picasso, documentation of its file formats).
    Raises InputError that names what is missing or contradicts the file.
    """
    sidecar, said = _sidecar(path)
    absent = [key for key in _NEEDED if key not in said]
    if absent:
        raise InputError(f"{sidecar}: the key {', '.join(absent)} is missing; {_example()}")
    try:
        frames, height, width = (int(said[key]) for key in ("Frames", "Height", "Width"))
        kind = np.dtype(str(said["Data Type"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{sidecar}: {error}; {_example()}") from error
    order = str(said["Byte Order"])
    if order not in ("<", ">"):
        raise InputError(f"{sidecar}: Byte Order is '{order}'", "write '<' (little endian) or '>' (big endian)")
    try:
        pixel = float(said["Pixelsize"]) if said.get("Pixelsize") else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{sidecar}: gives Pixelsize as {said['Pixelsize']!r}, not in nm") from error
    return RawMovie(
        path,
        frames=frames,
        size=(height, width),
        stored=kind.newbyteorder(order),
        pixel_um=None if pixel is None else believable_um(pixel, "nm"),
        partial=partial,
    )


def _sidecar(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file that describes a raw movie, and what it says (the first of several documents wins)."""
    places = [path.with_suffix(suffix) for suffix in (".yaml", ".yml", ".json")]
    sidecar = next((place for place in places if place.is_file()), None)
    if sidecar is None:
        raise InputError(
            f"{path}: a raw file says nothing of itself", f"write {places[0].name} beside it: {_example()}"
        )
    found = _json(sidecar) if sidecar.suffix == ".json" else read_documents(sidecar)
    said: dict[str, Any] = {}
    for part in found if isinstance(found, list) else [found]:
        said = {**part, **said} if isinstance(part, dict) else said
    return sidecar, said


def _json(path: Path) -> Any:
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


def _example() -> str:
    return (
        "its keys are, for example, Width: 512, Height: 512 (pixels), Frames: 10000, Data Type: uint16, "
        "Byte Order: '<'"
    )
