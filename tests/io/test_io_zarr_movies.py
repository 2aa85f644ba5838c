"""Zarr movies, written with zarr itself: plain arrays, OME-Zarr images, chunks that are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.io import open_movie

zarr = pytest.importorskip("zarr", reason="needs deepstorm3d[io]")

FRAMES = (1 + np.arange(12 * 40 * 50) % 60000).astype(np.uint16).reshape(12, 40, 50)


def plain(
    path: Path, frames: np.ndarray = FRAMES, chunks: tuple[int, ...] = (5, 20, 50), **options: object
) -> Path:
    array = zarr.create_array(str(path), shape=frames.shape, chunks=chunks, dtype=frames.dtype, **options)
    array[...] = frames
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_plain_array_is_a_movie(version: int, tmp_path: Path) -> None:
    path = plain(tmp_path / "m.zarr", zarr_format=version)
    with open_movie(path) as movie:
        assert movie.shape == (12, 40, 50) and movie.dtype == np.uint16
        assert movie.notes == () and movie.gaps == ()
        np.testing.assert_array_equal(movie.read(3, 11), FRAMES[3:11])
        assert movie.read(5, 5).shape == (0, 40, 50)


def test_a_sharded_array_is_a_movie(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.zarr", chunks=(2, 20, 50), shards=(4, 40, 50))
    with open_movie(path) as movie:
        assert movie.notes == ()
        np.testing.assert_array_equal(movie.read(1, 12), FRAMES[1:])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_an_ome_image_the_finest_level_is_read_with_its_pixel(version: str, tmp_path: Path) -> None:
    root = zarr.open_group(str(tmp_path / "m.zarr"), mode="w", zarr_format=2 if version == "0.4" else 3)
    for level, step in enumerate((1, 2)):
        small = FRAMES[:, None, None, ::step, ::step]
        array = root.create_array(str(level), shape=small.shape, chunks=(1, 1, 1, 40, 50), dtype="u2")
        array[...] = small
    axes = [{"name": name, "type": "time"} for name in "tcz"]
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, size, size]}]}
        for level, size in enumerate((110, 220))
    ]
    images = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    root.attrs.update(images if version == "0.4" else {"ome": {"version": "0.5", **images}})
    with open_movie(tmp_path / "m.zarr") as movie:
        assert movie.shape == (12, 40, 50)
        assert movie.pixel_um == pytest.approx(0.11)
        np.testing.assert_array_equal(movie.read(2, 9), FRAMES[2:9])


@pytest.mark.parametrize(
    ("level", "all_levels", "pixel_um"),
    [
        ([1, 0.11, 0.11], None, 0.11),
        (None, [1, 0.11, 0.11], 0.11),
        ([1, 1, 1], [1, 0.11, 0.11], 0.11),
        ([1, 2, 2], [1, 0.11, 0.11], 0.22),
        (None, None, None),
    ],
)
def test_scales_of_a_level_and_of_all_levels_are_multiplied(
    level: list[float] | None, all_levels: list[float] | None, pixel_um: float | None, tmp_path: Path
) -> None:
    root = zarr.open_group(str(tmp_path / "m.zarr"), mode="w", zarr_format=2)
    root.create_array("0", shape=FRAMES.shape, chunks=FRAMES.shape, dtype="u2")[...] = FRAMES
    shift = {"type": "translation", "translation": [0, 1, 1]}
    scales = [
        {"coordinateTransformations": [{"type": "scale", "scale": scale}, shift]} if scale else {}
        for scale in (level, all_levels)
    ]
    axes = [{"name": "t"}, *({"name": name, "unit": "micrometer"} for name in "yx")]
    root.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0", **scales[0]}], **scales[1]}]
    with open_movie(tmp_path / "m.zarr") as movie:
        assert movie.pixel_um == (None if pixel_um is None else pytest.approx(pixel_um))


@pytest.mark.parametrize(
    "names",
    [("t", "y", "x"), ("frame", "y", "x"), ("Time", "Y", "X"), ("frames", "row", "column"), ("z", "y", "x")],
)
def test_axes_may_have_whole_names(names: tuple[str, ...], tmp_path: Path) -> None:
    with open_movie(plain(tmp_path / "m.zarr", dimension_names=names)) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)


@pytest.mark.parametrize("names", [("y", "x", "time"), ("sample", "y", "x"), ("t", "x", "y")])
def test_axes_that_are_no_movies_are_shown_by_their_names(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"its axes are {', '.join(names)};"):
        open_movie(plain(tmp_path / "m.zarr", dimension_names=names))


def test_time_and_depth_both_count_as_frames(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.zarr", FRAMES.reshape(4, 1, 3, 40, 50), (1, 1, 3, 40, 50))
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(2, 11), FRAMES[2:11])


def test_chunks_that_are_not_there_are_told_and_become_gaps(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.zarr", chunks=(2, 20, 50))
    for chunk in ("c/1/0/0", "c/2/1/0", "c/5/0/0"):
        (path / chunk).unlink()
    with open_movie(path) as movie:
        assert movie.shape[0] == 12
        assert "chunks of 6 of 12 frames, from frame 2" in movie.notes[0]
    with open_movie(path, partial=True) as movie:
        assert movie.shape[0] == 10 and list(movie.gaps) == [(2, 6)]
        assert any("10 of 12 frames are whole" in note for note in movie.notes)
        np.testing.assert_array_equal(movie.read(6, 10), FRAMES[6:10])
        with pytest.raises(InputError, match="frames 2 to 5 are missing"):
            movie.read(0, 3)


def test_what_is_no_movie_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 colour channels"):
        open_movie(plain(tmp_path / "c.zarr", FRAMES.reshape(6, 2, 1, 40, 50), (1, 1, 1, 40, 50)))
    with pytest.raises(InputError, match=r"shape \(3, 4, 40, 50\) without names"):
        open_movie(plain(tmp_path / "d.zarr", FRAMES.reshape(3, 4, 40, 50), (1, 1, 40, 50)))
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    for name in "ab":
        group.create_array(name, shape=(2, 4, 4), dtype="u2")
    with pytest.raises(InputError, match=r"not one image.*g\.zarr.a"):
        open_movie(tmp_path / "g.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="not a Zarr store"):
        open_movie(tmp_path / "empty.zarr")


def test_a_damaged_chunk_is_named_with_its_frames(tmp_path: Path) -> None:
    path = plain(tmp_path / "m.zarr", chunks=(2, 40, 50))
    (path / "c" / "1" / "0" / "0").write_bytes(b"damaged")
    with open_movie(path) as movie, pytest.raises(InputError, match="frames 2 to 3 cannot be read"):
        movie.read(1, 5)


LAYOUTS: dict[str, dict[str, object]] = {
    "shards": {"chunks": (1, 20, 50), "shards": (4, 40, 50)},
    "chunks": {"chunks": (4, 20, 50)},
    "chunks of version 2": {"chunks": (4, 20, 50), "zarr_format": 2},
    "not compressed": {"chunks": (4, 40, 50), "compressors": None},
}


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("at", [1, 2])
def test_of_a_cut_chunk_the_lost_frames_are_named_and_are_a_gap(
    options: dict[str, object], at: int, tmp_path: Path
) -> None:
    path = plain(tmp_path / "m.zarr", **options)  # pyright: ignore[reportArgumentType]
    files = [each for each in path.rglob("*") if each.is_file() and each.name[0] not in "z."]
    cut = next(each for each in files if each.relative_to(path).as_posix().strip("c/").startswith(str(at)))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    first, last = 4 * at, 4 * at + 4
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, first), FRAMES[:first])
        with pytest.raises(InputError, match=f"frames {first} to {last - 1} cannot be read"):
            movie.read(0, 12)
    with open_movie(path, partial=True) as movie:
        assert list(movie.gaps) == ([(4, 8)] if at == 1 else [])
        assert movie.shape[0] == (12 if at == 1 else 8) and movie.notes
        np.testing.assert_array_equal(movie.read(0, first), FRAMES[:first])
        np.testing.assert_array_equal(movie.read(last, movie.shape[0]) if at == 1 else FRAMES[8:], FRAMES[8:])


@pytest.mark.parametrize(
    "scales", [[], [{}], [{"datasets": []}], [{"datasets": [{}]}], [None], {"datasets": []}]
)
def test_a_group_whose_description_names_no_array_is_not_one_image(scales: object, tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "m.zarr"), mode="w").attrs.update({"multiscales": scales})
    with pytest.raises(InputError, match="not one image"):
        open_movie(tmp_path / "m.zarr")
