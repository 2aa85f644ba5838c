"""Movies in Zarr stores: a plain array, or the finest level of an OME-Zarr image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import (
    Source,
    check_finite,
    check_range,
    import_reader,
    in_words,
    missing_notes,
    read_as,
    runs,
)
from .pixel_size import believable_um

__all__ = ["ZarrMovie", "is_zarr"]

_METADATA = ("zarr.json", ".zarray", ".zgroup")
# Names of axes whose first letter is another's.
_LETTERS = {"frame": "t", "frames": "t", "f": "t", "row": "y", "rows": "y", "column": "x", "columns": "x"}
_DEFAULT_AXES = {2: "yx", 3: "tyx", 5: "tczyx"}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return path.suffix.lower() == ".zarr" or any((path / name).exists() for name in _METADATA)


class ZarrMovie(Source):
    """An array (t, y, x), or (t, c, z, y, x) of one channel; time and depth count as frames, time first.

    Zarr does not write chunks whose values are all 0, so one that is absent is an empty stretch or lost.
    As given it is read as 0 and `notes` says so; with `partial` its frames are a gap, and those of a chunk that
    cannot be decoded, for which all are read once; while it is `growing` they are not.
    """

    def __init__(self, path: Path, *, partial: bool = False, growing: bool = False) -> None:
        self.path = path
        zarr = import_reader("zarr", path)
        try:
            opened = zarr.open(str(path), mode="r")
        except Exception as error:  # each version and codec has errors of its own
            raise InputError(f"{path}: not a Zarr store that can be read ({error})") from error
        array, axes, (self.pixel_um, self.pixel_height_um) = _image(opened, path)
        if len(array.shape) != len(axes):
            raise InputError(f"{path}: an array of shape {array.shape} with axes {axes}: they do not agree")
        if array.dtype.kind not in "uif":
            raise InputError(f"{path}: pixels of type {array.dtype}; integer or float counts are needed")
        self._array, self._lengths = array, _leading(array.shape, axes, path)
        self.dtype: np.dtype[Any] = read_as(np.dtype(array.dtype))
        self._size = (int(array.shape[-2]), int(array.shape[-1]))
        self._frames = math.prod(self._lengths)
        self._look_for_gaps(partial=partial, decode=not growing)
        if min(self.shape) < 1:
            raise InputError(f"{path}: no frame in the store yet (its shape is {array.shape})")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        for place, first, last in _slabs(start, stop, self._lengths):
            try:
                block[first - start : last - start] = self._array[place].reshape(last - first, *self._size)
            except Exception as error:
                raise self._damage(first, last, error) from error
        check_finite(block, start, self.path)
        return block

    def _damage(self, start: int, stop: int, error: Exception) -> InputError:
        """What is wrong with frames start … stop−1, which cannot be read together."""
        bad = self._damaged(np.arange(start, stop)) or list(range(start, stop))
        return InputError(
            f"{self.path}: frame{'s' if len(bad) > 1 else ''} {in_words(runs(bad))} cannot be read ({error}); "
            "the store is damaged",
            "copy it again, or leave them out (`partial=True`)",
        )

    def _damaged(self, frames: NDArray[np.int64]) -> list[int]:
        """Those of the frames that cannot be decoded; one frame of each chunk is read."""
        whole: dict[tuple[int, ...], bool] = {}
        bad = list[int]()
        for frame in frames.tolist():
            place = tuple(int(i) for i in np.unravel_index(frame, self._lengths)) if self._lengths else ()
            chunk = tuple(i // step for i, step in zip(place, self._array.chunks, strict=False))
            if chunk not in whole:
                try:
                    self._array[place]
                    whole[chunk] = True
                except Exception:  # each version and codec has errors of its own
                    whole[chunk] = False
            if not whole[chunk]:
                bad.append(frame)
        return bad

    def _look_for_gaps(self, *, partial: bool, decode: bool) -> None:
        """Find the frames of which a chunk is absent; in part, and to `decode`, also damaged ones."""
        absent = _absent_frames(self._array, self.path, self._lengths)
        if partial and decode:
            absent[self._damaged(np.flatnonzero(~absent))] = True
        if not absent.any():
            return
        if not partial:
            self.notes = (
                f"{self.path}: chunks of {int(absent.sum())} of {self._frames} frames, from frame "
                f"{int(np.argmax(absent))}, are not in the store and read as {self._array.fill_value}: "
                "empty frames, or a copy that is not complete (`partial=True` leaves them out)",
            )
            return
        before = self._frames
        self._frames = int(np.flatnonzero(~absent).max(initial=-1)) + 1
        self.gaps = runs(np.flatnonzero(absent[: self._frames]).tolist())
        notes = [*missing_notes(self.path, self.gaps)]
        if self._frames < before:
            notes.append(f"{self.path}: truncated: {self._frames} of {before} frames are whole")
        self.notes = tuple(notes)


def _image(opened: Any, path: Path) -> tuple[Any, str, tuple[float | None, float | None]]:
    """The array of an image, its axes as letters, and its pixel (width, height) in µm where it is known."""
    if hasattr(opened, "shape"):
        named = getattr(opened.metadata, "dimension_names", None)
        axes = _letters([str(name) for name in named], path) if named and all(named) else ""
        return opened, axes or _default_axes(opened.shape, path), (None, None)
    attributes = dict(opened.attrs)
    ome = attributes.get("ome", attributes)  # OME-Zarr 0.5 has its own key, 0.4 has none
    if "multiscales" in ome:
        try:
            level = ome["multiscales"][0]
            finest = level["datasets"][0]
            where = finest["path"]
        except (IndexError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: a Zarr group whose description (multiscales) names no array, so not one image",
                "give the folder of an array in it, or copy it again",
            ) from error
        try:
            array = opened[where]
        except KeyError as error:
            raise InputError(f"{path}: its finest level '{where}' is not there", "copy it again") from error
        names = [axis["name"] if isinstance(axis, Mapping) else str(axis) for axis in level.get("axes", [])]
        axes = _letters(names, path) if names else _default_axes(array.shape, path)
        return array, axes, (_pixel_um(level, finest, axes, "x"), _pixel_um(level, finest, axes, "y"))
    inside = sorted(name for name, _ in opened.members())
    if "bioformats2raw.layout" in ome and "0" in inside and "1" not in inside:
        return _image(opened["0"], path / "0")
    if len(inside) == 1:
        return _image(opened[inside[0]], path / inside[0])
    raise InputError(
        f"{path}: a Zarr group that is not one image",
        f"give one of what is in it: {', '.join(str(path / name) for name in inside[:5]) or 'it is empty'}",
    )


def _letters(names: Sequence[str], path: Path) -> str:
    """Axes by their first letters, frames as time.  Raises InputError for names that are none of a movie's."""
    letters = "".join(_LETTERS.get(name.lower(), name[:1].lower()) for name in names)
    if letters[-2:] != "yx" or not set(letters[:-2]) <= set("tcz"):
        raise InputError(
            f"{path}: its axes are {', '.join(names)}; a movie has time, channel or depth (t, c, z), then rows "
            "and columns (y, x)",
            "rename or reorder them",
        )
    return letters


def _default_axes(shape: Sequence[int], path: Path) -> str:
    if len(shape) not in _DEFAULT_AXES:
        raise InputError(
            f"{path}: an array of shape {tuple(shape)} without names of its axes; "
            "a movie has (t, y, x) or (t, c, z, y, x)"
        )
    return _DEFAULT_AXES[len(shape)]


def _pixel_um(level: Mapping[str, Any], finest: Mapping[str, Any], axes: str, letter: str) -> float | None:
    """The scale of x or y, in the unit of its axis (OME-Zarr 0.4, 0.5): of the level, times that of all."""
    steps = [*finest.get("coordinateTransformations", []), *level.get("coordinateTransformations", [])]
    scales = [step["scale"] for step in steps if step.get("type") == "scale" and "scale" in step]
    axis = level["axes"][axes.index(letter)] if "axes" in level and letter in axes else None
    if not scales or not isinstance(axis, Mapping):
        return None
    size = math.prod(float(scale[axes.index(letter)]) for scale in scales)
    return believable_um(size, str(axis.get("unit", "")))


def _leading(shape: Sequence[int], axes: str, path: Path) -> tuple[int, ...]:
    """Lengths of the axes before y and x; raises InputError for several channels or another order."""
    if "c" in axes and shape[axes.index("c")] > 1:
        raise InputError(
            f"{path}: {shape[axes.index('c')]} colour channels in one movie", "split them and give one"
        )
    if "z" in axes and "t" in axes and axes.index("z") < axes.index("t") and shape[axes.index("z")] > 1:
        raise InputError(
            f"{path}: depth comes before time (axes {', '.join(axes)})", "store it with time first"
        )
    return tuple(int(length) for length in shape[:-2])


def _slabs(start: int, stop: int, lengths: Sequence[int]) -> list[tuple[tuple[Any, ...], int, int]]:
    """Frames start … stop−1 as indices into the array, each with the frames (first, last) it gives.

    A slab is as long as the last axis longer than 1 allows, so that a chunk is decoded once.
    """
    longer = [axis for axis, length in enumerate(lengths) if length > 1]
    fast = longer[-1] if longer else len(lengths) - 1
    if fast < 0:
        return [((), 0, 1)] if stop > start else []
    inner, slabs, here = lengths[fast], [], start
    while here < stop:
        outer = np.unravel_index(here // inner, lengths[:fast]) if fast else ()
        first = here % inner
        last = min(inner, first + stop - here)
        index = (*(int(i) for i in outer), slice(first, last), *(0 for _ in lengths[fast + 1 :]))
        slabs.append((index, here, here + last - first))
        here += last - first
    return slabs


def _absent_frames(array: Any, path: Path, lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Which frames lack a chunk, (frames,); only the names of files are looked at."""
    chunk = array.shards or array.chunks
    folder = path / array.path
    counts = [math.ceil(size / step) for size, step in zip(array.shape, chunk, strict=True)]
    absent = np.zeros(tuple(lengths), dtype=bool)
    for place in itertools.product(*(range(count) for count in counts)):
        if not (folder / array.metadata.encode_chunk_key(place)).exists():
            frames = zip(place[: len(lengths)], chunk, strict=False)
            absent[tuple(slice(i * step, (i + 1) * step) for i, step in frames)] = True
    return absent.reshape(-1)
