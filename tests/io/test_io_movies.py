"""Movies: every way a TIFF lays out its frames reads the same, and damage is named."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from deepstorm3d.errors import InputError
from deepstorm3d.io import MovieWriter, open_movie
from full_disk import files_at_most

DATA = Path(__file__).parents[3] / "shared" / "data"
FRAMES = (np.arange(12 * 40 * 50) % 60000).astype(np.uint16).reshape(12, 40, 50)


def page_by_page(path: Path, frames: np.ndarray = FRAMES, **options: object) -> None:
    with tifffile.TiffWriter(path) as writer:
        for frame in frames:
            writer.write(frame, **options)


LAYOUTS = {
    "plain": lambda p: tifffile.imwrite(p, FRAMES, photometric="minisblack"),
    "page by page": page_by_page,
    "one index for all frames": lambda p: tifffile.imwrite(p, FRAMES, photometric="minisblack", truncate=True),
    "imagej": lambda p: tifffile.imwrite(p, FRAMES, imagej=True, metadata={"axes": "TYX"}),
    "imagej, axes not named": lambda p: tifffile.imwrite(p, FRAMES, imagej=True),
    "imagej z stack": lambda p: tifffile.imwrite(p, FRAMES, imagej=True, metadata={"axes": "ZYX"}),
    "ome": lambda p: tifffile.imwrite(p, FRAMES, ome=True, metadata={"axes": "TYX"}),
    "bigtiff": lambda p: tifffile.imwrite(p, FRAMES, bigtiff=True, photometric="minisblack"),
    "big-endian": lambda p: tifffile.imwrite(p, FRAMES, byteorder=">", photometric="minisblack"),
    "big-endian, one index": lambda p: tifffile.imwrite(
        p, FRAMES, byteorder=">", photometric="minisblack", truncate=True
    ),
    "zlib": lambda p: tifffile.imwrite(p, FRAMES, compression="zlib", photometric="minisblack"),
    "bare pages": lambda p: page_by_page(p, metadata=None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_the_same_frames(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    LAYOUTS[layout](path)
    with open_movie(path) as movie:
        assert movie.shape == (12, 40, 50)
        assert movie.dtype == np.uint16
        np.testing.assert_array_equal(movie.read(3, 7), FRAMES[3:7])
        np.testing.assert_array_equal(movie.read(11, 12), FRAMES[11:])
        assert movie.read(5, 5).shape == (0, 40, 50)


@pytest.mark.parametrize("name", ["run.stk", "run.tif"])
def test_a_metamorph_stack_has_all_its_planes(name: str, tmp_path: Path) -> None:
    # MetaMorph's tags UIC1 and UIC2; the planes follow the first without an index.
    tags = [(33628, "I", 1, 8, True), (33629, "2I", 12, (0, 1) * 12, True)]
    with tifffile.TiffWriter(tmp_path / name) as writer:
        writer.write(FRAMES[0], metadata=None, contiguous=False, extratags=tags)
    with (tmp_path / name).open("ab") as file:
        file.write(FRAMES[1:].tobytes())
    with open_movie(tmp_path / name) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)


def test_a_single_page_is_a_movie_of_one_frame(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", FRAMES[0])
    with open_movie(tmp_path / "one.tif") as movie:
        assert movie.shape == (1, 40, 50)


def test_an_ome_set_of_several_files_reads_as_one_movie(tmp_path: Path) -> None:
    ids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + digit for digit in "12"]
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 6}" PlaneCount="1"><UUID FileName="part{t // 6}.ome.tif">'
        f"{ids[t // 6]}</UUID></TiffData>"
        for t in range(12)
    )
    for part, uuid in enumerate(ids):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="50" SizeY="40" SizeC="1" SizeZ="1" SizeT="12">{data}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(tmp_path / f"part{part}.ome.tif") as writer:
            for index, frame in enumerate(FRAMES[6 * part : 6 * part + 6]):
                writer.write(frame, description=xml if index == 0 else None, metadata=None)
    with open_movie(tmp_path / "part0.ome.tif") as movie:
        assert movie.shape == (12, 40, 50)
        np.testing.assert_array_equal(movie.read(4, 9), FRAMES[4:9])


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number, frame in enumerate(FRAMES):
        tifffile.imwrite(tmp_path / f"img_{number}.tif", frame)
    with open_movie(tmp_path) as movie:
        assert movie.shape == (12, 40, 50)
        np.testing.assert_array_equal(movie.read(1, 12), FRAMES[1:])


def test_a_folder_names_the_frame_of_another_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a1.tif", FRAMES[0])
    tifffile.imwrite(tmp_path / "a2.tif", FRAMES[0, :30])
    with pytest.raises(InputError, match=r"a2\.tif \(frame 1\) is \(30, 50\).*is \(40, 50\)"):
        open_movie(tmp_path)
    tifffile.imwrite(tmp_path / "a2.tif", FRAMES[0].T)
    with open_movie(tmp_path) as movie, pytest.raises(InputError, match=r"\(frame 1\) is \(50, 40\)"):
        movie.read(0, 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"imagej": True, "resolution": (1 / 0.11, 1 / 0.11), "metadata": {"unit": "um"}}, 0.11),
        ({"imagej": True, "resolution": (1 / 110, 1 / 110), "metadata": {"unit": "nm"}}, 0.11),
        ({"ome": True, "metadata": {"PhysicalSizeX": 110.0, "PhysicalSizeXUnit": "nm"}}, 0.11),
        ({"resolution": (1e4 / 0.11, 1e4 / 0.11), "resolutionunit": "CENTIMETER"}, 0.11),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),  # a screen, not a microscope
        ({"resolution": (1 / 0.11, 1 / 0.11), "resolutionunit": "INCH"}, None),  # 2.8 mm
        ({}, None),
    ],
)
def test_pixel_size_comes_from_tags_where_believable(
    options: dict[str, object], expected: float | None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "m.tif", FRAMES, **options)
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.pixel_um == (None if expected is None else pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "ome"])
def test_a_truncated_movie_says_how_many_frames_are_whole(layout: str, tmp_path: Path) -> None:
    path, cut = tmp_path / "movie.tif", tmp_path / "cut.tif"
    LAYOUTS[layout](path)
    raw = path.read_bytes()
    cut.write_bytes(raw[: int(len(raw) * 0.6)])
    with pytest.raises(InputError, match=r"truncated: (\d+).*whole frames can be read") as caught:
        open_movie(cut)
    promised = int(str(caught.value).split("truncated: ")[1].split()[0])
    with open_movie(cut, partial=True) as movie:
        assert movie.shape[0] == promised
        assert 5 <= promised <= 8
        np.testing.assert_array_equal(movie.read(0, promised), FRAMES[:promised])


def test_a_movie_cut_before_its_index_is_named_truncated(tmp_path: Path) -> None:
    raw = bytearray(b"II*\x00" + (100000).to_bytes(4, "little") + bytes(500))
    (tmp_path / "cut.tif").write_bytes(raw)
    with pytest.raises(InputError, match="truncated"):
        open_movie(tmp_path / "cut.tif")


def test_what_is_no_movie_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such movie"):
        open_movie(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("not an image")
    with pytest.raises(InputError, match="not a TIFF"):
        open_movie(tmp_path / "text.tif")
    (tmp_path / "empty.tif").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        open_movie(tmp_path / "empty.tif")
    (tmp_path / "zero.tif").write_bytes(b"II*\x00\x00\x00\x00\x00")
    with pytest.raises(InputError, match="no frame"):
        open_movie(tmp_path / "zero.tif")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no TIFF"):
        open_movie(tmp_path / "folder")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.czi", "a Zeiss CZI file.*Bio-Formats"),
        ("m.SIF", "an? Andor SIF file.*Bio-Formats"),
        ("m.mp4", "MP4 video"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name_once(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"ZISRAWFILE" + bytes(500))
    with pytest.raises(InputError, match=said) as told:
        open_movie(tmp_path / name)
    assert "header" not in str(told.value) and "TIFF file" not in str(told.value)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_refused_with_the_way_to_convert(planar: str, tmp_path: Path) -> None:
    shape = (40, 50, 3) if planar == "contig" else (3, 40, 50)
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(InputError, match=r"RGB.*16-bit"):
        open_movie(tmp_path / "rgb.tif")


@pytest.mark.parametrize("planes", [3, 4])
def test_a_stack_of_three_or_four_frames_stored_as_colours_is_told_how_to_be_written(
    planes: int, tmp_path: Path
) -> None:
    # What tifffile makes of such an array by itself.
    frames = np.zeros((planes, 40, 50), np.uint16)
    tifffile.imwrite(tmp_path / "few.tif", frames, photometric="rgb", planarconfig="separate")
    with pytest.raises(InputError, match=rf"{planes} planes.*minisblack.*Bio-Formats"):
        open_movie(tmp_path / "few.tif")
    tifffile.imwrite(tmp_path / "few.tif", frames, photometric="minisblack")
    with open_movie(tmp_path / "few.tif") as movie:
        assert movie.shape == (planes, 40, 50)


def test_two_channels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", FRAMES.reshape(6, 2, 40, 50), imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(InputError, match=r"2 colour channels.*Split"):
        open_movie(tmp_path / "c.tif")


def test_nan_is_named_with_its_frame_when_read(tmp_path: Path) -> None:
    frames = FRAMES.astype(np.float32)
    frames[7, 3, 4] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", frames, photometric="minisblack")
    with open_movie(tmp_path / "nan.tif") as movie:
        assert movie.read(0, 7).shape == (7, 40, 50)
        with pytest.raises(InputError, match="frame 7 has 1 of 2000 pixels"):
            movie.read(5, 9)


def test_mixed_sizes_are_named_with_their_frame(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        writer.write(FRAMES[0])
        writer.write(FRAMES[1, :20])
        writer.write(FRAMES[2])
    with open_movie(tmp_path / "mixed.tif") as movie, pytest.raises(InputError, match=r"frame 1 is \(20, 50\)"):
        movie.read(0, 2)


def test_a_missing_codec_names_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "lzw.tif", FRAMES, compression="lzw", photometric="minisblack")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from deepstorm3d.io.movies import open_movie\n"
        "try: open_movie(sys.argv[1])\n"
        "except ValueError as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lzw.tif")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("InputError")
    assert "pip install deepstorm3d[compressed]" in said
    with open_movie(tmp_path / "lzw.tif") as movie:
        np.testing.assert_array_equal(movie.read(2, 4), FRAMES[2:4])


def test_reading_one_frame_of_many_does_not_load_the_movie(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    stack = tifffile.memmap(path, shape=(2000, 128, 128), dtype=np.uint16, photometric="minisblack")
    stack[5] = 7
    stack.flush()
    del stack
    with open_movie(path) as movie:  # 65 MB; what is imported on first use is not counted
        movie.read(0, 1)
    tracemalloc.start()
    try:
        with open_movie(path) as movie:
            for start in range(0, 2000, 100):
                frame = movie.read(start + 5, start + 6)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frame.shape == (1, 128, 128)
    assert peak < 3e6


def memory_now() -> int:
    """Bytes that this process holds in memory."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell memory this way")
@pytest.mark.parametrize("kind", ["tiff", "stacks", "raw", "zarr"])
def test_reading_a_long_movie_block_by_block_does_not_grow(kind: str, tmp_path: Path) -> None:
    count, block, path = 10_000, 100, tmp_path / kind
    frames = np.ones((count, 16, 16), np.uint16)
    if kind == "tiff":
        tifffile.imwrite(path, frames, photometric="minisblack")
    elif kind == "stacks":
        path.mkdir()
        for part in range(4):
            tifffile.imwrite(path / f"{part}.tif", frames[: count // 4], photometric="minisblack")
    elif kind == "raw":
        path = path.with_suffix(".npy")
        np.save(path, frames)
    else:
        zarr = pytest.importorskip("zarr", reason="needs deepstorm3d[io]")
        zarr.create_array(str(path), shape=frames.shape, chunks=(100, 16, 16), dtype="u2")[...] = frames
    del frames
    with open_movie(path) as movie:
        for start in range(0, count, block):
            assert movie.read(start, start + block).shape == (block, 16, 16)
            if start == 2000:  # what is taken once is not growth
                before = memory_now()
        grown = (memory_now() - before) / (count - 2000)
    assert grown < 200  # bytes a frame; a frame has 512


def test_the_real_storm_movie_opens() -> None:
    path = DATA / "storm_tetrapod_40.tif"
    if not path.exists():
        pytest.skip("the shared STORM frames are not here")
    with open_movie(path) as movie:
        assert movie.shape == (40, 332, 492)
        assert movie.pixel_um is None  # its tags say 2.8 mm
        assert 25 < movie.read(39, 40).mean() < 100


def test_a_written_movie_reads_back_with_its_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    with MovieWriter(path, frames=12, shape=(40, 50), pixel_um=0.11) as writer:
        writer.append(FRAMES[:5])
        assert not path.exists()
        assert (tmp_path / "out.part.tif").exists()
        writer.append(FRAMES[5:])
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)
        assert movie.pixel_um == pytest.approx(0.11, rel=1e-6)
    with tifffile.TiffFile(path) as tiff:  # as ImageJ sees it
        assert tiff.is_imagej and tiff.series[0].shape == (12, 40, 50)
        assert tiff.imagej_metadata is not None and tiff.imagej_metadata["frames"] == 12


def test_counts_are_rounded_and_limited_and_counted(tmp_path: Path) -> None:
    frame = np.array([[[-3.0, 0.4, 0.6, 2.5, 3.5, 65535.4, 70000.0, 12.0]]])
    with MovieWriter(tmp_path / "m.tif", frames=1, shape=(1, 8)) as writer:
        writer.append(frame)
        assert writer.clipped == 2
    expected = [0, 0, 1, 2, 4, 65535, 65535, 12]
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.read(0, 1)[0, 0].tolist() == expected


def test_float_movies_keep_their_values(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(100, 10, (3, 8, 9)).astype(np.float32)
    with MovieWriter(tmp_path / "m.tif", frames=3, shape=(8, 9), dtype="float32") as writer:
        writer.append(frames)
    with open_movie(tmp_path / "m.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 3), frames)


def test_nothing_is_left_when_writing_a_movie_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        MovieWriter(tmp_path / "m.tif", frames=12, shape=(40, 50)) as writer,
    ):
        writer.append(FRAMES[:5])
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="5 frames were written of 12"), writer_of_five(tmp_path / "m.tif"):
        pass
    assert list(tmp_path.iterdir()) == []


def writer_of_five(path: Path) -> MovieWriter:
    writer = MovieWriter(path, frames=12, shape=(40, 50))
    writer.append(FRAMES[:5])
    return writer


def test_an_existing_movie_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        MovieWriter(tmp_path / "m.tif", frames=1, shape=(4, 4))
    with pytest.raises(InputError, match="does not exist"):
        MovieWriter(tmp_path / "none" / "m.tif", frames=1, shape=(4, 4))


def test_more_than_4_gb_becomes_bigtiff(tmp_path: Path) -> None:
    writer = MovieWriter(tmp_path / "m.tif", frames=20000, shape=(332, 492))
    writer.append(np.zeros((1, 332, 492), np.uint16))
    assert (tmp_path / "m.part.tif").read_bytes()[:4] == b"II+\x00"
    writer.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_an_input_error_and_leaves_no_movie(tmp_path: Path) -> None:
    frame = np.zeros((1, 40, 50), np.uint16)
    full = pytest.raises(InputError, match=r"m\.tif.*too large.*Free some space")
    with files_at_most(100_000), full, MovieWriter(tmp_path / "m.tif", frames=100, shape=(40, 50)) as writer:
        for _ in range(100):
            writer.append(frame)
    assert list(tmp_path.iterdir()) == []
