"""A movie that is still being written: every whole frame comes through, none before it is whole."""

from __future__ import annotations

import os
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
from deepstorm3d.io import FollowedMovie, MovieWriter, Prepared, open_movie, prepare, readable_ranges
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


def pages_without(missing: set[int], path: Path, frames: int = 20) -> None:
    path.mkdir()
    for number in set(range(frames)) - missing:
        tifffile.imwrite(path / f"img_{number:03}.tif", FRAMES[number])


def pages_with_cut_ones(path: Path) -> None:
    pages_without({4}, path)
    for number in (11, 19):
        os.truncate(path / f"img_{number:03}.tif", 1500)


def stacks(path: Path, *, announced: bool) -> None:
    """Four files of five frames."""
    path.mkdir()
    for part in range(4):
        tifffile.imwrite(path / f"run_{part}.tif", FRAMES[5 * part : 5 * part + 5], imagej=announced)


def stack_that_says_what_it_lost(path: Path) -> None:
    stacks(path, announced=True)
    os.truncate(path / "run_1.tif", 15_000)


def stacks_without_one(path: Path) -> None:
    stacks(path, announced=False)
    (path / "run_2.tif").unlink()


def zarr_without_chunks(path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(path), shape=(20, 40, 50), chunks=(1, 40, 50), dtype="u2")
    for number in set(range(16)) - {7, 8}:
        array[number] = FRAMES[number]


def ome_set(path: Path) -> None:
    """An OME set of four files, of which the third is lost."""
    uid, blocks = "urn:uuid:00000000-0000-0000-0000-00000000000", []
    for part in range(4):
        name = path.name if part == 0 else f"run_{part}.ome.tif"
        blocks += [
            f'<TiffData FirstT="{5 * part + n}" FirstZ="0" FirstC="0" IFD="{n}" PlaneCount="1">'
            f'<UUID FileName="{name}">{uid}{part}</UUID></TiffData>'
            for n in range(5)
        ]
    pixels = 'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="50" SizeY="40" SizeC="1" SizeZ="1"'
    for part in (0, 1, 3):
        name = path.name if part == 0 else f"run_{part}.ome.tif"
        said = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uid}{part}"><Image ID="Image:0"><Pixels {pixels} SizeT="20">{"".join(blocks)}</Pixels>'
            "</Image></OME>"
        )
        with tifffile.TiffWriter(path.with_name(name)) as writer:
            for n in range(5):
                text = said if n == 0 else None
                writer.write(FRAMES[5 * part + n], contiguous=False, metadata=None, description=text)


# Its name, what writes it, the frame that is waited for in vain, and how many whole ones lie behind it.
GAPS: dict[str, tuple[str, Callable[[Path], None], int, int]] = {
    "a lost page": ("pages", lambda path: pages_without({7}, path), 7, 12),
    "pages that are cut": ("pages", pages_with_cut_ones, 4, 13),
    "a cut stack": ("stacks", stack_that_says_what_it_lost, 8, 10),
    "a lost stack": ("stacks", stacks_without_one, 10, 5),
    "zarr": ("m.zarr", zarr_without_chunks, 7, 7),
    "ome set": ("run.ome.tif", ome_set, 10, 5),
}


@pytest.mark.parametrize("name", GAPS)
def test_what_lies_behind_a_gap_is_told_when_the_wait_is_over(name: str, tmp_path: Path) -> None:
    file, write, first, behind = GAPS[name]
    path = tmp_path / file
    write(path)
    with FollowedMovie(path) as movie:
        assert movie.refresh() == first and movie.left_behind() is None, "it may still come"
        assert movie.wait(20, timeout_s=0.05, poll_s=0.01) == first and not movie.gaps
        left = movie.left_behind()
    assert left is not None and f"{behind} whole frames lie behind" in left.what and "`partial" in left.remedy
    with open_movie(path, partial=True) as partial:
        if partial.gaps:
            assert all(f"{gap[0]}" in left.what for gap in partial.gaps)


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_is_gone_past_where_that_is_wanted(name: str, tmp_path: Path) -> None:
    file, write, first, _ = GAPS[name]
    path = tmp_path / file
    write(path)
    with FollowedMovie(path, partial=True) as movie, open_movie(path, partial=True) as whole:
        assert movie.refresh() == first and not movie.gaps, "it may still come"
        assert movie.wait(21, timeout_s=0.05, poll_s=0.01) == whole.shape[0]
        assert movie.left_behind() is None
        assert list(movie.gaps) == list(whole.gaps) and list(movie.notes) == list(whole.notes) != []
        for begin, end in readable_ranges(movie.gaps, 0, movie.frames):
            np.testing.assert_array_equal(movie.read(begin, end), whole.read(begin, end))


def test_frames_that_come_late_are_no_gap_and_those_behind_one_still_come(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    pages_without({3, 9}, path, frames=12)

    def late() -> None:
        time.sleep(0.05)
        tifffile.imwrite(tmp_path / "late.tif", FRAMES[3])
        (tmp_path / "late.tif").rename(path / "img_003.tif")

    camera = threading.Thread(target=late)
    camera.start()
    with FollowedMovie(path, partial=True) as movie:
        assert movie.wait(9, timeout_s=30, poll_s=0.01) == 9 and not movie.gaps
        camera.join()
        assert movie.wait(10, timeout_s=0.1, poll_s=0.01) == 12 and movie.gaps == [(9, 10)]
        assert "frame 9 is missing" in movie.notes[0]
        for number in (12, 13):
            tifffile.imwrite(path / f"img_{number:03}.tif", FRAMES[number])
        assert movie.wait(14, timeout_s=30, poll_s=0.01) == 14
        np.testing.assert_array_equal(movie.read(10, 14), FRAMES[10:14])


def test_frames_that_come_when_they_were_given_up_stay_a_gap_and_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    pages_without({3, 4, 9}, path, frames=12)
    with FollowedMovie(path, partial=True) as movie:
        assert movie.wait(13, timeout_s=0.05, poll_s=0.01) == 12 and not movie.late
        tifffile.imwrite(path / "img_004.tif", FRAMES[4])
        movie.wait(13, timeout_s=0.05, poll_s=0.01)
        assert list(movie.gaps) == list(movie.given_up) == [(3, 5), (9, 10)] and list(movie.late) == [(4, 5)]
        told = " ".join(movie.notes)
        assert "frame 3 is missing" in told and "frame 9 is missing" in told
        assert "frame 4 came too late" in told and "localize the finished movie anew" in told
        tifffile.imwrite(path / "img_003.tif", FRAMES[3])
        movie.wait(13, timeout_s=0.05, poll_s=0.01)
        assert "frames 3 to 4 came too late" in movie.notes[-1]


def test_a_stack_that_comes_when_it_was_given_up_would_give_frames_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "stacks"
    stacks_without_one(path)
    with FollowedMovie(path, partial=True) as movie:
        assert movie.wait(15, timeout_s=0.05, poll_s=0.01) == 15
        tifffile.imwrite(path / "run_2.tif", FRAMES[10:15])
        with pytest.raises(InputError, match=r"no longer waited for has come.*other numbers"):
            movie.refresh()


def cut_to(share: float, path: Path, **options: object) -> None:
    """A file without its last pages, as a copy that stopped leaves it."""
    with tifffile.TiffWriter(path, **options) as writer:
        for frame in FRAMES:
            writer.write(frame, metadata=None, contiguous=False)
    os.truncate(path, int(share * path.stat().st_size))


def imagej_cut(path: Path) -> None:
    tifffile.imwrite(path, FRAMES, imagej=True)
    os.truncate(path, path.stat().st_size // 2)


def raw_cut(path: Path) -> None:
    info = {"Byte Order": "<", "Data Type": "uint16", "Frames": 20, "Height": 40, "Width": 50}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(info))
    path.write_bytes(FRAMES.tobytes()[:-1])


def last_pages_cut(path: Path) -> None:
    pages_without(set(), path)
    for number in (18, 19):
        os.truncate(path / f"img_{number:03}.tif", 1500)


def zarr_half_full(path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(path), shape=(20, 40, 50), chunks=(1, 40, 50), dtype="u2")
    array[:10] = FRAMES[:10]


CUT: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tiff": ("m.tif", lambda path: cut_to(0.97, path)),
    "bigtiff": ("m.tif", lambda path: cut_to(0.5, path, bigtiff=True)),
    "imagej": ("m.tif", imagej_cut),
    "raw": ("m.raw", raw_cut),
    "single pages": ("pages", last_pages_cut),
    "zarr": ("m.zarr", zarr_half_full),
}


@pytest.mark.parametrize("name", CUT)
def test_an_end_that_is_cut_is_told_once_the_recording_is_over(name: str, tmp_path: Path) -> None:
    file, write = CUT[name]
    path = tmp_path / file
    write(path)
    with FollowedMovie(path) as movie, open_movie(path, partial=True) as whole:
        assert movie.refresh() == whole.shape[0] < 20 and not movie.notes, "it may still grow"
        movie.wait(20, timeout_s=0.05, poll_s=0.01)
        assert any("truncated" in note for note in movie.notes) and list(movie.notes) == list(whole.notes)
        assert movie.left_behind() is None


def test_a_recording_that_cannot_be_opened_any_more_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    pages_without(set(), path, frames=5)
    with FollowedMovie(path) as movie:
        assert movie.refresh() == 5
        for number in range(5, 9):
            tifffile.imwrite(path / f"img_{number:03}.tif", FRAMES[number])
        tifffile.imwrite(path / "overview.tif", FRAMES[0])
        assert movie.wait(9, timeout_s=0.05, poll_s=0.01) == 5
        left = movie.left_behind()
    assert left is not None and "frames from 5 on" in left.what and "overview.tif" in left.what
