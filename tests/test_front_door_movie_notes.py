"""What should be known of a movie reaches who reads it into an array, which holds no notes of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import deepstorm3d as ds

FRAMES = (1 + np.arange(6 * 32 * 40)).astype(np.uint16).reshape(6, 32, 40)


def zarr_without_a_chunk(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    path = folder / "m.zarr"
    array = zarr.create_array(str(path), shape=FRAMES.shape, chunks=(2, 32, 40), dtype="u2")
    array[...] = FRAMES
    (path / "c" / "1" / "0" / "0").unlink()
    return path


def tiff_with_thumbnails(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "m.tif") as writer:
        for frame in FRAMES:
            writer.write(frame, contiguous=False, metadata=None)
        writer.write(FRAMES[0, ::2, ::2], contiguous=False, metadata=None, subfiletype=1)
    return folder / "m.tif"


def whole_npy(folder: Path) -> Path:
    np.save(folder / "m.npy", FRAMES)
    return folder / "m.npy"


MOVIES = [zarr_without_a_chunk, tiff_with_thumbnails, whole_npy]


@pytest.mark.parametrize("written", MOVIES)
def test_every_note_of_a_movie_is_a_warning_of_the_array(
    written: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = written(tmp_path)
    with ds.open_movie(path) as movie:
        notes = list(movie.notes)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ds.read_movie(path)
    assert [str(each.message) for each in told] == notes
    assert all(each.category is ds.DoubtfulResult and each.filename == __file__ for each in told)
    assert bool(notes) == (written is not whole_npy)
