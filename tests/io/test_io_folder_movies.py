"""Recordings of several files: order, missing numbers, truncated parts, and what stays readable of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from deepstorm3d.errors import InputError
from deepstorm3d.io import open_movie, readable_ranges

FRAMES = (np.arange(30 * 40 * 50) % 59999).astype(np.uint16).reshape(30, 40, 50)


def stack(path: Path, frames: np.ndarray) -> Path:
    """A file that announces its frames at its beginning."""
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


def pages(path: Path, frames: np.ndarray, **options: object) -> Path:
    """A file written page by page, as Micro-Manager does: nothing says how many frames it should have."""
    with tifffile.TiffWriter(path) as writer:
        for frame in frames:
            writer.write(frame, contiguous=False, metadata=None, **options)
    return path


def cut(path: Path, fraction: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(fraction * len(raw))])


def test_stacks_of_a_folder_are_one_movie_in_natural_order(tmp_path: Path) -> None:
    for number in range(1, 11):
        stack(tmp_path / f"run_{number}.tif", FRAMES[3 * number - 3 : 3 * number])
    with open_movie(tmp_path) as movie:
        assert movie.shape == (30, 40, 50)
        assert movie.gaps == () and movie.notes == ()
        np.testing.assert_array_equal(movie.read(0, 30), FRAMES)
        np.testing.assert_array_equal(movie.read(28, 30), FRAMES[28:])
        np.testing.assert_array_equal(movie.read(2, 4), FRAMES[2:4])


@pytest.mark.parametrize("second", ["run_1.tif", "run_2.tif", "run-X2.tif"])
def test_the_first_stack_may_have_no_number(second: str, tmp_path: Path) -> None:
    stack(tmp_path / "run.tif", FRAMES[:10])
    stack(tmp_path / second, FRAMES[10:])
    with open_movie(tmp_path) as movie:
        np.testing.assert_array_equal(movie.read(0, 30), FRAMES)


def test_the_last_stack_may_hold_one_frame(tmp_path: Path) -> None:
    stack(tmp_path / "a1.tif", FRAMES[:29])
    stack(tmp_path / "a2.tif", FRAMES[29:])
    with open_movie(tmp_path) as movie:
        np.testing.assert_array_equal(movie.read(27, 30), FRAMES[27:])


@pytest.mark.parametrize("depth", [1, 2])
def test_missing_numbers_are_named(depth: int, tmp_path: Path) -> None:
    for number in (1, 2, 4, 5, 9, 10):
        stack(tmp_path / f"run_{number}.tif", FRAMES[:depth])
    with pytest.raises(
        InputError, match=r"run_1\.tif and run_10\.tif the files numbered 3, 6 to 8 are missing"
    ):
        open_movie(tmp_path)


def test_missing_single_frames_are_gaps_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    for number in (0, 1, 4, 5, 6, 9):
        tifffile.imwrite(tmp_path / f"img_{number + 100:06d}.tif", FRAMES[number])
    with open_movie(tmp_path, partial=True) as movie:
        assert movie.shape == (10, 40, 50)
        assert list(movie.gaps) == [(2, 4), (7, 9)]
        np.testing.assert_array_equal(movie.read(4, 7), FRAMES[4:7])
        with pytest.raises(InputError, match="frames 2 to 3 are missing"):
            movie.read(0, 5)
        ranges = list(readable_ranges(movie.gaps, 1, 10, step=2))
        assert ranges == [(1, 2), (4, 6), (6, 7), (9, 10)]


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("a_1.tif", "a_2.tif", "a_02.tif"):
        tifffile.imwrite(tmp_path / name, FRAMES[0])
    with pytest.raises(InputError, match=r"a_0?2\.tif and a_0?2\.tif have the same number"):
        open_movie(tmp_path)


def test_two_recordings_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("cell_1.tif", "cell_2.tif", "beads_1.tif"):
        tifffile.imwrite(tmp_path / name, FRAMES[0])
    with pytest.raises(InputError, match=r"2 different kinds \(beads_1\.tif, cell_1\.tif\)"):
        open_movie(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["0", "10", "20", "30"],  # equal steps
        ["7", "8", "9", "10"],  # a part of a recording
        ["20260102101112", "20260102101115", "20260102101119"],  # a clock
        ["1_z0", "1_z1", "2_z0", "2_z1"],  # two numbers
    ],
)
def test_numbers_that_are_no_count_only_give_the_order(names: list[str], tmp_path: Path) -> None:
    for name, frame in zip(names, FRAMES, strict=False):
        tifffile.imwrite(tmp_path / f"{name}.tif", frame)
    with open_movie(tmp_path) as movie:
        np.testing.assert_array_equal(movie.read(0, len(names)), FRAMES[: len(names)])


def test_stacks_of_another_size_are_named_with_both_sizes(tmp_path: Path) -> None:
    stack(tmp_path / "a1.tif", FRAMES[:3])
    stack(tmp_path / "a2.tif", FRAMES[:3, :4])
    for partial in (False, True):
        with pytest.raises(InputError, match=r"a2\.tif.*\(4, 50\).*a1\.tif \(40, 50\)"):
            open_movie(tmp_path, partial=partial)


def test_a_stack_that_announces_its_frames_leaves_a_gap_of_known_length(tmp_path: Path) -> None:
    for number in range(3):
        path = stack(tmp_path / f"run_{number}.tif", FRAMES[10 * number : 10 * number + 10])
        if number == 1:
            cut(path, 0.55)
    with pytest.raises(InputError, match=r"run_1\.tif: truncated: 5 of 10 whole frames.*`partial=True`"):
        open_movie(tmp_path)
    with open_movie(tmp_path, partial=True) as movie:
        assert movie.shape[0] == 30
        assert list(movie.gaps) == [(15, 20)]
        assert any("run_1.tif" in note and "frames 15 to 19 are lost" in note for note in movie.notes)
        np.testing.assert_array_equal(movie.read(9, 15), FRAMES[9:15])
        np.testing.assert_array_equal(movie.read(20, 30), FRAMES[20:])
        with pytest.raises(InputError, match="frames 15 to 19 are missing"):
            movie.read(14, 21)


def test_a_stack_that_announces_nothing_makes_later_numbers_uncertain_and_says_so(tmp_path: Path) -> None:
    for number in range(3):
        path = pages(tmp_path / f"run_{number}.tif", FRAMES[10 * number : 10 * number + 10])
        if number == 1:
            cut(path, 0.55)
    with open_movie(tmp_path, partial=True) as movie:
        whole = movie.shape[0] - 20
        assert 3 <= whole <= 7 and list(movie.gaps) == []
        np.testing.assert_array_equal(movie.read(10, 10 + whole), FRAMES[10 : 10 + whole])
        np.testing.assert_array_equal(movie.read(10 + whole, 20 + whole), FRAMES[20:])
        assert any(f"frames from {10 + whole} on are numbered too low" in note for note in movie.notes)


def test_a_last_stack_that_was_cut_ends_the_movie(tmp_path: Path) -> None:
    stack(tmp_path / "run_0.tif", FRAMES[:10])
    cut(stack(tmp_path / "run_1.tif", FRAMES[10:20]), 0.55)
    with open_movie(tmp_path, partial=True) as movie:
        assert movie.shape[0] == 15 and list(movie.gaps) == []
        assert any("frames 15 to 19 are lost" in note for note in movie.notes)


def test_a_single_frame_that_was_cut_is_a_gap(tmp_path: Path) -> None:
    for number in range(6):
        tifffile.imwrite(tmp_path / f"{number}.tif", FRAMES[number])
    cut(tmp_path / "3.tif", 0.6)
    with pytest.raises(InputError, match=r"3\.tif: truncated"):
        open_movie(tmp_path)
    with open_movie(tmp_path, partial=True) as movie:
        assert movie.shape[0] == 6 and list(movie.gaps) == [(3, 4)]
        np.testing.assert_array_equal(movie.read(4, 6), FRAMES[4:6])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("cut_ones", [(5,), (2, 5), (4, 5)])
def test_single_frames_that_were_cut_are_told_at_the_end_too(
    tmp_path: Path, cut_ones: tuple[int, ...], compression: str | None
) -> None:
    for number in range(6):
        tifffile.imwrite(tmp_path / f"{number}.tif", FRAMES[number], compression=compression)
    # Of compressed frames only the last one is looked at on opening, the others when they are read.
    for number in cut_ones if compression is None else cut_ones[-1:]:
        cut(tmp_path / f"{number}.tif", 0.6)
    with open_movie(tmp_path, partial=True) as movie:
        told = " ".join(movie.notes)
        assert movie.shape[0] == (4 if cut_ones == (4, 5) and compression is None else 5)
        assert "5.tif" in told and "truncated" in told
        assert ("frame 2 is missing" in told) == (2 in cut_ones and compression is None)


def micro_manager(folder: Path, name: str, files: int = 3) -> Path:
    """Files in Micro-Manager's names and pages, with its tag; its own index of images is left out."""
    folder.mkdir(exist_ok=True)
    each = len(FRAMES) // files
    said = f"ImageJ=1.49\nimages={len(FRAMES)}\nframes={len(FRAMES)}\n"
    for part in range(files):
        suffix = f"_{part}" if part else ""
        with tifffile.TiffWriter(folder / f"{name}{suffix}.ome.tif") as writer:
            for index, frame in enumerate(FRAMES[part * each : (part + 1) * each]):
                tag = (51123, "s", 0, json.dumps({"FrameIndex": index}), True)
                text = said if index == 0 else None
                writer.write(frame, contiguous=False, metadata=None, description=text, extratags=[tag])
    return folder / f"{name}.ome.tif"


def test_a_micro_manager_recording_is_opened_by_its_first_file(tmp_path: Path) -> None:
    first = micro_manager(tmp_path, "run_MMStack_Pos0")
    micro_manager(tmp_path, "run_MMStack_Pos1")
    with open_movie(first) as movie:
        assert movie.shape == (30, 40, 50)
        np.testing.assert_array_equal(movie.read(5, 25), FRAMES[5:25])
    with pytest.raises(InputError, match=r"file 3 of a recording.*give the first, run_MMStack_Pos0\.ome\.tif"):
        open_movie(tmp_path / "run_MMStack_Pos0_2.ome.tif")
    with pytest.raises(InputError, match=r"2 positions \(run_MMStack_Pos0\.ome\.tif, run_MMStack_Pos1"):
        open_movie(tmp_path)
    (tmp_path / "run_MMStack_Pos0_1.ome.tif").unlink()
    with pytest.raises(InputError, match="files numbered 1 are missing"):
        open_movie(first)
    first.unlink()
    with pytest.raises(
        InputError, match=r"run_MMStack_Pos0\.ome\.tif: the first file of a recording of several is not here"
    ):
        open_movie(tmp_path / "run_MMStack_Pos0_2.ome.tif")


def test_positions_of_a_micro_manager_grid_are_not_parts_of_one_recording(tmp_path: Path) -> None:
    for row in range(2):
        micro_manager(tmp_path, f"run_MMStack_1-Pos_000_00{row}", files=1)
    with open_movie(tmp_path / "run_MMStack_1-Pos_000_001.ome.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 30), FRAMES)


def test_a_micro_manager_file_that_was_made_longer_in_advance_ends_at_its_last_frame(tmp_path: Path) -> None:
    path = pages(tmp_path / "run.tif", FRAMES[:5])
    raw = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[4]
        tags = int.from_bytes(raw[last.offset : last.offset + 2], "little")
    pointer = last.offset + 2 + 12 * tags
    raw[pointer : pointer + 4] = len(raw).to_bytes(4, "little")
    path.write_bytes(bytes(raw) + bytes(100_000))
    with open_movie(path, partial=True) as movie:
        assert movie.shape[0] == 5
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES[:5])


def test_an_ome_set_with_a_file_missing_says_so_at_once_and_keeps_the_numbers(tmp_path: Path) -> None:
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{part}" for part in range(3)]
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 10}" PlaneCount="1"><UUID FileName="part{t // 10}.ome.tif">'
        f"{ids[t // 10]}</UUID></TiffData>"
        for t in range(30)
    )
    for part, uuid in enumerate(ids):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="50" SizeY="40" SizeC="1" SizeZ="1" SizeT="30">{data}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(tmp_path / f"part{part}.ome.tif") as writer:
            for index, frame in enumerate(FRAMES[10 * part : 10 * part + 10]):
                writer.write(frame, description=xml if index == 0 else None, metadata=None, contiguous=False)
    with open_movie(tmp_path) as movie:  # as a folder of stacks, not three times the whole set
        np.testing.assert_array_equal(movie.read(0, 30), FRAMES)
    (tmp_path / "part1.ome.tif").unlink()
    with pytest.raises(InputError, match="10 of 30 frames, from frame 10, lie in files of the set"):
        open_movie(tmp_path / "part0.ome.tif")
    with open_movie(tmp_path / "part0.ome.tif", partial=True) as movie:
        assert movie.shape[0] == 30 and list(movie.gaps) == [(10, 20)]
        np.testing.assert_array_equal(movie.read(20, 30), FRAMES[20:])


@pytest.mark.parametrize("kept", range(100, 4000, 293))
def test_a_stack_cut_within_its_index_still_gives_what_is_whole(kept: int, tmp_path: Path) -> None:
    raw = stack(tmp_path / "m.tif", FRAMES[:12, :8, :9]).read_bytes()
    (tmp_path / "m.tif").write_bytes(raw[:kept])
    whole = None
    try:
        with open_movie(tmp_path / "m.tif", partial=True) as movie:
            whole = movie.shape[0]
            np.testing.assert_array_equal(movie.read(0, whole), FRAMES[:whole, :8, :9])
    except InputError as error:
        assert "truncated" in str(error)
    assert whole == 12 if kept > 12 * 144 + 400 else whole is None or whole <= 12
