"""What else a TIFF file holds than the frames of one movie is seen on opening: channels, series, thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deepstorm3d.errors import InputError
from deepstorm3d.io import open_movie

FRAMES = (np.arange(12 * 40 * 50) % 60000).astype(np.uint16).reshape(12, 40, 50)
TWO_FILES = """<?xml version="1.0"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:one">{}</OME>"""
IMAGE = """<Image ID="Image:{0}"><Pixels ID="Pixels:{0}" DimensionOrder="XYCZT" Type="uint16" SizeX="50"
SizeY="40" SizeC="1" SizeZ="1" SizeT="12"><TiffData IFD="0" PlaneCount="12"><UUID>urn:uuid:{1}</UUID></TiffData>
</Pixels></Image>"""


@pytest.mark.parametrize("kind", [{}, {"imagej": True}, {"ome": True}])
@pytest.mark.parametrize("axes", ["TCYX", "ZCYX"])
def test_several_channels_are_refused_however_the_axes_are_described(
    kind: dict[str, Any], axes: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.tif"
    stored = FRAMES.reshape(6, 2, 40, 50)
    tifffile.imwrite(path, stored, photometric="minisblack", metadata={"axes": axes}, **kind)
    with pytest.raises(InputError, match=r"2 colour channels.*Split"):
        open_movie(path)


@pytest.mark.parametrize("kind", [{}, {"imagej": True}, {"ome": True}])
def test_channels_of_one_frame_are_frames_and_told(kind: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, FRAMES[:3], photometric="minisblack", metadata={"axes": "CYX"}, **kind)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), FRAMES[:3])
        assert [
            "3 colour channels of one frame; they are read as 3 frames" in note for note in movie.notes
        ] == [True]
    tifffile.imwrite(path, FRAMES[:3], photometric="minisblack", metadata={"axes": "TYX"}, **kind)
    with open_movie(path) as movie:
        assert not movie.notes


def test_axes_without_names_are_refused_in_a_tiff_as_in_an_array(tmp_path: Path) -> None:
    stored = FRAMES.reshape(6, 2, 40, 50)
    tifffile.imwrite(tmp_path / "m.tif", stored, photometric="minisblack")
    np.save(tmp_path / "m.npy", stored)
    for name in ("m.tif", "m.npy"):
        with pytest.raises(InputError, match=r"shape \(6, 2, 40, 50\).*\(frames, height, width\)"):
            open_movie(tmp_path / name)


PLACED = """<?xml version="1.0"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="{}" Type="uint16" SizeX="50" SizeY="40" SizeC="1" SizeZ="{}" SizeT="{}">
{}</Pixels></Image></OME>"""


def placed(
    path: Path, order: str, depths: int, places: list[tuple[int, int, int]], images: np.ndarray = FRAMES
) -> Path:
    """12 frames, page by page, with a description that has plane (z, t) at page p for each of `places`.

    images: that the file holds.
    """
    planes = "".join(f'<TiffData FirstZ="{z}" FirstT="{t}" IFD="{p}" PlaneCount="1"/>' for z, t, p in places)
    described = PLACED.format(order, depths, 12 // depths, planes)
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, frame in enumerate(images):
            text = described if number == 0 else None
            writer.write(frame, description=text, metadata=None, contiguous=False, photometric="minisblack")
    return path


@pytest.mark.parametrize("order", ["XYZCT", "XYTCZ"])
@pytest.mark.parametrize("depths", [1, 3])
@pytest.mark.parametrize("shuffled", [False, True])
def test_frames_are_where_the_ome_description_says(
    order: str, depths: int, shuffled: bool, tmp_path: Path
) -> None:
    grid = [(z, t) for z in range(depths) for t in range(12 // depths)]
    pages = np.random.default_rng(1).permutation(12) if shuffled else np.arange(12)
    places = [(z, t, int(page)) for (z, t), page in zip(grid, pages, strict=True)]
    path = placed(tmp_path / "m.ome.tif", order, depths, places)
    expected = tifffile.imread(path).reshape(12, 40, 50)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), expected)


def test_an_ome_description_that_moves_some_frames_and_leaves_others_out_is_refused(tmp_path: Path) -> None:
    path = placed(tmp_path / "m.ome.tif", "XYZCT", 1, [(0, t, 11 - t) for t in range(8)])
    with pytest.raises(
        InputError, match="takes frame 0 from image 11 of the file, and tells the places of 8 of 12"
    ):
        open_movie(path)


def test_an_ome_description_that_leaves_out_frames_before_the_last_is_refused(tmp_path: Path) -> None:
    right = placed(tmp_path / "a.ome.tif", "XYZCT", 1, [(0, t, t) for t in range(12) if t != 1])
    with pytest.raises(InputError, match=r"leaves out frame 1, .* places of 11 of 12 frames"):
        open_movie(right)
    closed_up = [(0, t, page) for page, t in enumerate([0, *range(2, 12)])]
    path = placed(tmp_path / "b.ome.tif", "XYZCT", 1, closed_up, FRAMES[:11])
    for partial in (False, True):
        with pytest.raises(InputError, match=r"takes frame 2 from image 1 .* places of 11 of 12 frames"):
            open_movie(path, partial=partial)


BACKWARDS = [(0, t, 11 - t) for t in range(12)]


def test_images_that_an_ome_description_does_not_put_in_order_are_left_out_and_told(tmp_path: Path) -> None:
    images = np.concatenate([FRAMES, FRAMES[:2]])
    with open_movie(placed(tmp_path / "m.ome.tif", "XYZCT", 1, BACKWARDS, images)) as movie:
        assert movie.shape == FRAMES.shape
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES[::-1])
        assert movie.notes[0].endswith(
            "holds 14 images, 12 of which its description puts in order: the last 2 are left out"
        )


def test_a_truncated_file_in_another_order_is_refused_without_a_remedy_in_a_circle(tmp_path: Path) -> None:
    path = placed(tmp_path / "m.ome.tif", "XYZCT", 1, BACKWARDS, FRAMES[:9])
    for partial in (False, True):
        with pytest.raises(
            InputError, match=r"9 of 12 images are whole.*the lost ones are not at the end"
        ) as told:
            open_movie(path, partial=partial)
        assert "partial" not in str(told.value)


def test_frames_in_another_order_are_found_where_the_index_lists_only_the_first_image(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    planes = "".join(f'<TiffData FirstT="{t}" IFD="{page}" PlaneCount="1"/>' for _, t, page in BACKWARDS)
    described = PLACED.format("XYZCT", 1, 12, planes)
    tifffile.imwrite(path, FRAMES, photometric="minisblack", description=described, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first
        next_page = first.offset + 2 + 12 * len(first.tags)
    content = bytearray(path.read_bytes())
    content[next_page : next_page + 4] = bytes(4)
    path.write_bytes(content)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES[::-1])


def test_a_zeiss_file_is_refused_though_it_is_a_tiff(tmp_path: Path) -> None:
    tag = (34412, "B", 512, (76, 73, 0, 4, *[0] * 508), True)
    with tifffile.TiffWriter(tmp_path / "m.lsm") as writer:
        for number in range(3):
            writer.write(FRAMES[number], metadata=None, extratags=[] if number else [tag])
            writer.write(np.zeros((8, 10, 3), np.uint8), metadata=None, photometric="rgb", subfiletype=1)
    with pytest.raises(InputError, match=r"Zeiss LSM file, not read here.*Bio-Formats"):
        open_movie(tmp_path / "m.lsm")


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "CYX", "TZYX", "QTYX"])
def test_all_other_axes_are_frames(axes: str, tmp_path: Path) -> None:
    frames = FRAMES.reshape(*(() if len(axes) == 3 else (6,)), -1, 40, 50)
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack", metadata={"axes": axes})
    with open_movie(tmp_path / "m.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)


def series(path: Path, parts: list[np.ndarray]) -> Path:
    """Each part an image of its own in one OME file."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for part in parts:
            axes = "TYX" if part.ndim == 3 else "YX"
            writer.write(part, photometric="minisblack", metadata={"axes": axes}, contiguous=False)
    return path


def test_arrays_that_were_written_one_after_the_other_are_one_movie_and_told(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        for part in (FRAMES[:5], FRAMES[5:]):
            writer.write(part, photometric="minisblack")
    tifffile.imwrite(tmp_path / "one.tif", FRAMES, photometric="minisblack")
    with open_movie(tmp_path / "two.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)
        assert ["holds 12 images, its first description announces 5" in note for note in movie.notes] == [True]
    with open_movie(tmp_path / "one.tif") as movie:
        assert not movie.notes


def test_several_series_of_an_ome_file_are_no_movie(tmp_path: Path) -> None:
    both = series(tmp_path / "both.ome.tif", [FRAMES[:6], FRAMES[6:]])
    with pytest.raises(InputError, match=r"2 images \(series\) in one file, the first of 6 frames"):
        open_movie(both)


def test_single_images_of_an_ome_file_are_its_frames(tmp_path: Path) -> None:
    with open_movie(series(tmp_path / "singles.ome.tif", list(FRAMES))) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)


def test_series_in_other_files_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "one.ome.tif"
    described = TWO_FILES.format(IMAGE.format(0, "one") + IMAGE.format(1, "another"))
    tifffile.imwrite(path, FRAMES, photometric="minisblack", description=described, metadata=None)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)
    described = TWO_FILES.format(IMAGE.format(0, "one") + IMAGE.format(1, "one"))
    tifffile.imwrite(path, FRAMES, photometric="minisblack", description=described, metadata=None)
    with pytest.raises(InputError, match="2 images"):
        open_movie(path)


@pytest.mark.parametrize("described", [{}, {"metadata": None}])
def test_thumbnails_behind_the_frames_are_left_out_and_told(described: dict[str, Any], tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "t.tif") as writer:
        for frame in FRAMES:
            writer.write(frame, contiguous=False, **described)
        for size in (2, 4):
            writer.write(FRAMES[0, ::size, ::size], subfiletype=1)
    with open_movie(tmp_path / "t.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)
        assert movie.shape == FRAMES.shape
        assert "2 pages of lower resolution behind the frames are left out" in movie.notes[0]


def test_a_last_page_of_another_size_is_told_on_opening(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "t.tif") as writer:
        for frame in (*FRAMES, FRAMES[0, :20]):
            writer.write(frame, contiguous=False)
    with pytest.raises(InputError, match=r"frame 12 is \(20, 50\)"):
        open_movie(tmp_path / "t.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_of_a_tiff_cut_page_by_page_refusal_and_note_say_the_same(
    compression: str | None, tmp_path: Path
) -> None:
    path, frames = tmp_path / "m.tif", np.arange(7 * 40 * 52, dtype=np.uint16).reshape(7, 40, 52)
    with tifffile.TiffWriter(path) as writer:
        for frame in frames:
            writer.write(frame, contiguous=False, metadata=None, compression=compression)
    whole = path.read_bytes()
    for part in np.linspace(0.3, 0.97, 12):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match="truncated") as refused:
            open_movie(path)
        with open_movie(path, partial=True) as movie:
            left = movie.shape[0]
            np.testing.assert_array_equal(movie.read(0, left), frames[:left])
            (note,) = movie.notes
        if f"{left} whole frames can be read, an unknown number are lost" in str(refused.value):
            assert f"{left} frames are whole, an unknown number are lost" in note
        else:
            assert f"{left} of 7 whole frames can be read" in str(refused.value)
            assert f"{left} frames are whole, {7 - left} are lost" in note
