"""Movies in TIFF files, read a few frames at a time: one file of many pages or a folder of single pages."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .movie_writer import MovieWriter
from .tiff_layout import Layout, page_is_grey, pixel_um_of, tiff_layout

if TYPE_CHECKING:
    import tifffile

__all__ = ["FolderMovie", "Movie", "MovieWriter", "TiffMovie", "open_movie"]


class Movie(Protocol):
    """Frames of one camera in order, read on demand; a context manager."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, height, width)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored counts."""
        ...

    @property
    def pixel_um(self) -> float | None:
        """Object pixel from the file's own metadata, µm; None where it says nothing believable."""
        ...

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames start … stop−1, (n, height, width) counts.

        Raises InputError naming the frame that is damaged, of another size, or (float) not finite.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_movie(path: str | Path, *, partial: bool = False) -> Movie:
    """Open a movie without reading it: a TIFF file, or a folder of numbered single-page TIFFs.

    Understood: plain multi-page TIFF (also written page by page), ImageJ hyperstacks, OME-TIFF (one or
    several files), BigTIFF, compressed. Time and depth count as frames, in file order. A folder is
    read in natural order (2 before 10). Only an 8-byte address a page, or a name a file, is held.

    partial: accept a truncated file and offer the frames that are whole.
    Raises InputError for what is missing, not a TIFF, truncated, in colour, of mixed sizes or empty.
    """
    path = Path(path)
    if path.is_dir():
        return FolderMovie(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such movie; check the name")
    return TiffMovie(path, partial=partial)


class TiffMovie:
    """One TIFF file (or a multi-file OME-TIFF given by its first file)."""

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        self.path = path
        self._tiff = _open_tiff(path)
        try:
            with _explained(path):
                self._layout: Layout = tiff_layout(self._tiff, path, partial=partial)
                self.pixel_um = pixel_um_of(self._tiff)
            self._decoded(0)  # a codec that is missing shows now, not an hour later
        except BaseException:
            self.close()
            raise

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._layout.frames, *self._layout.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._layout.dtype

    def read(self, start: int, stop: int) -> NDArray[Any]:
        _check_range(start, stop, self.shape[0])
        block = np.empty((stop - start, *self._layout.size), dtype=self.dtype)
        for row, frame in enumerate(range(start, stop)):
            block[row] = self._decoded(frame)
        _check_finite(block, start, self.path)
        return block

    def _decoded(self, frame: int) -> NDArray[Any]:
        layout = self._layout
        with _explained(self.path, frame):
            if layout.contiguous_from is not None:
                count = layout.size[0] * layout.size[1]
                offset = layout.contiguous_from + frame * count * layout.stored.itemsize
                image = self._tiff.filehandle.read_array(layout.stored, count, offset).reshape(layout.size)
            else:
                page = layout.pages[frame]
                if page is None:
                    raise InputError(f"{self.path}: frame {frame} lies in another file of the set, not found")
                page.parent.filehandle.open()  # the other files of a set are closed until then; no-op if open
                page_is_grey(page.keyframe, self.path)
                if page.shape == layout.size and page.dtype == layout.dtype:
                    image = page.asarray(maxworkers=1)
                else:
                    raise InputError(
                        f"{self.path}: frame {frame} is {page.shape} {page.dtype}, frame 0 is {layout.size} "
                        f"{layout.dtype}; all frames of a movie must have one size and type"
                    )
        return image

    def close(self) -> None:
        self._tiff.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FolderMovie:
    """A folder of single-page TIFFs, one frame each, in the natural order of their names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        names = [p.name for p in path.iterdir() if p.suffix.lower() in (".tif", ".tiff") and p.name[0] != "."]
        self._names = sorted(names, key=_natural_key)
        if not self._names:
            raise InputError(f"{path}: the folder holds no TIFF file (.tif, .tiff)")
        with TiffMovie(path / self._names[0]) as first:
            frames, *size = first.shape
            self._size = (size[0], size[1])
            self.dtype, self.pixel_um = first.dtype, first.pixel_um
        if frames != 1 and len(self._names) == 1:
            raise InputError(f"{path}: the folder holds one movie, {self._names[0]}; give that file itself")
        self._check_single(frames, self._names[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self._names), *self._size)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        _check_range(start, stop, len(self._names))
        block = np.empty((stop - start, *self._size), dtype=self.dtype)
        for row, name in enumerate(self._names[start:stop]):
            with TiffMovie(self.path / name) as single:
                self._check_single(single.shape[0], name)
                if single.shape[1:] != self._size or single.dtype != self.dtype:
                    raise InputError(
                        f"{self.path / name} (frame {start + row}) is {single.shape[1:]} {single.dtype}, "
                        f"{self._names[0]} is {self._size} {self.dtype}; all frames must have one size and type"
                    )
                block[row] = single.read(0, 1)[0]
        return block

    def _check_single(self, frames: int, name: str) -> None:
        if frames != 1:
            raise InputError(
                f"{self.path / name} holds {frames} frames; a folder is read as one frame a file: "
                "give the stacks one by one, or join them into one file"
            )

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _natural_key(name: str) -> list[tuple[int, int | str]]:
    """Digits compare as numbers, so frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _check_range(start: int, stop: int, frames: int) -> None:
    if not 0 <= start <= stop <= frames:
        raise ValueError(f"frames {start}:{stop} are not within 0:{frames}")


def _check_finite(block: NDArray[Any], start: int, path: Path) -> None:
    if block.dtype.kind != "f":
        return
    bad = np.count_nonzero(~np.isfinite(block), axis=(1, 2))
    if bad.any():
        row = int(np.argmax(bad > 0))
        raise InputError(
            f"{path}: frame {start + row} has {int(bad[row])} of {block[row].size} pixels NaN or infinite; "
            "give the raw counts of the camera, or replace or leave out such frames"
        )


def _open_tiff(path: Path) -> tifffile.TiffFile:
    import tifffile

    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy or save it again")
    with _explained(path):
        try:
            return tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise InputError(
                f"{path}: not a TIFF file ({error}); convert the movie to TIFF "
                "(in ImageJ/Fiji: File > Save As > Tiff)"
            ) from error


@contextmanager
def _explained(path: Path, frame: int | None = None) -> Iterator[None]:
    """Say what tifffile met in the user's words, and keep its own log lines off the screen."""
    import tifffile

    log = logging.getLogger("tifffile")
    log.addFilter(_drop)
    try:
        yield
    except InputError:
        raise
    except (tifffile.TiffFileError, ValueError, KeyError, OSError, RuntimeError, struct.error) as error:
        # imagecodecs names the codec and the package; anything else here is damage.
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path}: the movie is compressed ({error}); install what reads it: "
                "pip install deepstorm3d[compressed]"
            ) from error
        where = "the file" if frame is None else f"frame {frame}"
        raise InputError(
            f"{path}: {where} cannot be read ({error}); the file is damaged: copy it again"
        ) from error
    finally:
        log.removeFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return False
