"""Movies and stacks written block by block as TIFF that ImageJ opens with its pixel or voxel size."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..parts import claim_name, explain_write_errors, part_path
from ..sole_writer import SoleWriter

__all__ = ["MovieWriter"]

CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Above it a file is written as BigTIFF; 32 MB are left for the index of pages."""


class MovieWriter:
    """Writes frames in blocks; the movie has its final name only when all frames are in it.

    Use as a context manager. The file grows in ``NAME.part.tif``; on an exception that part is deleted
    (a TIFF without its index cannot be read) and nothing stands under the final name.

    uint16: each count is rounded to the nearest whole number (halves to the even one) and limited to
    0 … 65535; `clipped` says how many pixels were outside.  float32: as given.

    path: .tif or .tiff;  frames, shape (height, width): of the whole movie;  pixel_um: object pixel, µm;
    spacing_um: distance from image to image, which makes them the planes of a stack, µm.
    Raises InputError for a bad name, an existing file without `overwrite`, one that another process is writing,
    or a failed write.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        frames: int,
        shape: tuple[int, int],
        pixel_um: float | None = None,
        spacing_um: float | None = None,
        dtype: Literal["uint16", "float32"] = "uint16",
        overwrite: bool = False,
    ) -> None:
        import tifffile

        self.path = Path(path)
        if self.path.suffix.lower() not in (".tif", ".tiff"):
            raise InputError(f"{self.path}: a movie is written as .tif, not '{self.path.suffix}'")
        if frames < 1:
            raise InputError(f"{self.path}: a movie needs at least one frame, {frames} were asked for")
        claim_name(self.path, overwrite=overwrite)
        self.frames, self.shape, self.dtype = frames, shape, np.dtype(dtype)
        self.pixel_um, self.spacing_um = pixel_um, spacing_um
        self._begins_um: tuple[float, ...] = ()
        self.written = 0
        self.clipped = 0
        self._part = part_path(self.path)
        size = frames * shape[0] * shape[1] * self.dtype.itemsize
        self._sole = SoleWriter(self._part, self.path)
        with self._explained():
            self._tiff = tifffile.TiffWriter(self._part, bigtiff=size + 512 * frames > CLASSIC_TIFF_BYTES)

    def begins_at(self, *corner_um: float) -> Self:
        """Say, before the first image, where its left and upper edge lie, and of a stack its shallow end, µm.

        ImageJ then shows positions in the sample: (pixel − origin) × pixel size.
        """
        self._begins_um = corner_um
        return self

    def append(self, block: Any) -> None:
        """Add frames (n, height, width), counts.

        Raises ValueError for another size, NaN or more frames than announced; InputError where the disk fails.
        """
        counts = np.asarray(block)
        if counts.ndim != 3 or counts.shape[1:] != self.shape:
            raise ValueError(f"expected frames of {self.shape}, got a block of {counts.shape}")
        if self.written + len(counts) > self.frames:
            raise ValueError(f"{self.written + len(counts)} frames for a movie of {self.frames}")
        stored = self._as_stored(counts)
        with self._explained():
            for image in stored:
                self._tiff.write(image, contiguous=True, metadata=None, **self._tags())
        self.written += len(stored)

    def _as_stored(self, counts: NDArray[Any]) -> NDArray[Any]:
        if counts.dtype.kind == "f" and not np.isfinite(counts).all():
            raise ValueError("frames to be written have NaN or infinite pixels")
        if self.dtype.kind == "f":
            return counts.astype(self.dtype)
        whole = np.rint(counts) if counts.dtype.kind == "f" else counts
        limits = np.iinfo(self.dtype)
        self.clipped += int(np.count_nonzero((whole < limits.min) | (whole > limits.max)))
        return np.clip(whole, limits.min, limits.max).astype(self.dtype)

    def _tags(self) -> dict[str, Any]:
        """ImageJ's own description: frames on the time axis, or planes in depth; pixel and voxel in microns."""
        axis = "frames" if self.spacing_um is None else "slices"
        lines = ["ImageJ=1.54f", f"images={self.frames}", f"{axis}={self.frames}", "hyperstack=true"]
        lines += ["mode=grayscale", "loop=false"]
        tags: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "software": False}
        if self.spacing_um is not None:
            lines.append(f"spacing={self.spacing_um:.9g}")
        if self.pixel_um is not None:
            lines.append("unit=micron")
            sizes = (self.pixel_um, self.pixel_um, self.spacing_um or 1.0)
            lines += [
                f"{axis}origin={-begin / size:.9g}"
                for axis, begin, size in zip("xyz", self._begins_um, sizes, strict=False)
            ]
            tags |= {"resolution": (1 / self.pixel_um, 1 / self.pixel_um), "resolutionunit": "NONE"}
        return tags | {"description": "\n".join(lines) + "\n"}

    def finish(self) -> None:
        """Write the index of pages and give the movie its final name.

        Raises ValueError unless all announced frames were written.
        """
        if self.written != self.frames:
            self.discard()
            raise ValueError(f"{self.written} frames were written of {self.frames} announced")
        try:
            with self._explained():
                self._tiff.close()
                os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)
            self._sole.release()

    def discard(self) -> None:
        """Give up: nothing remains on the disk."""
        # Closing writes the index, which a full disk refuses: the file is deleted either way.
        try:
            self._tiff.close()
        except OSError:
            self._tiff.filehandle.close()
        finally:
            self._part.unlink(missing_ok=True)
            self._sole.release()

    def _explained(self) -> Any:
        return explain_write_errors(self.path, "Then run again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()
