"""Data that belong to the pixels of a camera: its maps, and the position of the frames in the PSF field."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..camera import Camera
from ..chip import Maps, check_size
from ..errors import InputError
from ..field import Field
from ..io.movies.preparation import Prepared
from ..optics.field_aberrations import FieldSpec

__all__ = ["crops_field", "prepared_maps", "shown_field"]


def prepared_maps(maps: Maps, prepared: Prepared, size: tuple[int, int]) -> dict[str, Tensor]:
    """Maps (H, W) of the frames as the camera stored them, turned and cropped like the frames.

    size: height and width of the prepared frames, px.
    Raises InputError where the maps are not of the stored frames' size.
    """
    height, width = size
    check_size(maps, (width, height) if prepared.transpose else size)
    return {name: prepared.turned(values) for name, values in maps.items()}


def shown_field(frame: Field, across: FieldSpec, camera: Camera, prepared: Prepared) -> Field:
    """The part of a PSF's whole field that prepared frames show: `frame` with its origin.

    The field belongs to the model, and so to the prepared frames; the region belongs to the stored ones. Frames
    begin with the field, unless they are smaller and the camera states their region.
    frame: size and pixel of the prepared frames;  across: how the PSF varies.
    """
    height, width = across.size_px
    begin, region = replace(frame, origin_px=(0, 0)), camera.chip_region
    if region is None or not across.changes or frame.size == (height, width):
        return begin
    x0, y0, x1, y1 = region
    if prepared.transpose:
        x0, y0, x1, y1 = y0, x0, y1, x1
    if x1 > width or y1 > height or (y1 - y0, x1 - x0) != frame.size:
        return begin
    left = width - x1 if prepared.flip in ("horizontal", "both") else x0
    top = height - y1 if prepared.flip in ("vertical", "both") else y0
    return replace(frame, origin_px=(left, top))


def crops_field(crop: Field, across: FieldSpec, camera: Camera, maps: Maps) -> Field | None:
    """The field that training crops are parts of; None where all positions are equivalent.

    crop: size and pixel of a crop;  across: how the PSF varies;  maps: of the camera, for its region.
    Raises InputError where a crop is larger than the maps, and where maps and field are of different sizes and
    the region does not state their relation.
    """
    height, width = across.size_px
    sizes = [(values.shape[0], values.shape[1]) for values in maps.values()]
    if not sizes:
        # Beyond its field a PSF is as at the edge.
        larger = replace(crop, height=max(crop.height, height), width=max(crop.width, width))
        return larger if across.changes else None
    rows, columns = sizes[0]
    if rows < crop.height or columns < crop.width:
        raise InputError(
            f"the camera's maps are {columns} x {rows} px (width x height), a training crop is "
            f"{crop.width} x {crop.height} px",
            "give maps of at least that size, or a smaller training.crop_px",
        )
    chip = Field(rows, columns, crop.pixel_um)
    if not across.changes:
        return chip
    shown, region = shown_field(chip, across, camera, Prepared()), camera.chip_region
    if chip.size != across.size_px and (region is None or shown.origin_px != region[:2]):
        raise InputError(
            f"the PSF changes over a field of {width} x {height} px (psf.field.size_px), the camera's "
            f"maps are {columns} x {rows} px",
            "give both for the same pixels, or name the region of the field that the maps are used for "
            "(camera.region)",
        )
    return shown
