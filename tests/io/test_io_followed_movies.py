"""A movie that is still being written: every whole frame comes through, none before it is whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from deepstorm3d.errors import InputError
from deepstorm3d.io import FollowedMovie, MovieWriter, Prepared, open_movie, prepare
from watchers import Recorder

FRAMES = (1 + np.arange(20 * 40 * 50) % 60000).astype(np.uint16).reshape(20, 40, 50)
PAUSE_S = 0.01


def append_tiff(path: Path) -> None:
    for frame in FRAMES:
        tifffile.imwrite(path, frame, append=True, metadata=None)
        time.sleep(PAUSE_S)


def pages_of_one_writer(path: Path, **options: object) -> None:
    with tifffile.TiffWriter(path, **options) as writer:
        for frame in FRAMES:
            writer.write(frame, metadata=None, contiguous=False)
            writer.filehandle.flush()
            time.sleep(PAUSE_S)


def imagej_like(path: Path) -> None:
    """One index that announces all frames, then bytes, some of them half a frame at a time."""
    raw = path.with_name("whole")
    with MovieWriter(raw.with_suffix(".tif"), frames=20, shape=(40, 50)) as writer:
        writer.append(FRAMES)
    data = raw.with_suffix(".tif").read_bytes()
    raw.with_suffix(".tif").unlink()
    with path.open("wb") as file:
        for start in range(0, len(data), 6000):
            file.write(data[start : start + 6000])
            file.flush()
            time.sleep(PAUSE_S)


def single_pages(path: Path) -> None:
    path.mkdir()
    for number, frame in enumerate(FRAMES):
        tifffile.imwrite(path / f"img_{number}.tif", frame)
        time.sleep(PAUSE_S)


def stacks_in_turn(path: Path) -> None:
    path.mkdir()
    for part in range(4):
        with tifffile.TiffWriter(path / f"run_{part}.tif") as writer:
            for frame in FRAMES[5 * part : 5 * part + 5]:
                writer.write(frame, metadata=None, contiguous=False)
                writer.filehandle.flush()
                time.sleep(PAUSE_S)


def micro_manager(path: Path) -> None:
    for suffix, frames in (("", FRAMES[:12]), ("_1", FRAMES[12:])):
        with tifffile.TiffWriter(path.with_name(f"run_MMStack_Pos0{suffix}.ome.tif")) as writer:
            for frame in frames:
                writer.write(frame, metadata=None, contiguous=False)
                writer.filehandle.flush()
                time.sleep(PAUSE_S)


def raw_numbers(path: Path) -> None:
    info = {"Byte Order": "<", "Data Type": "uint16", "Frames": 20, "Height": 40, "Width": 50}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(info))
    data = FRAMES.tobytes()
    with path.open("wb") as file:
        for start in range(0, len(data), 5000):
            file.write(data[start : start + 5000])
            file.flush()
            time.sleep(PAUSE_S)


def growing_zarr(path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(path), shape=(0, 40, 50), chunks=(1, 40, 50), dtype="u2")
    for frame in FRAMES:
        array.append(frame[None])
        time.sleep(PAUSE_S)


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tiff, appended to": ("m.tif", append_tiff),
    "tiff, one writer": ("m.tif", pages_of_one_writer),
    "bigtiff": ("m.tif", lambda path: pages_of_one_writer(path, bigtiff=True)),
    "imagej-like": ("m.tif", imagej_like),
    "single pages": ("pages", single_pages),
    "stacks": ("stacks", stacks_in_turn),
    "micro-manager": ("run_MMStack_Pos0.ome.tif", micro_manager),
    "raw": ("m.raw", raw_numbers),
    "zarr": ("m.zarr", growing_zarr),
}


@contextmanager
def written(writer: Callable[[Path], None], path: Path) -> Iterator[None]:
    thread = threading.Thread(target=writer, args=(path,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("name", WRITERS)
def test_every_frame_comes_through_whole_and_in_order(name: str, tmp_path: Path) -> None:
    file, writer = WRITERS[name]
    if name == "zarr":
        pytest.importorskip("zarr")
    path, read, steps = tmp_path / file, [], []
    with written(writer, path), FollowedMovie(path) as movie:
        while True:
            frames = movie.wait(len(read) + 1, timeout_s=2.0, poll_s=0.02)
            if frames == len(read):
                break
            assert movie.shape == (frames, 40, 50)
            read += list(movie.read(len(read), frames))
            steps.append(frames)
            if frames == 20:
                break
    np.testing.assert_array_equal(np.stack(read), FRAMES)
    assert len(steps) > 2, f"it was not followed but read at the end: {steps}"


def test_a_movie_that_is_complete_is_there_at_once(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", FRAMES, photometric="minisblack")
    with FollowedMovie(tmp_path / "m.tif") as movie:
        begun = time.monotonic()
        assert movie.wait(20, timeout_s=60, poll_s=60) == 20
        assert time.monotonic() - begun < 5


def test_waiting_ends_when_nothing_new_comes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", FRAMES[:7], photometric="minisblack")
    with FollowedMovie(tmp_path / "m.tif") as movie:
        begun = time.monotonic()
        assert movie.wait(8, timeout_s=0.2, poll_s=0.05) == 7
        assert 0.15 < time.monotonic() - begun < 5


def test_waiting_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", FRAMES[:7], photometric="minisblack")
    with FollowedMovie(tmp_path / "m.tif") as movie:
        assert movie.wait(8, timeout_s=60, poll_s=0.01, watch=Recorder(stop_at=3)) == 7


def test_a_movie_that_never_comes_says_what_is_wrong(tmp_path: Path) -> None:
    with FollowedMovie(tmp_path / "m.tif") as movie:
        assert movie.frames == 0
        with pytest.raises(InputError, match="no whole frame yet"):
            _ = movie.shape
        with pytest.raises(InputError, match=r"no whole frame came within 0\.05 s .*no such movie"):
            movie.wait(1, timeout_s=0.05, poll_s=0.01)


def test_a_movie_that_becomes_shorter_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack")
    with FollowedMovie(path) as movie:
        assert movie.refresh() == 20
        tifffile.imwrite(path, FRAMES[:4], photometric="minisblack")
        with pytest.raises(InputError, match="had 20 frames and now has 4"):
            movie.refresh()


def test_frames_after_a_missing_file_wait_for_it(tmp_path: Path) -> None:
    for number in (0, 1, 3):
        tifffile.imwrite(tmp_path / f"{number}.tif", FRAMES[number])
    with FollowedMovie(tmp_path) as movie:
        assert movie.refresh() == 2
        tifffile.imwrite(tmp_path / "2.tif", FRAMES[2])
        assert movie.wait(4, timeout_s=2, poll_s=0.01) == 4


def test_frames_prepared_while_they_come_are_those_of_the_complete_movie(tmp_path: Path) -> None:
    settings = Prepared(subtract="minimum", window=4)
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack")
    with prepare(open_movie(path), settings) as complete:
        expected = complete.read(0, 20)
    path.unlink()
    with written(pages_of_one_writer, path), FollowedMovie(path) as movie:
        movie.wait(1, timeout_s=5, poll_s=0.01)
        prepared, done = prepare(movie, settings), 0
        while done < 20:
            frames = movie.wait(done + 9, timeout_s=0.5, poll_s=0.01)
            stop = settings.final(frames) if frames >= done + 9 else frames
            np.testing.assert_array_equal(prepared.read(done, stop), expected[done:stop])
            done = stop
    assert done == 20
