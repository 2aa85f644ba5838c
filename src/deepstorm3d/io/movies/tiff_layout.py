"""Where the frames of a TIFF movie lie in its file, how many are whole, and how large its pixels are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from .movie_source import refuse_truncated, runs
from .ome import ome_pixels
from .other_files import refused_file
from .pixel_size import believable_um
from .tiff_description import described_frames

if TYPE_CHECKING:
    import tifffile

__all__ = ["Layout", "page_is_grey", "pixel_um_of", "refuse_unlike", "tiff_layout"]

_SEPARATE = 2  # of the tag PlanarConfiguration: each colour is a plane of its own


@dataclass(frozen=True)
class Layout:
    """frames, each `size` (height, width) of `dtype`: bytes in a row from `contiguous_from`, or one page each.

    left_out: pages of lower resolution behind the frames;  announced: frames that the first one's description
    announces, where the file has more, else 0;  channels: that are read as frames, 0 or 1: none is;
    order: (frames,) the page of each frame, None where they follow each other;  unplaced: images behind those
    that it names;
    stored: the type as it stands in the file (byte order included);  missing: frames cut off the end, None
    where the file does not say how many;  gaps: frames first … last−1 of a set whose file is not there.
    """

    frames: int
    size: tuple[int, int]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    pages: Sequence[Any]
    contiguous_from: int | None = None
    missing: int | None = 0
    gaps: tuple[tuple[int, int], ...] = ()
    left_out: int = 0
    announced: int = 0
    channels: int = 0
    order: tuple[int, ...] | None = None
    unplaced: int = 0

    @property
    def bytes_each(self) -> int:
        """Bytes of a frame that is not compressed."""
        return self.size[0] * self.size[1] * self.dtype.itemsize


def tiff_layout(tiff: tifffile.TiffFile, path: Path, *, partial: bool, alone: bool = False) -> Layout:
    """How the movie lies in the file.

    partial: give the whole frames of a truncated file;  alone: of a set of OME files, take this file's
    frames only.  Raises InputError for a file without frames, in colour, not two-dimensional or (unless
    `partial`) truncated.
    """
    first = _first_page(tiff, path)
    if first.is_lsm:  # a small colour picture follows each frame
        raise refused_file(path, "Zeiss LSM")
    page_is_grey(first, path)
    dtype = first.dtype
    assert dtype is not None  # page_is_grey refuses a page without pixels
    height, width = first.shape
    layout = Layout(
        0, (int(height), int(width)), dtype, np.dtype(dtype).newbyteorder(tiff.byteorder), tiff.pages
    )
    described = described_frames(tiff, first, path)
    promised, layout = described.frames, replace(layout, channels=described.channels, order=described.pages)
    count = len(tiff.pages)
    if tiff.is_ome and promised > count and "FileName" in (tiff.ome_metadata or ""):
        if not alone:
            return _set_layout(replace(layout, order=None), list(tiff.series[0].pages), path, partial=partial)
        promised = 0
    if promised > count and _in_a_row(tiff, first, layout.bytes_each):
        start = int(first.dataoffsets[0])
        whole = min(promised, max(0, tiff.filehandle.size - start) // layout.bytes_each)
        layout, complete, listed = replace(layout, contiguous_from=start), whole == promised, 0
    else:
        whole, listed = _whole_pages(tiff)
        complete = whole == listed
        layout = replace(layout, left_out=_reduced_at_the_end(tiff, whole))
        whole -= layout.left_out
        if whole > 1 and (last := _page(tiff, whole - 1)) is not None:
            refuse_unlike(last, layout, whole - 1, path)  # on opening, not after all frames before it
    if layout.order is not None:
        return _in_another_order(layout, len(layout.order), whole, path)
    if complete and whole >= promised:
        return replace(layout, frames=whole, announced=promised if 1 < promised < whole else 0)
    announced = max(promised, listed)
    refuse_truncated(path, whole, announced, partial=partial)
    return replace(layout, frames=whole, missing=announced - whole if announced > whole else None)


def _in_another_order(layout: Layout, frames: int, whole: int, path: Path) -> Layout:
    """Of a file whose frames are not in the order of its images: all that are described, or none."""
    if whole < frames:
        raise InputError(
            f"{path}: truncated: {whole} of {frames} images are whole, and its frames are not in order in the "
            "file: the lost ones are not at the end",
            "copy the file again",
        )
    return replace(layout, frames=frames, unplaced=whole - frames)


def _set_layout(layout: Layout, pages: list[Any], path: Path, *, partial: bool) -> Layout:
    """Of a set of OME files, whose first file lists the frames of all."""
    missing = [p is None or not 0 < _page_end(p) <= p.parent.filehandle.size for p in pages]
    if any(missing) and not partial:
        raise InputError(
            f"{path}: {sum(missing)} of {len(pages)} frames, from frame {missing.index(True)}, lie in files of "
            "the set that are absent or truncated",
            "copy all its files into one folder again, or read only what is whole (`partial=True`)",
        )
    frames = len(pages)
    while missing[frames - 1]:
        frames -= 1
    return replace(
        layout,
        frames=frames,
        pages=pages,
        missing=len(pages) - frames,
        gaps=runs([frame for frame in range(frames) if missing[frame]]),
    )


def _in_a_row(tiff: tifffile.TiffFile, first: Any, bytes_each: int) -> bool:
    """Whether all frames follow the first without anything between them, whatever pages are listed."""
    if not first.is_contiguous or first.compression != 1:
        return False
    second = _page(tiff, 1)
    return second is None or second.dataoffsets[0] == first.dataoffsets[0] + bytes_each


def page_is_grey(page: Any, path: Path) -> None:
    """Raises InputError unless the page is one image of real numbers in one channel."""
    if page.samplesperpixel > 1:
        if int(page.planarconfig) == _SEPARATE and page.dtype is not None and page.dtype.itemsize > 1:
            raise InputError(
                f"{path}: {page.samplesperpixel} planes that are marked as the colours of one image; camera "
                "counts are needed",
                "frames or slices of a short stack are stored so by tifffile: write them with "
                "photometric='minisblack', or convert the file (in Fiji: File > Import > Bio-Formats, then "
                "File > Save As > Tiff); of a colour camera use the raw movie",
            )
        raise InputError(
            f"{path}: a colour (RGB) image, {page.samplesperpixel} samples a pixel; camera counts are needed",
            "use the raw movie, or convert it (in ImageJ/Fiji: Image > Type > 16-bit)",
        )
    if page.dtype is None or len(page.shape) != 2 or 0 in page.shape:
        raise InputError(f"{path}: a page has shape {page.shape}; each must be one image (height, width)")
    if page.dtype.kind not in "uif":
        raise InputError(f"{path}: pixels of type {page.dtype}; integer or float counts are needed")


def _not_whole() -> tuple[type[Exception], ...]:
    """What tifffile raises for a page that is cut off; in older versions its own error is no ValueError."""
    import tifffile

    return (tifffile.TiffFileError, IndexError, ValueError, KeyError, struct.error)


def _first_page(tiff: tifffile.TiffFile, path: Path) -> Any:
    try:
        return tiff.pages[0]
    except _not_whole() as error:
        fh = tiff.filehandle
        fh.seek(8 if tiff.tiff.is_bigtiff else 4)
        pointer = struct.unpack(tiff.tiff.offsetformat, fh.read(tiff.tiff.offsetsize))[0]
        if pointer == 0:
            raise InputError(f"{path}: the TIFF holds no frame", "save the movie again") from error
        raise InputError(
            f"{path}: truncated: its index lies at byte {pointer} of {fh.size}, so no frame can be read",
            "copy the file again",
        ) from error


def _whole_pages(tiff: tifffile.TiffFile) -> tuple[int, int]:
    """How many pages lie fully within the file, and how many it lists: 0 where the list itself is cut."""
    count = len(tiff.pages)
    last = _page(tiff, count - 1)
    listed = count if last is not None and _next_page_pointer(tiff, last) == 0 else 0
    # A page without data is one that Micro-Manager has announced in a file that it made longer in advance.
    while count and not 0 < _page_end(_page(tiff, count - 1)) <= tiff.filehandle.size:
        count -= 1
    return count, listed


def _reduced_at_the_end(tiff: tifffile.TiffFile, count: int) -> int:
    """How many of the last pages are pictures of lower resolution (a thumbnail), not frames."""
    at_end = count
    while at_end > 1 and (page := _page(tiff, at_end - 1)) is not None and page.is_reduced:
        at_end -= 1
    return count - at_end


def refuse_unlike(page: Any, layout: Layout, frame: int, path: Path) -> None:
    """Raise InputError for a page of another size or type than the first."""
    if (page.shape, page.dtype) != (layout.size, layout.dtype):
        raise InputError(
            f"{path}: frame {frame} is {page.shape} {page.dtype}, frame 0 is {layout.size} {layout.dtype}; all "
            "frames of a movie must have one size and type"
        )


def _page(tiff: tifffile.TiffFile, number: int) -> Any:
    """One page; None where it is not there, or was cut off within its tags."""
    try:
        return tiff.pages[number]
    except _not_whole():
        return None


def _page_end(page: Any) -> int:
    """Where the data of a page end in the file; 0 without any."""
    if page is None:
        return 0
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)


def _next_page_pointer(tiff: tifffile.TiffFile, page: Any) -> int:
    """Address of the next page as the file has it; not 0 after the last readable page means a cut."""
    form, fh = tiff.tiff, tiff.filehandle
    fh.seek(page.offset)
    tags = struct.unpack(form.tagnoformat, fh.read(form.tagnosize))[0]
    fh.seek(page.offset + form.tagnosize + tags * form.tagsize)
    raw = fh.read(form.offsetsize)
    return struct.unpack(form.offsetformat, raw)[0] if len(raw) == form.offsetsize else -1


def pixel_um_of(tiff: tifffile.TiffFile) -> tuple[float | None, float | None]:
    """Width and height of the object pixel in µm from OME, ImageJ or TIFF resolution tags.

    Each None where the file states none that is believable.
    """
    first: Any = tiff.pages[0]
    text = first.description or ""
    if "<OME" in text[:2000]:
        pixels = ome_pixels(text)
        if "PhysicalSizeX" in pixels:
            return _ome_side(pixels, "PhysicalSizeX"), _ome_side(pixels, "PhysicalSizeY")
    if tiff.is_imagej:
        unit = str((tiff.imagej_metadata or {}).get("unit", ""))
    else:
        tag = first.tags.get("ResolutionUnit")
        unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag is not None else 2, "")
    return _side(first.tags.get("XResolution"), unit), _side(first.tags.get("YResolution"), unit)


def _ome_side(pixels: dict[str, str], name: str) -> float | None:
    return believable_um(float(pixels[name]), pixels.get(f"{name}Unit", "µm")) if name in pixels else None


def _side(resolution: Any, unit: str) -> float | None:
    """One side of a pixel, by a tag that holds pixels per unit as a fraction."""
    if resolution is None:
        return None
    above, below = resolution.value
    return believable_um(below / above, unit) if above and below else None
