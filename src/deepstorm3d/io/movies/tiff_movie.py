"""Movies in one TIFF file of many pages: plain, ImageJ, OME (also a set of files), BigTIFF, compressed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..tiff_images import quiet_tifffile
from .movie_source import Source, check_finite, check_range, missing_notes, read_as
from .other_files import refused_file
from .tiff_layout import Layout, page_is_grey, pixel_um_of, refuse_unlike, tiff_layout

if TYPE_CHECKING:
    import tifffile

__all__ = ["TiffMovie"]

_TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffMovie(Source):
    """One TIFF file, or a set of OME-TIFF files given by the first.

    partial: offer the whole frames of a truncated file;  alone: of an OME set, this file's frames only.
    layout.missing says how many frames were cut off.
    """

    def __init__(self, path: Path, *, partial: bool = False, alone: bool = False) -> None:
        self.path = path
        self._tiff = _open_tiff(path)
        try:
            with _explained(path):
                self.layout: Layout = tiff_layout(self._tiff, path, partial=partial, alone=alone)
                self.pixel_um, self.pixel_height_um = pixel_um_of(self._tiff)
            self._decoded(0)  # a codec that is missing shows now, not an hour later
        except BaseException:
            self.close()
            raise
        self.gaps = self.layout.gaps
        self.notes = _notes(path, self.layout)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.layout.frames, *self.layout.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return read_as(self.layout.dtype)

    @property
    def least_bytes(self) -> int:
        """A file that is like this one, and shorter than that, may have been cut off."""
        return 1 if self._tiff.pages.first.compression != 1 else self._tiff.filehandle.size

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        block = np.empty((stop - start, *self.layout.size), dtype=self.dtype)
        for row, frame in enumerate(range(start, stop)):
            block[row] = self._decoded(frame)
        check_finite(block, start, self.path)
        return block

    def _decoded(self, frame: int) -> NDArray[Any]:
        layout = self.layout
        place = frame if layout.order is None else layout.order[frame]
        with _explained(self.path, frame):
            if layout.contiguous_from is not None:
                count = layout.size[0] * layout.size[1]
                offset = layout.contiguous_from + place * layout.bytes_each
                image = self._tiff.filehandle.read_array(layout.stored, count, offset).reshape(layout.size)
            else:
                page = layout.pages[place]
                if page is None:
                    raise InputError(f"{self.path}: frame {frame} lies in another file of the set, not found")
                page.parent.filehandle.open()  # the other files of a set are closed until then; no-op if open
                page_is_grey(page.keyframe, self.path)
                refuse_unlike(page, layout, frame, self.path)
                image = page.asarray(maxworkers=1)
        return image

    def close(self) -> None:
        self._tiff.close()


def _notes(path: Path, layout: Layout) -> tuple[str, ...]:
    """What is left out of a file, or joined, and what is lost of one that was opened in part."""
    thumbnails = f"{path}: {layout.left_out} pages of lower resolution behind the frames are left out"
    notes = [thumbnails] if layout.left_out else []
    if layout.announced:
        notes.append(
            f"{path}: holds {layout.frames} images, its first description announces {layout.announced} of "
            "them: all are read as one movie, in the order of the file"
        )
    if layout.unplaced:
        notes.append(
            f"{path}: holds {layout.frames + layout.unplaced} images, {layout.frames} of which its description "
            f"puts in order: the last {layout.unplaced} are left out"
        )
    if layout.channels > 1:
        notes.append(
            f"{path}: its description calls its images {layout.channels} colour channels of one frame; they "
            f"are read as {layout.channels} frames. If they are channels, give one (in ImageJ/Fiji: Image > "
            "Color > Split Channels)"
        )
    lost = "an unknown number" if layout.missing is None else f"{layout.missing}"
    if layout.missing != 0:
        notes.append(f"{path}: truncated: {layout.frames} frames are whole, {lost} are lost at the end")
    return (*notes, *missing_notes(path, layout.gaps))


def _open_tiff(path: Path) -> tifffile.TiffFile:
    import tifffile

    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes)", "copy or save it again")
    with _explained(path):
        try:
            return tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            with path.open("rb") as file:
                begins = file.read(4)
            if begins in _TIFF_BEGINS:
                raise InputError(
                    f"{path}: truncated or damaged: not even its first frame can be read ({error})",
                    "copy the file again",
                ) from error
            raise refused_file(path) from error


@contextmanager
def _explained(path: Path, frame: int | None = None) -> Iterator[None]:
    """Say what tifffile met in the user's words, and keep its own log lines off the screen."""
    import tifffile

    try:
        with quiet_tifffile():
            yield
    except InputError:
        raise
    except (tifffile.TiffFileError, ValueError, KeyError, OSError, RuntimeError, struct.error) as error:
        # imagecodecs names the codec and the package; anything else here is damage.
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path}: the movie is compressed ({error})",
                "install what reads it: pip install deepstorm3d[compressed]",
            ) from error
        where = "the file" if frame is None else f"frame {frame}"
        raise InputError(
            f"{path}: {where} cannot be read ({error}); the file is damaged", "copy it again"
        ) from error
