"""A camera's chip: files with one value for each of its pixels, and the region of it that frames show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

__all__ = ["Maps", "Region", "check_size", "middle_of", "read_map", "region_of"]

Maps = Mapping[str, Tensor]
"""Values of pixels by name, each (H, W) for all frames or (B, H, W) for each its own."""

Region = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the chip: columns x0 … x1−1, rows y0 … y1−1."""


def read_map(name: str, path: Path) -> Tensor:
    """A map (H, W) float32 from a .npy file.

    Raises InputError where the file is missing, is no array of two dimensions, or holds a value that makes no
    sense: not finite, a gain of 0 or less, a negative read noise.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"cannot read the camera's {name} map {path}: {error}; give a .npy file or a number"
        ) from error
    if (
        not isinstance(values, np.ndarray)
        or values.ndim != 2
        or not values.size
        or values.dtype.kind not in "fiu"
    ):
        raise InputError(
            f"the camera's {name} map {path} is no array of numbers with two dimensions; save (H, W) with numpy"
        )
    least = float(values.min())
    if not np.isfinite(values).all() or (name == "gain" and least <= 0) or (name == "read_noise" and least < 0):
        raise InputError(
            f"the camera's {name} map {path} has values that cannot be (least {least:g}); mend dead pixels"
        )
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def region_of(maps: Maps, region: Region | None) -> dict[str, Tensor]:
    """The part of each map (H, W) that a region names, all of it where None.

    Raises InputError where the region is not inside the map.
    """
    if region is None:
        return dict(maps)
    x0, y0, x1, y1 = region
    for name, values in maps.items():
        height, width = values.shape
        if x1 > width or y1 > height:
            raise InputError(
                f"the camera's region {list(region)} (x0, y0, x1, y1) is not inside its {name} map of "
                f"{width} x {height} px: count in pixels of the map, or leave the region out where the map "
                "is of this region alone"
            )
    return {name: values[y0:y1, x0:x1] for name, values in maps.items()}


def check_size(maps: Maps, size: tuple[int, int], what: str = "the frames") -> None:
    """Raises InputError where maps (H, W) are not of the frames' size: which pixels they show is then unknown.

    size: height and width, px;  what: has it, in words.
    """
    height, width = size
    for name, values in maps.items():
        rows, columns = values.shape[-2:]
        if (rows, columns) == (height, width):
            continue
        remedy = "measure maps of all of it"
        if rows >= height and columns >= width:
            left, top = (columns - width) // 2, (rows - height) // 2
            remedy = (
                "name the region of the chip that they show, in pixels of the map, x0, y0, x1, y1 "
                "(`camera.region=[...]` in the experiment, or `camera` region=[...] for a model; its middle "
                f"would be [{left},{top},{left + width},{top + height}])"
            )
        raise InputError(
            f"the camera's {name} map is {columns} x {rows} px (width x height), {what} are {width} x "
            f"{height} px: {remedy}"
        )


def middle_of(maps: Maps, height: int, width: int) -> dict[str, Tensor]:
    """The middle (height, width) pixels of every map: for simulated frames that stand for no certain place.

    Raises InputError where a map is smaller than that.
    """
    cropped = {}
    for name, values in maps.items():
        rows, columns = values.shape
        if rows < height or columns < width:
            raise InputError(
                f"the camera's {name} map is {columns} x {rows} px (width x height), the simulated field "
                f"{width} x {height} px; give a map of at least that size or a smaller field"
            )
        top, left = (rows - height) // 2, (columns - width) // 2
        cropped[name] = values[top : top + height, left : left + width]
    return cropped
