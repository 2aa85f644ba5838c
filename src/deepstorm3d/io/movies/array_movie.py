"""A movie in memory: frames in a NumPy array or a tensor, read like those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import InputError
from .movie_source import Source, check_finite, check_range, read_as

__all__ = ["ArrayMovie"]


class ArrayMovie(Source):
    """Counts (frames, height, width), or one frame (height, width), as a movie; nothing is copied.

    pixel_um: of the camera in the sample, where it is known;  name: in messages, in the place of a file's.
    Raises InputError for other dimensions, types that are no numbers, and arrays without a pixel.
    """

    def __init__(
        self, counts: NDArray[Any] | torch.Tensor, *, pixel_um: float | None = None, name: str = "array"
    ) -> None:
        if isinstance(counts, np.ma.MaskedArray) and np.ma.is_masked(counts):
            raise InputError(
                "some pixels of the array are masked, and a mask is not obeyed",
                "give all counts (its .data) and list pixels to be left out in a file (`defects`)",
            )
        array = counts.detach().cpu().numpy() if isinstance(counts, torch.Tensor) else np.asarray(counts)
        if array.ndim == 2:
            array = array[None]
        if array.ndim != 3:
            raise InputError(f"an array of shape {array.shape}; a movie has (frames, height, width)")
        if array.dtype.kind not in "uif":
            raise InputError(f"an array of type {array.dtype}; integer or float counts are needed")
        if 0 in array.shape:
            raise InputError(f"an array of shape {array.shape} holds no picture")
        self.path, self.pixel_um = Path(name), pixel_um
        self._array = array
        self.dtype: np.dtype[Any] = read_as(array.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        frames, height, width = self._array.shape
        return frames, height, width

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = self._array[start:stop].astype(self.dtype, copy=False)
        check_finite(block, start, self.path)
        return block
