"""Movies of Nikon microscopes (.nd2), through the package nd2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import Source, check_finite, check_range, import_reader
from .pixel_size import believable_um

__all__ = ["Nd2Movie"]

_UNCALIBRATED_UM = 1.0
"""The pixel that a file without calibration states."""


class Nd2Movie(Source):
    """One field of view in one channel; time and depth count as frames, in the order of acquisition.

    Uses what the package nd2 documents: ``sizes``, ``dtype``, ``is_rgb``, ``voxel_size``, ``read_frame``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        nd2 = import_reader("nd2", path)
        with _explained(path):
            self._file = nd2.ND2File(path)
        try:
            with _explained(path):
                sizes = dict(self._file.sizes)
                rgb = bool(self._file.is_rgb)
                self.dtype: np.dtype[Any] = np.dtype(self._file.dtype)
                voxel = self._file.voxel_size()
            self._size = (int(sizes.pop("Y", 1)), int(sizes.pop("X", 1)))
            self._frames = _frames(path, sizes, rgb=rgb)
            self.pixel_um, self.pixel_height_um = (
                None if side == _UNCALIBRATED_UM else believable_um(side, "µm")
                for side in (float(voxel.x), float(voxel.y))
            )
        except BaseException:
            self.close()
            raise

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._frames, *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        for row, frame in enumerate(range(start, stop)):
            with _explained(self.path, frame):
                image = np.asarray(self._file.read_frame(frame))
            if image.size != block[row].size:
                raise InputError(f"{self.path}: frame {frame} is {image.shape}, the movie {self._size}")
            block[row] = image.reshape(self._size)
            if not block[row].any():
                # What the package gives for a frame that is listed and not in the file.
                raise InputError(
                    f"{self.path}: frame {frame} is not in the file (it reads as 0 in every pixel, which no "
                    "camera gives)",
                    "copy the file again, or leave the frame out",
                )
        check_finite(block, start, self.path)
        return block

    def close(self) -> None:
        self._file.close()


def _frames(path: Path, sizes: dict[str, int], *, rgb: bool) -> int:
    """Frames in all, from the lengths of the axes but y and x; raises InputError for several channels."""
    if rgb or sizes.pop("S", 1) > 1:
        raise InputError(f"{path}: a colour (RGB) recording; camera counts of one channel are needed")
    channels, places = sizes.pop("C", 1), sizes.pop("P", 1)
    if channels > 1:
        raise InputError(
            f"{path}: {channels} channels in one movie",
            "split them and give one "
            "(in NIS-Elements: File > Export; in ImageJ/Fiji: Image > Color > Split Channels)",
        )
    if places > 1:
        raise InputError(
            f"{path}: {places} positions in one file",
            "split them and give one (in NIS-Elements: Split Multipoints)",
        )
    return math.prod(sizes.values())


@contextmanager
def _explained(path: Path, frame: int | None = None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        where = "the file" if frame is None else f"frame {frame}"
        raise InputError(
            f"{path}: {where} cannot be read ({error}); the index of an ND2 stands at its end, so a file that "
            "was cut off cannot be opened",
            "copy it again, or rescue its frames with nd2.rescue_nd2 and save them as TIFF",
        ) from error
