"""Data that belong to the pixels of a camera: its maps, and the position of the frames in the PSF field."""

from __future__ import annotations

from torch import Tensor

from ..camera import Camera
from ..chip import Maps, Region, check_size
from ..errors import InputError
from ..io.movies.preparation import Prepared
from ..optics.field_aberrations import FieldSpec

__all__ = ["crops_roam", "field_begin", "prepared_maps", "region_named"]


def region_named(camera: Camera) -> Region | None:
    """The region of the chip that the camera's frames show, where the camera states it."""
    return camera.chip_region


def prepared_maps(maps: Maps, prepared: Prepared, size: tuple[int, int]) -> dict[str, Tensor]:
    """Maps (H, W) of the frames as the camera stored them, turned and cropped like the frames.

    size: height and width of the prepared frames, px.
    Raises InputError where the maps are not of the stored frames' size.
    """
    height, width = size
    check_size(maps, (width, height) if prepared.transpose else size)
    return {name: prepared.turned(values) for name, values in maps.items()}


def field_begin(
    field: FieldSpec, region: Region | None, prepared: Prepared, size: tuple[int, int]
) -> tuple[int, int]:
    """Column and row of the PSF's field at which prepared frames begin.

    The field belongs to the model, and so to the prepared frames; the region belongs to the stored ones. Frames
    begin with the field, unless they are smaller and the camera states their region.
    size: height and width of the prepared frames, px.
    """
    height, width = field.size_px
    if region is None or not field.changes or size == (height, width):
        return 0, 0
    x0, y0, x1, y1 = region
    if prepared.transpose:
        x0, y0, x1, y1 = y0, x0, y1, x1
    if x1 > width or y1 > height or (y1 - y0, x1 - x0) != size:
        return 0, 0
    left = width - x1 if prepared.flip in ("horizontal", "both") else x0
    top = height - y1 if prepared.flip in ("vertical", "both") else y0
    return left, top


def crops_roam(
    field: FieldSpec, camera: Camera, chip_size: tuple[int, int] | None, side: int
) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The area of training crops: its height and width, and its column and row in the field of the PSF.

    chip_size: size of the camera's maps for its region, None without maps;  side: of a crop, px.
    The first is None where all positions are equivalent, the second where the PSF is the same everywhere.
    Raises InputError where a crop is larger than the maps, and where maps and field are of different sizes and
    the region does not state their relation.
    """
    whole = field.size_px if field.changes else None
    if chip_size is None:
        return whole, None if whole is None else (0, 0)
    if min(chip_size) < side:
        raise InputError(
            f"the camera's maps are {chip_size[1]} x {chip_size[0]} px (width x height), a training crop is "
            f"{side} x {side} px: give maps of at least that size, or a smaller training.crop_px"
        )
    if whole is None:
        return chip_size, None
    region = region_named(camera)
    begin = field_begin(field, region, Prepared(), chip_size)
    if whole != chip_size and (region is None or begin != region[:2]):
        raise InputError(
            f"the PSF changes over a field of {whole[1]} x {whole[0]} px (psf.field.size_px), the camera's "
            f"maps are {chip_size[1]} x {chip_size[0]} px: give both for the same pixels, or name the region "
            "of the field that the maps are used for (camera.region)"
        )
    return chip_size, begin
