"""Opening a movie, whatever the microscope wrote: the one place that knows all kinds of files."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...front_door import public
from .folder_movie import open_folder
from .movie_source import Movie, readable_ranges
from .movie_writer import MovieWriter
from .nd2_movie import Nd2Movie
from .ndtiff_movie import INDEX_NAME, NdTiffMovie
from .numbered_files import tiff_names
from .raw_movie import RAW_SUFFIXES, open_npy, open_raw
from .stacks_movie import open_micro_manager
from .tiff_movie import TiffMovie
from .zarr_movie import ZarrMovie, is_zarr

__all__ = ["MOVIE_SUFFIXES", "Movie", "MovieWriter", "open_growing", "open_movie", "readable_ranges"]

MOVIE_SUFFIXES = frozenset({".tif", ".tiff", ".nd2", ".npy", ".index", *RAW_SUFFIXES})
"""Endings of the files that `open_movie` knows; of NDTiff its index."""


@public
def open_movie(path: str | Path, *, partial: bool = False) -> Movie:
    """Open a movie without reading its frames: what is held does not grow with what has been read.

    Files: TIFF (plain, also page by page, ImageJ, OME, BigTIFF, compressed; the first of several that
    Micro-Manager or an OME writer made of one recording), ND2, .npy, .raw/.dat/.bin with a sidecar.
    Folders: numbered TIFFs of one frame or of many (2 before 10), NDTiff, Zarr.
    A folder that holds but one such folder stands for it. Time and depth count as frames, in the order of the
    file.

    Parameters
    ----------
    path
        File or folder.
    partial : bool
        Of a movie that was cut off, offer the frames that are whole; `Movie.gaps` are those that are missing in
        its middle, `Movie.notes` says what is lost.

    Returns
    -------
    Movie
        ``.shape`` (frames, height, width), ``.read(start, stop)``; a context manager that closes the file.

    Raises
    ------
    InputError
        For what is missing, of no known kind, truncated, in colour, of mixed sizes or empty.
    """
    return _opened(Path(path), partial=partial)


def open_growing(path: Path) -> Movie:
    """Open a movie that is being recorded, by now; no chunk is decoded, as it is looked at often."""
    return _opened(path, partial=True, growing=True)


def _opened(path: Path, *, partial: bool, growing: bool = False) -> Movie:
    if path.is_dir():
        if is_zarr(path):
            return ZarrMovie(path, partial=partial, growing=growing)
        if (path / INDEX_NAME).exists():
            return NdTiffMovie(path, partial=partial)
        below = _recording_below(path)
        return _opened(below, partial=partial, growing=growing) if below else open_folder(path, partial=partial)
    if not path.exists():
        raise InputError(f"{path}: there is no such movie", "check the name")
    suffix = path.suffix.lower()
    if path.name == INDEX_NAME:
        return NdTiffMovie(path.parent, partial=partial)
    if suffix == ".nd2":
        return Nd2Movie(path)
    if suffix == ".npy":
        return open_npy(path, partial=partial)
    if suffix in RAW_SUFFIXES:
        return open_raw(path, partial=partial)
    return open_micro_manager(path, partial=partial) or TiffMovie(path, partial=partial)


def _recording_below(path: Path) -> Path | None:
    """The one folder of a movie inside a folder without images, as NDTiff has ``Full resolution``.

    None where the folder has images of its own, or none below.  Raises InputError where there are several.
    """
    if tiff_names(path):
        return None
    inside = sorted(each for each in path.iterdir() if each.is_dir())
    movies = [each for each in inside if (each / INDEX_NAME).exists() or is_zarr(each) or tiff_names(each)]
    full = [each for each in movies if each.name == "Full resolution"]  # beside it lie smaller copies
    if len(full) == 1 or len(movies) == 1:
        return (full or movies)[0]
    if movies:
        names = ", ".join(each.name for each in movies[:8]) + (", …" if len(movies) > 8 else "")
        raise InputError(f"{path} holds {len(movies)} folders with images ({names})", "give one of them")
    return None
