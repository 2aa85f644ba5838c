"""Where the frames of a TIFF movie lie in its file, how many are whole, and how large its pixels are."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import tifffile

__all__ = ["Layout", "page_is_grey", "pixel_um_of", "tiff_layout"]

UNIT_UM = {
    **dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00b5m", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("inch", "in"), 25400.0),
    **dict.fromkeys(("m", "meter"), 1e6),
}

PIXEL_UM_RANGE = (1e-3, 10.0)
"""An object pixel outside it is a screen resolution (72 dpi is 353 µm) or a wrong unit: say nothing."""


@dataclass(frozen=True)
class Layout:
    """frames, each `size` (height, width) of `dtype`: bytes in a row from `contiguous_from`, or one page each.

    stored: the type as it stands in the file (byte order included).
    """

    frames: int
    size: tuple[int, int]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    pages: Sequence[Any]
    contiguous_from: int | None = None


def tiff_layout(tiff: tifffile.TiffFile, path: Path, *, partial: bool) -> Layout:
    """How the movie lies in the file.

    Raises InputError for a file without frames, in colour, not two-dimensional or (unless `partial`) truncated.
    """
    first = _first_page(tiff, path)
    page_is_grey(first, path)
    dtype = first.dtype
    assert dtype is not None  # page_is_grey refuses a page without pixels
    stored = np.dtype(dtype).newbyteorder(tiff.byteorder)
    height, width = first.shape
    size = (int(height), int(width))
    bytes_each = size[0] * size[1] * dtype.itemsize
    promised = _promised_frames(tiff, first, path)
    pages: Sequence[Any] = tiff.pages
    whole, complete = _whole_pages(tiff)

    if tiff.is_ome and promised > len(pages) and "FileName" in (tiff.ome_metadata or ""):
        several = list(tiff.series[0].pages)
        return Layout(len(several), size, dtype, stored, several)
    in_a_row = first.is_contiguous and first.compression == 1
    if promised > len(pages) and in_a_row:
        start = int(first.dataoffsets[0])
        whole = min(promised, max(0, tiff.filehandle.size - start) // bytes_each)
        if whole < promised:
            _refuse_truncated(whole, promised, path, partial=partial)
        return Layout(whole, size, dtype, stored, pages, contiguous_from=start)
    if not complete or whole < promised:
        _refuse_truncated(whole, max(promised, len(pages)), path, partial=partial)
    return Layout(whole, size, dtype, stored, pages)


def page_is_grey(page: Any, path: Path) -> None:
    """Raises InputError unless the page is one image of real numbers in one channel."""
    if page.samplesperpixel > 1:
        raise InputError(
            f"{path}: a colour (RGB) image, {page.samplesperpixel} samples a pixel; camera counts are needed: "
            "use the raw movie, or convert it (in ImageJ/Fiji: Image > Type > 16-bit)"
        )
    if page.dtype is None or len(page.shape) != 2 or 0 in page.shape:
        raise InputError(f"{path}: a page has shape {page.shape}; each must be one image (height, width)")
    if page.dtype.kind not in "uif":
        raise InputError(f"{path}: pixels of type {page.dtype}; integer or float counts are needed")


def _first_page(tiff: tifffile.TiffFile, path: Path) -> Any:
    try:
        return tiff.pages[0]
    except (IndexError, ValueError, KeyError, struct.error) as error:
        fh = tiff.filehandle
        fh.seek(8 if tiff.tiff.is_bigtiff else 4)
        pointer = struct.unpack(tiff.tiff.offsetformat, fh.read(tiff.tiff.offsetsize))[0]
        if pointer == 0:
            raise InputError(f"{path}: the TIFF holds no frame; save the movie again") from error
        raise InputError(
            f"{path}: truncated: its index lies at byte {pointer} of {fh.size}, so no frame can be read; "
            "copy the file again"
        ) from error


def _refuse_truncated(whole: int, promised: int, path: Path, *, partial: bool) -> None:
    if whole == 0:
        raise InputError(f"{path}: truncated: not one whole frame is left; copy the file again")
    if partial:
        return
    total = f" of {promised}" if promised > whole else ""
    raise InputError(
        f"{path}: truncated: {whole}{total} whole frames can be read; copy the file again, or work with the "
        f"whole frames only (open_movie(..., partial=True) in Python; saved again as TIFF)"
    )


def _whole_pages(tiff: tifffile.TiffFile) -> tuple[int, bool]:
    """How many pages lie fully within the file, and whether the chain of pages ends properly."""
    pages, size = tiff.pages, tiff.filehandle.size
    count = len(pages)
    complete = _next_page_pointer(tiff, pages[count - 1]) == 0
    while count and _page_end(pages[count - 1]) > size:
        count -= 1
        complete = False
    return count, complete


def _page_end(page: Any) -> int:
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)


def _next_page_pointer(tiff: tifffile.TiffFile, page: Any) -> int:
    """Address of the next page as the file has it; not 0 after the last readable page means a cut."""
    form, fh = tiff.tiff, tiff.filehandle
    fh.seek(page.offset)
    tags = struct.unpack(form.tagnoformat, fh.read(form.tagnosize))[0]
    fh.seek(page.offset + form.tagnosize + tags * form.tagsize)
    raw = fh.read(form.offsetsize)
    return struct.unpack(form.offsetformat, raw)[0] if len(raw) == form.offsetsize else -1


def _promised_frames(tiff: tifffile.TiffFile, first: Any, path: Path) -> int:
    """The number of frames that the file's description announces; 0 where it says nothing.

    Raises InputError for several colour channels.
    """
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        _one_channel(*(int(said.get(axis, 1)) for axis in ("channels", "frames", "slices")), path=path)
        return int(said.get("images", 1))
    text = first.description or ""
    if "<OME" in text[:2000]:
        pixels = _ome_pixels(text)
        sizes = [int(pixels.get(axis, 1)) for axis in ("SizeC", "SizeT", "SizeZ")]
        _one_channel(*sizes, path=path)
        return math.prod(sizes) if pixels else 0
    if text.startswith("{"):  # tifffile's own description
        try:
            said = json.loads(text)
        except ValueError:
            return 0
        shape = said.get("shape", []) if isinstance(said, dict) else []
        # A file written page by page announces each page alone: its shape has no leading axis.
        return math.prod(shape[:-2]) if len(shape) > 2 else 0
    return 0


def _one_channel(channels: int, *others: int, path: Path) -> None:
    """A lone channel axis is what Python writes for a movie whose axes were not named: those are frames."""
    if channels > 1 and max(others) > 1:
        raise InputError(
            f"{path}: {channels} colour channels in one movie; split them and give one "
            "(in ImageJ/Fiji: Image > Color > Split Channels)"
        )


def _ome_pixels(text: str) -> dict[str, str]:
    """Attributes of the first <Pixels> element of an OME description."""
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError:
        return {}
    found = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    return {} if found is None else dict(found.attrib)


def pixel_um_of(tiff: tifffile.TiffFile) -> float | None:
    """Object pixel in µm from OME, ImageJ or TIFF resolution tags; None where none is believable."""
    first: Any = tiff.pages[0]
    text = first.description or ""
    if "<OME" in text[:2000]:
        pixels = _ome_pixels(text)
        if "PhysicalSizeX" in pixels:
            return _believable(float(pixels["PhysicalSizeX"]), pixels.get("PhysicalSizeXUnit", "µm"))
    resolution = first.tags.get("XResolution")
    if resolution is None:
        return None
    above, below = resolution.value
    if not above or not below:
        return None
    if tiff.is_imagej:
        unit = str((tiff.imagej_metadata or {}).get("unit", ""))
    else:
        tag = first.tags.get("ResolutionUnit")
        unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag is not None else 2, "")
    return _believable(below / above, unit)


def _believable(size: float, unit: str) -> float | None:
    factor = UNIT_UM.get(re.sub(r"\s", "", unit.lower()))
    if factor is None:
        return None
    pixel = size * factor
    return pixel if PIXEL_UM_RANGE[0] <= pixel <= PIXEL_UM_RANGE[1] else None
