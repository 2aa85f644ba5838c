"""NDTiff movies, written with ndstorage itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.io import open_movie

ndstorage = pytest.importorskip("ndstorage", reason="needs deepstorm3d[io]")

FRAMES = (np.arange(12 * 40 * 50) % 60000).astype(np.uint16).reshape(12, 40, 50)


def record(folder: Path, images: Iterable[tuple[dict[str, Any], np.ndarray]], **metadata: object) -> Path:
    data = ndstorage.NDTiffDataset(str(folder), name="run", summary_metadata={}, writable=True)
    for axes, image in images:
        data.put_image(axes, image, metadata)
    data.current_writer.reader.close()  # which ndstorage leaves open
    data.finish()
    data.close()
    return next(folder.glob("run_*"))


def test_times_in_any_order_are_frames_in_order(tmp_path: Path) -> None:
    order = [3, 0, 1, 2, *range(4, 12)]
    path = record(tmp_path, (({"time": t, "channel": "red"}, FRAMES[t]) for t in order), PixelSizeUm=0.11)
    with open_movie(path) as movie:
        assert movie.shape == (12, 40, 50) and movie.dtype == np.uint16
        assert movie.pixel_um == pytest.approx(0.11)
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)
    with open_movie(path / "NDTiff.index") as movie:
        np.testing.assert_array_equal(movie.read(7, 9), FRAMES[7:9])


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path, (({"time": t}, FRAMES[t]) for t in range(3)))
    capsys.readouterr()
    with open_movie(path) as movie:
        movie.read(0, 3)
    assert capsys.readouterr().out == ""


def test_time_and_depth_both_count_as_frames(tmp_path: Path) -> None:
    images = (({"time": t, "z": z}, FRAMES[3 * t + z].astype(np.uint8)) for z in range(3) for t in range(4))
    with open_movie(record(tmp_path, images)) as movie:
        assert movie.dtype == np.uint8
        np.testing.assert_array_equal(movie.read(2, 11), FRAMES[2:11].astype(np.uint8))


def test_missing_times_are_gaps(tmp_path: Path) -> None:
    path = record(tmp_path, (({"time": t}, FRAMES[t]) for t in (0, 1, 4, 5, 6)))
    with pytest.raises(InputError, match="truncated: 5 of 7 whole frames"):
        open_movie(path)
    with open_movie(path, partial=True) as movie:
        assert movie.shape[0] == 7 and list(movie.gaps) == [(2, 4)]
        np.testing.assert_array_equal(movie.read(4, 7), FRAMES[4:7])


def test_a_recording_whose_files_were_cut_keeps_what_is_whole(tmp_path: Path) -> None:
    path = record(tmp_path, (({"time": t}, FRAMES[t]) for t in range(12)))
    pixels = next(path.glob("*.tif"))
    os.truncate(pixels, int(0.6 * pixels.stat().st_size))
    index = path / "NDTiff.index"
    index.write_bytes(index.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"truncated: [67] of 11"):
        open_movie(path)
    with open_movie(path, partial=True) as movie:
        whole = movie.shape[0]
        assert whole in (6, 7) and f"{whole} of 11" in movie.notes[0]
        np.testing.assert_array_equal(movie.read(0, whole), FRAMES[:whole])


def test_an_index_that_was_cut_is_told(tmp_path: Path) -> None:
    path = record(tmp_path, (({"time": t}, FRAMES[t]) for t in range(12)))
    index = path / "NDTiff.index"
    index.write_bytes(index.read_bytes()[:-7])
    with pytest.raises(InputError, match="truncated: 11 whole frames can be read"):
        open_movie(path)
    with open_movie(path, partial=True) as movie:
        assert movie.shape[0] == 11 and "NDTiff.index is cut" in movie.notes[0]


def test_channels_and_sizes_that_differ_are_named(tmp_path: Path) -> None:
    path = record(tmp_path / "a", (({"time": 0, "channel": name}, FRAMES[0]) for name in ("red", "blue")))
    with pytest.raises(InputError, match=r"2 values of 'channel' \(blue, red\)"):
        open_movie(path)
    path = record(tmp_path / "b", (({"time": t}, FRAMES[t, : 40 - t]) for t in range(3)))
    with pytest.raises(InputError, match=r"time 1, z 0 is \(39, 50\).*time 0, z 0 \(40, 50\)"):
        open_movie(path)


def test_the_folder_above_stands_for_the_recording_inside(tmp_path: Path) -> None:
    run = record(tmp_path, (({"time": t}, FRAMES[t]) for t in range(3)))
    with open_movie(tmp_path) as movie:
        assert movie.shape == (3, 40, 50)
    pyramid = tmp_path / "old"
    pyramid.mkdir()
    run.rename(pyramid / "Full resolution")
    (pyramid / "Downsampled_x2").mkdir()
    (pyramid / "Downsampled_x2" / "NDTiff.index").write_bytes(b"")
    with open_movie(pyramid) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), FRAMES[:3])


def test_several_recordings_inside_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "NDTiff.index").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 folders with images \(one, two\); give one"):
        open_movie(tmp_path)
