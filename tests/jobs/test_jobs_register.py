"""Register: lists in, transform and picture out; a list taken across; both halves of a camera; from Python."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, read_header, read_list, write_list
from deepstorm3d.jobs.register import move_list, register_files
from two_channels import TwoChannels, error_um

pytestmark = pytest.mark.usefixtures("coarse_pictures")

SCENE = TwoChannels(400, seed=11)


def write(path: Path, table: Localizations, shape: tuple[int, int] = (260, 260)) -> Path:
    """The rows inside of the frames, since Picasso's files hold no others."""
    height, width = shape
    inside = (
        (table.xyz[:, :2] > 0).all(1) & (table.xyz[:, 0] < 0.11 * width) & (table.xyz[:, 1] < 0.11 * height)
    )
    write_list(path, table[inside], TableHeader(0.11, 40, shape, provenance={"movie": "m.tif"}))
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first, second = SCENE.lists()
    return write(tmp_path / "A.hdf5", first), write(tmp_path / "B.hdf5", second)


def run(*arguments: str | Path):
    return CliRunner().invoke(app, ["register", *map(str, arguments)])


def test_the_command_writes_the_transform_and_its_picture_and_says_what_it_rests_on(two: tuple[Path, Path]):
    first, second = two
    out, picture = first.with_name("t.yaml"), first.with_name("t.png")
    done = run(first, second, "--out", out, "--picture", picture)
    assert done.exit_code == 0, done.output
    assert "degree 2" in done.output and "depth offset" in done.output and "by chance" in done.output
    assert picture.stat().st_size > 1000
    kept = ds.read_transform(out)
    assert error_um(kept.transform, SCENE.transform()) < 0.01
    assert kept.names == ("A.hdf5", "B.hdf5") and kept.fields[0].size == (260, 260)


def test_a_list_goes_to_the_second_channel_and_back(two: tuple[Path, Path]):
    first, second = two
    out = first.with_name("t.yaml")
    register_files((first, second), out)
    moved = move_list(first, first.with_name("there.hdf5"), out)
    assert moved.rows == len(ds.read_table(first)) and 0 < moved.outside < 0.05 * moved.rows
    assert read_list(first.with_name("there.hdf5"))[1].shape == read_list(second)[1].shape
    there = ds.read_table(first.with_name("there.hdf5"))
    # Rows of the true molecules have their partner of the second list within a few σ.
    near = torch.cdist(there.xyz[:, :2], ds.read_table(second).xyz[:, :2]).amin(1)
    assert float((near < 0.1).float().mean()) > 0.6
    undone = move_list(first.with_name("there.hdf5"), first.with_name("back.hdf5"), out, undo=True)
    assert not any(
        "frames of" in warning for warning in undone.warnings
    )  # the list is of that channel's frames
    back = ds.read_table(first.with_name("back.hdf5"))
    given = ds.read_table(first)
    # A row that left the frame's edge is not in Picasso's files.
    assert len(back) >= 0.9 * len(given)
    distance = torch.cdist(back.xyz.double(), given.xyz.double()).amin(1)
    assert float(distance.max()) < 1e-4
    steps = read_header(first.with_name("back.hdf5")).provenance["steps"]
    assert [step["to"] for step in steps] == ["second", "first"]


def test_a_list_of_another_region_of_the_camera_is_told(two: tuple[Path, Path]):
    first, second = two
    out = first.with_name("t.yaml")
    register_files((first, second), out)
    part = write(first.with_name("part.hdf5"), SCENE.lists()[0], (128, 256))
    done = run(part, "--apply", out, "--out", first.with_name("x.hdf5"))
    assert done.exit_code == 0, done.output
    assert "another region of the camera" in done.output


def test_both_halves_of_one_camera_are_registered_mirrored_as_they_are(tmp_path: Path):
    scene = TwoChannels(400, mirrored=True, seed=12)
    first, second = scene.lists()
    beside = second[(second.xyz[:, :2] > 0).all(1)].shift((260 * 0.11, 0.0, 0.0))
    both = write(tmp_path / "both.hdf5", Localizations.concat([first, beside]).sort(), (260, 520))
    done = run(both, "--split", "left-right", "--out", tmp_path / "t.yaml")
    assert done.exit_code == 0, done.output
    assert "mirrored" in done.output
    kept = ds.read_transform(tmp_path / "t.yaml")
    assert error_um(kept.transform, scene.transform()) < 0.02
    assert kept.fields[1].origin_px == (260, 0)
    left, right = ds.split_channels(both, "left-right")
    assert float(left.xyz[:, 0].max()) < 260 * 0.11 and float(right.xyz[:, 0].max()) < 260 * 0.11
    with pytest.raises(InputError, match="no row lies in the bottom half"):
        ds.split_channels(first, "top-bottom", shape=(1000, 260), pixel_um=0.11)


def test_halves_are_those_of_the_whole_frame_which_a_csv_does_not_hold(tmp_path: Path):
    scene = TwoChannels(400, seed=12)
    first, second = scene.lists()
    # A camera of 300 columns a half, of which only 260 show molecules.
    beside = second[(second.xyz[:, :2] > 0).all(1)].shift((300 * 0.11, 0.0, 0.0))
    both = write(tmp_path / "both.csv", Localizations.concat([first, beside]).sort(), (260, 600))
    given = (both, "--split", "left-right", "--pixel-nm", "110", "--out", tmp_path / "t.yaml")
    done = run(*given)
    assert done.exit_code == 2 and "does not say how large its frames are" in done.output.replace("\n", " ")
    assert "--size" in done.output
    for size, message in (("260x600", "columns come first"), ("wide", "as 512x256")):
        done = run(*given, "--size", size)
        assert done.exit_code == 2 and message in done.output
    done = run(*given, "--size", "600x260")
    assert done.exit_code == 0, done.output
    kept = ds.read_transform(tmp_path / "t.yaml")
    assert kept.fields[1].origin_px == (300, 0) and kept.fields[1].size == (260, 300)
    assert error_um(kept.transform, scene.transform()) < 0.02


def test_a_size_that_is_not_the_lists_own_is_refused(two: tuple[Path, Path]):
    first, second = two
    for arguments, message in (
        (("--split", "left-right", "--size", "520x260"), "says its frames are 260 x 260 px"),
        ((second, "--size", "520x260"), "says its frames are 260 x 260 px"),
        (("--apply", second, "--size", "260x260"), "in which a transform is found"),
    ):
        done = run(first, *arguments, "--out", first.with_name("t.yaml"))
        assert done.exit_code == 2 and message in done.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A.hdf5", "B.hdf5"], "needs --out"),
        (["A.hdf5", "--out", "t.yaml"], "one of these"),
        (["A.hdf5", "B.hdf5", "--split", "left-right", "--out", "t.yaml"], "one of these"),
        (["A.hdf5", "B.hdf5", "--out", "t.csv"], ".yaml"),
        (["A.hdf5", "--apply", "t.yaml", "--degree", "2", "--out", "o.hdf5"], "belong to finding"),
        (["A.hdf5", "--apply", "A.hdf5", "--out", "o.hdf5"], "not a text file"),
        (["A.hdf5", "B.hdf5", "--no-beads", "--out", "t.yaml"], "--no-beads"),
    ],
)
def test_a_slip_is_told_before_any_work(two, monkeypatch, arguments: list[str], message: str):
    monkeypatch.chdir(two[0].parent)
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_lists_that_do_not_agree_are_named(two: tuple[Path, Path]):
    first, _ = two
    other = write(first.with_name("C.hdf5"), TwoChannels(400, seed=99).lists()[1])
    done = run(first, other, "--out", first.with_name("t.yaml"))
    assert done.exit_code == 2
    assert "A.hdf5, C.hdf5: the two channels do not agree" in done.output
    assert "--beads" in done.output
    assert not first.with_name("t.yaml").exists()


def test_two_lists_that_do_not_hold_their_frames_say_so_and_take_their_size(two: tuple[Path, Path]):
    scene, folder = TwoChannels(300, seed=14), two[0].parent
    lists = [write(folder / f"{name}.csv", table) for name, table in zip("ab", scene.lists(), strict=True)]
    done = run(*lists, "--pixel-nm", "110", "--out", folder / "g.yaml")
    said = done.output.replace("\n", " ")
    assert done.exit_code == 0 and said.count("does not say how large its frames are") == 2 and "--size" in said
    done = run(*lists, "--pixel-nm", "110", "--size", "300x280", "--out", folder / "s.yaml")
    assert done.exit_code == 0 and "does not say how large" not in done.output.replace("\n", " ")
    assert [field.size for field in ds.read_transform(folder / "s.yaml").fields] == [(280, 300)] * 2
    with pytest.warns(ds.DoubtfulResult, match="does not say how large its frames are"):
        ds.register(*lists, pixel_um=0.11)
    # What the rows do not reach is seen only where the frames are known.
    with pytest.warns(ds.DoubtfulResult, match="field lies beyond the pairs"):
        found = ds.register(*lists, pixel_um=0.11, shape=(280, 300))
    assert found.channels.fields[1].size == (280, 300)


def test_in_memory_it_is_the_same_and_doubts_are_warnings(two: tuple[Path, Path]):
    first, second = two
    of_files = ds.register(first, second)
    known = of_files.channels.fields[0]
    frames = {"pixel_um": known.pixel_um, "shape": known.size}
    of_lists = ds.register(ds.read_table(first), ds.read_table(second), **frames)
    assert error_um(of_lists.transform, of_files.transform) < 1e-3
    mirrored = TwoChannels(300, mirrored=True, seed=13).lists()
    with pytest.warns(ds.DoubtfulResult, match="as in a mirror"):
        found = ds.register(*mirrored, **frames)
    moved = found.apply(mirrored[0])
    torch.testing.assert_close(found.undo(moved).xyz, mirrored[0].xyz, rtol=0, atol=1e-9)


def test_lists_in_memory_have_the_frames_that_are_given():
    lists = TwoChannels(300, seed=13).lists()
    with pytest.warns(
        ds.DoubtfulResult, match="in memory does not know its frames.*give `pixel_um` and `shape`"
    ):
        guessed = ds.register(*lists)
    with pytest.warns(ds.DoubtfulResult, match=r"taken to end where its rows do, at \d+ x \d+ px.*`shape`"):
        ds.register(*lists, pixel_um=0.11)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lies beyond the pairs")
        found = ds.register(*lists, pixel_um=0.11, shape=(280, 300))
        # A molecule may be seen from beyond the edge.
        edge = replace(lists[0], xyz=lists[0].xyz.index_fill(0, torch.tensor([0]), 35.0))
        assert ds.register(edge, lists[1], pixel_um=0.11, shape=(280, 300)).pairs > 0.9 * found.pairs
    assert [(field.size, field.pixel_um) for field in found.channels.fields] == [((280, 300), 0.11)] * 2
    assert error_um(found.transform, guessed.transform) < 1e-3
    wrong = (
        (
            {"shape": (40, 50), "pixel_um": 0.11},
            r"% of the rows lie outside of frames of 50 x 40 px.*reach to \d+ x \d+ px",
        ),
        ({"shape": (280, 300)}, "not how large these are.*`pixel_um`"),
        ({"shape": (280, 300, 3), "pixel_um": 0.11}, r"280, 300, 3"),
        ({"pixel_um": 110.0}, "110 µm in the sample cannot be.*0.11"),
        ({"pixel_um": 0.0}, "0 µm in the sample cannot be"),
    )
    for given, told in wrong:
        with pytest.raises(ds.InputError, match=told):
            ds.register(*lists, **given)
