"""Tables: half pixels, frame bases and units of every format, round trips, interruption and resume."""

import csv
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io import (
    TableHeader,
    open_table_writer,
    open_truth_writer,
    read_header,
    read_table,
    read_truth,
    write_list,
    write_table,
    write_truth,
)
from full_disk import files_at_most

PIXEL = 0.11
RECORDING = {"pixel_um": PIXEL, "frames": 100, "shape": (121, 150)}
SUFFIXES = [".hdf5", ".csv", ".h5"]
GROWING = [".hdf5", ".csv"]


def some(rows: int, frames: tuple[int, int] = (0, 100), seed: int = 0) -> Localizations:
    """Rows as a fit gives them, in order of frame."""
    g = torch.Generator().manual_seed(seed)
    frame = torch.randint(*frames, (rows,), generator=g).sort().values
    return Localizations(
        xyz=torch.rand(rows, 3, generator=g) * torch.tensor([16.0, 13.0, 4.0]),
        frame=frame,
        photons=torch.rand(rows, generator=g) * 30000,
        background=torch.rand(rows, generator=g) * 150,
        probability=torch.rand(rows, generator=g),
        sigma_xyz=torch.rand(rows, 3, generator=g) * 0.03,
        sigma_photons=torch.rand(rows, generator=g) * 500,
        sigma_background=torch.rand(rows, generator=g) * 5,
        fit_quality=torch.rand(rows, generator=g) + 0.5,
        sigma_source="crlb",
    )


def at_pixel(column: float, row: float, z: float, frame: int) -> Localizations:
    xyz = torch.tensor([[column * PIXEL, row * PIXEL, z]])
    return Localizations.proposals(xyz, torch.tensor([frame]), torch.ones(1))


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    table, path = some(200), tmp_path / f"locs{suffix}"
    write_table(path, table, **RECORDING)
    back = read_table(path)
    assert back.sigma_source == "crlb"
    for name, column in table.columns().items():
        atol = {"frame": 0, "xyz": 1e-6, "sigma_xyz": 1e-7}.get(name, 1e-4)
        torch.testing.assert_close(back.columns()[name], column, atol=atol, rtol=2e-7, msg=name)
        assert back.columns()[name].dtype == column.dtype
    if suffix != ".csv":
        header = read_header(path)
        assert (header.frames, header.shape, header.pixel_um) == (100, (121, 150), pytest.approx(PIXEL))


def test_picasso_counts_pixels_from_the_centre_of_the_first(tmp_path: Path) -> None:
    write_table(tmp_path / "l.hdf5", at_pixel(17.25, 40.75, 2.5, 3), **RECORDING)
    with h5py.File(tmp_path / "l.hdf5") as file:
        row = file["locs"][0]
    assert (row["x"], row["y"], row["frame"]) == (pytest.approx(17.25), pytest.approx(40.75), 3)
    assert row["z"] == pytest.approx(2500)  # nm


def test_picasso_files_hold_what_picasso_asks_for(tmp_path: Path) -> None:
    write_list(tmp_path / "l.hdf5", some(30), TableHeader(**RECORDING, provenance={"seed": 7}))
    with h5py.File(tmp_path / "l.hdf5") as file:
        locs = file["locs"]
        assert locs.dtype["frame"] == np.uint32
        assert {"x", "y", "z", "photons", "sx", "sy", "bg", "lpx", "lpy", "lpz"} <= set(locs.dtype.names)
        assert locs.maxshape == (None,) and locs.compression == "gzip" and locs.shuffle
        info = json.loads(file["metadata"][()])
    sidecar = list(yaml.safe_load_all((tmp_path / "l.yaml").read_text()))
    assert sidecar == info
    assert (info[0]["Width"], info[0]["Height"], info[0]["Frames"], info[0]["Pixelsize"]) == (
        150,
        121,
        100,
        110.0,
    )
    assert read_header(tmp_path / "l.hdf5").provenance == {"seed": 7}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.hdf5", "l.yaml"]


def test_thunderstorm_counts_nm_from_the_corner_and_frames_from_one(tmp_path: Path) -> None:
    write_table(tmp_path / "l.csv", at_pixel(17.25, 40.75, 2.5, 3), **RECORDING)
    row = csv_rows(tmp_path / "l.csv")[0]
    assert float(row["x [nm]"]) == pytest.approx((17.25 + 0.5) * 110, abs=1e-3)
    assert float(row["y [nm]"]) == pytest.approx((40.75 + 0.5) * 110, abs=1e-3)
    assert (row["frame"], row["id"]) == ("4", "1")
    assert float(row["z [nm]"]) == pytest.approx(2500, abs=1e-3)


def test_thunderstorm_files_have_quoted_names_and_fixed_point_numbers(tmp_path: Path) -> None:
    table = some(20)
    write_table(tmp_path / "l.csv", table.shift((-1e-7, 0.0, -1e-7)), **RECORDING)
    names, *rows = (tmp_path / "l.csv").read_text().splitlines()
    assert names.startswith(
        '"id","frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","sigma2 [nm]","intensity [photon]",'
        '"offset [photon]","bkgstd [photon]","chi2","uncertainty_xy [nm]","uncertainty_z [nm]","detections"'
    )
    assert len(rows) == 20 and not any(letter in "".join(rows) for letter in "eEnN")


def test_smappy_counts_nm_from_the_centre_of_the_first_pixel(tmp_path: Path) -> None:
    write_table(tmp_path / "l.h5", at_pixel(17.25, 40.75, 2.5, 3), **RECORDING)
    with h5py.File(tmp_path / "l.h5") as file:
        assert file.attrs["format"] == "smappy-localizations"
        assert file["locs/x_nm"][0] == pytest.approx(17.25 * 110)
        assert (file["locs/frame"][0], file["locs/z_nm"][0]) == (3, pytest.approx(2500))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_table_is_a_table(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    write_table(path, Localizations.empty(), **RECORDING)
    back = read_table(path)
    assert len(back) == 0 and back.xyz.shape == (0, 3) and back.frame.dtype == torch.int64
    assert len(read_truth(path)) == 0


def test_truth_comes_back_with_molecules_and_blur(tmp_path: Path) -> None:
    table = some(50)
    number = torch.arange(50) % 7
    for name, blur in (("own.csv", None), ("each.csv", torch.linspace(0.75, 1.25, 50))):
        truth = Emitters(xyz=table.xyz, frame=table.frame, photons=table.photons, id=number, blur_px=blur)
        write_truth(tmp_path / name, truth, **RECORDING)
        back = read_truth(tmp_path / name)
        torch.testing.assert_close(back.xyz, truth.xyz, atol=1e-6, rtol=0)
        assert torch.equal(back.frame, truth.frame) and torch.equal(back.id, truth.id)
        torch.testing.assert_close(back.photons, truth.photons, atol=1e-4, rtol=1e-7)
        assert (back.blur_px is None) == (blur is None)
        if blur is not None:
            torch.testing.assert_close(back.blur_px, blur, atol=1e-6, rtol=0)
    write_truth(tmp_path / "none.csv", Emitters.empty(), **RECORDING)
    assert len(read_truth(tmp_path / "none.csv")) == 0


def test_truth_grows_in_blocks(tmp_path: Path) -> None:
    with open_truth_writer(tmp_path / "t.csv", **RECORDING) as writer:
        writer.append(Emitters.empty(), frames_done=10)
        table = some(5, (10, 20))
        block = Emitters(xyz=table.xyz, frame=table.frame, photons=table.photons, id=torch.arange(5))
        writer.append(block, frames_done=20)
    assert torch.equal(read_truth(tmp_path / "t.csv").frame, table.frame)


def test_a_table_of_another_program_needs_its_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "ts.csv"
    path.write_text(
        '"id","frame","x [nm]","y [nm]","z [nm]","intensity [photon]","offset [photon]","uncertainty_xy [nm]"\n'
        "1,1,155,55,-20.5,900,12,8\n2.0,5.0,5555.25,65.5,300,1e3,12,NaN\n"
    )
    with pytest.raises(InputError, match="pixel size"):
        read_table(path)
    table = read_table(path, pixel_um=0.11)
    expected = torch.tensor([[0.1, 0.0, -0.0205], [5.50025, 0.0105, 0.3]])
    torch.testing.assert_close(table.xyz, expected, atol=1e-6, rtol=0)
    assert table.frame.tolist() == [0, 4] and table.sigma_source == "fit"
    assert table.sigma_xyz[0].tolist() == pytest.approx([0.008, 0.008, 0.0])
    assert table.sigma_xyz[1].tolist() == [0, 0, 0]  # NaN of the other program, never ours
    assert read_truth(path, pixel_um=0.11).id.tolist() == [1, 2]
    assert read_table(path, pixel_um=0.0).xyz[0, 0] == pytest.approx(0.155)


def test_picassos_own_file_is_read_with_its_sidecar(tmp_path: Path) -> None:
    kind = np.dtype([("frame", "u4"), ("x", "f4"), ("y", "f4"), ("z", "f4"), ("lpx", "f4"), ("lpy", "f4")])
    with h5py.File(tmp_path / "p.hdf5", "w") as file:
        file["locs"] = np.array([(3, 10.5, 20.25, -300.0, 0.1, 0.2)], dtype=kind)
    with pytest.raises(InputError, match="Pixelsize"):
        read_table(tmp_path / "p.hdf5")
    documents = [{"Width": 64, "Height": 32, "Frames": 9}, {"Generated by": "Picasso", "Pixelsize": 130}]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump_all(documents))
    table, header = read_table(tmp_path / "p.hdf5"), read_header(tmp_path / "p.hdf5")
    assert table.xyz[0].tolist() == pytest.approx([1.365, 2.6325, -0.3])
    assert table.sigma_xyz[0].tolist() == pytest.approx([0.013, 0.026, 0.0])
    assert (header.shape, header.frames) == ((32, 64), 9)


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(InputError, match="ThunderSTORM"):
        read_table(tmp_path / "t.txt")
    (tmp_path / "t.csv").write_text('"id","frame","x [nm]","y [nm]","sigma [nm]"\n1,1,1,1,1\n')
    with pytest.raises(InputError, match=r"ThunderSTORM table has no column z \[nm\].*sigma \[nm\].*3D"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "w.csv").write_text("frame,x [nm],y [nm],z [nm]\n1,2,3,four\n")
    with pytest.raises(InputError, match="row"):
        read_table(tmp_path / "w.csv", pixel_um=0.1)
    (tmp_path / "zero.csv").write_text("frame,x [nm],y [nm],z [nm]\n0,2,3,4\n")
    with pytest.raises(InputError, match="from 1"):
        read_table(tmp_path / "zero.csv", pixel_um=0.1)
    (tmp_path / "t.hdf5").write_text("not HDF5")
    with pytest.raises(InputError, match="HDF5"):
        read_table(tmp_path / "t.hdf5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(InputError, match="images"):
        read_table(tmp_path / "other.h5")


@pytest.mark.parametrize("suffix", GROWING)
def test_an_interrupted_table_resumes_to_the_very_same_rows(suffix: str, tmp_path: Path) -> None:
    blocks = [some(400, (10 * k, 10 * k + 10), seed=k) for k in range(10)]
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    with open_table_writer(whole, **RECORDING) as writer:
        for k, block in enumerate(blocks):
            writer.append(block, frames_done=10 * k + 10)
    with pytest.raises(KeyboardInterrupt), open_table_writer(broken, **RECORDING) as writer:
        for k, block in enumerate(blocks[:4]):
            writer.append(block, frames_done=10 * k + 10)
        raise KeyboardInterrupt
    assert not broken.exists()
    part = tmp_path / f"broken.part{suffix}"
    assert len(read_table(part)) == 1600
    add_half_a_block(part, blocks[4])
    with open_table_writer(broken, **RECORDING, resume=True) as writer:
        assert writer.next_frame == 40
        for k in range(4, 10):
            writer.append(blocks[k], frames_done=10 * k + 10)
    assert rows_of(broken) == rows_of(whole)
    assert not list(tmp_path.glob("*.part*"))


def add_half_a_block(part: Path, block: Localizations) -> None:
    """What a killed process leaves: rows in the file that no count covers."""
    if part.suffix == ".csv":
        part.write_bytes(part.read_bytes() + b'1601,41,17.0,23.5,"bro')
        return
    with h5py.File(part, "r+") as file:
        file["locs"].resize((1600 + len(block) // 2,))


def rows_of(path: Path) -> bytes:
    if path.suffix == ".csv":
        return path.read_bytes()
    with h5py.File(path) as file:
        return file["locs"][()].tobytes()


@pytest.mark.parametrize("suffix", GROWING)
def test_a_growing_table_can_be_read_at_any_time(suffix: str, tmp_path: Path) -> None:
    part = tmp_path / f"l.part{suffix}"
    with open_table_writer(tmp_path / f"l{suffix}", **RECORDING) as writer:
        assert len(read_table(part)) == 0
        writer.append(some(30, (0, 10)), frames_done=10)
        assert len(read_table(part)) == 30
        with viewer_of(part):  # must not stop the run
            writer.append(some(5, (10, 20)), frames_done=20)
        writer.append(Localizations.empty(), frames_done=100)
    assert len(read_table(tmp_path / f"l{suffix}")) == 35


@contextmanager
def viewer_of(path: Path) -> Iterator[None]:
    """Another program that holds the file open."""
    opener = "import h5py; file = h5py.File(path)" if path.suffix == ".hdf5" else "file = open(path)"
    code = f"import sys; path = sys.argv[1]; {opener}; print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as viewer:
        assert viewer.stdout is not None and viewer.stdout.readline() == "open\n"
        yield
        viewer.communicate("\n")


def test_a_reader_in_the_same_process_waits_for_the_block(tmp_path: Path) -> None:
    with open_table_writer(tmp_path / "l.hdf5", **RECORDING) as writer:
        viewer = h5py.File(tmp_path / "l.part.hdf5", "r")
        closing = threading.Timer(0.15, viewer.close)
        closing.start()
        writer.append(some(5, (10, 20)), frames_done=20)
        closing.join()
    assert len(read_table(tmp_path / "l.hdf5")) == 5


@pytest.mark.parametrize("suffix", GROWING)
def test_existing_results_are_never_lost_unasked(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"l{suffix}"
    write_table(path, some(10), **RECORDING)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists"):
        write_table(path, some(3), **RECORDING)
    assert path.read_bytes() == before
    write_table(path, some(3), **RECORDING, overwrite=True)
    assert len(read_table(path)) == 3
    other = tmp_path / f"other{suffix}"
    open_table_writer(other, **RECORDING).append(some(10, (0, 50)), frames_done=50)
    with pytest.raises(InputError, match="interrupted run"):
        open_table_writer(other, **RECORDING)
    changed = {**RECORDING, "frames": 99}
    with pytest.raises(InputError, match="another recording"):
        open_table_writer(other, **changed, resume=True)
    assert open_table_writer(other, **RECORDING, overwrite=True).next_frame == 0


@pytest.mark.parametrize("suffix", GROWING)
def test_a_table_written_whole_never_touches_the_part_of_a_growing_one(suffix: str, tmp_path: Path) -> None:
    path, some_rows, nan = tmp_path / f"l{suffix}", some(3), some(5)
    open_table_writer(path, **RECORDING).append(some(10, (0, 50)), frames_done=50)
    part = {file: file.read_bytes() for file in tmp_path.iterdir()}
    write_table(path, some_rows, **RECORDING)
    write_table(path, some_rows, **RECORDING, overwrite=True)
    nan.sigma_photons[2] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        write_table(path, nan, **RECORDING, overwrite=True)
    assert len(read_table(path)) == 3
    number = torch.arange(3)
    truth = Emitters(xyz=some_rows.xyz, frame=some_rows.frame, photons=some_rows.photons, id=number)
    write_truth(tmp_path / "l.csv", truth, **RECORDING, overwrite=True)
    for written in (path, tmp_path / "l.yaml", tmp_path / "l.csv"):
        written.unlink(missing_ok=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == part
    assert open_table_writer(path, **RECORDING, resume=True).next_frame == 50


def test_resume_without_a_part_starts_at_the_first_frame(tmp_path: Path) -> None:
    assert open_table_writer(tmp_path / "l.hdf5", **RECORDING, resume=True).next_frame == 0


def test_the_users_experiment_file_is_not_taken_for_a_sidecar(tmp_path: Path) -> None:
    (tmp_path / "storm.yaml").write_text("microscope: {na: 1.45}\n")
    with pytest.raises(InputError, match="another name"):
        write_table(tmp_path / "storm.hdf5", some(3), **RECORDING, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["storm.yaml"]


@pytest.mark.parametrize("suffix", GROWING)
def test_nan_is_never_written(suffix: str, tmp_path: Path) -> None:
    table = some(5)
    table.sigma_photons[2] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        write_table(tmp_path / f"l{suffix}", table, **RECORDING)
    assert list(tmp_path.iterdir()) == []


def test_rows_must_belong_to_their_block(tmp_path: Path) -> None:
    writer = open_table_writer(tmp_path / "l.csv", **RECORDING)
    writer.append(some(5, (0, 10)), frames_done=10)
    with pytest.raises(ValueError, match="in a block of 10 to 19"):
        writer.append(some(5, (5, 8)), frames_done=20)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_keeps_what_is_done_and_resumes(tmp_path: Path) -> None:
    n = 4000
    for suffix in GROWING:
        path, done = tmp_path / f"l{suffix}", 0
        full = pytest.raises(InputError, match=rf"{path.name}.*too large.*resume=True")
        with files_at_most(2_500_000), full, open_table_writer(path, **RECORDING) as writer:
            for k in range(100):
                block = Localizations.proposals(torch.rand(n, 3), torch.full((n,), k), torch.rand(n))
                writer.append(block, frames_done=k + 1)
                done = k + 1
        assert not path.exists()
        writer = open_table_writer(path, **RECORDING, resume=True)
        assert writer.next_frame == done > 0
        assert len(read_table(tmp_path / f"l.part{path.suffix}")) == n * done


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", GROWING)
def test_a_full_disk_leaves_nothing_of_a_table_written_whole(suffix: str, tmp_path: Path) -> None:
    with files_at_most(100_000), pytest.raises(InputError, match="Free some space") as caught:
        write_table(tmp_path / f"l{suffix}", some(20_000), **RECORDING)
    assert "resume" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
