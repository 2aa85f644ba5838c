"""Every table format: a known emitter by the file's own convention, links, NaN, damage, and MATLAB files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import (
    FORMATS,
    TableHeader,
    open_list_writer,
    read_header,
    read_list,
    read_table,
    read_truth,
    write_table,
    write_truth,
)

PIXEL = 0.11
RECORDING: dict[str, Any] = {"pixel_um": PIXEL, "frames": 100, "shape": (121, 150)}
WRITTEN = [kind.name for kind in FORMATS if kind.writes]
ENDING = {kind.name: kind.endings[0] for kind in FORMATS}
HOLD_LINKS = ["picasso", "thunderstorm", "smap", "smappy"]
TEXT = ["thunderstorm", "smap", "challenge"]
BINARY = ["picasso", "smappy", "decode"]

COLUMN, ROW, Z, FRAME = 17.25, 40.75, -0.31, 3
"""The known emitter: no two of its numbers are alike, so that no swapped axis passes."""


def emitter() -> Localizations:
    xyz = torch.tensor([[COLUMN * PIXEL, ROW * PIXEL, Z]])
    table = Localizations.proposals(xyz, torch.tensor([FRAME]), torch.tensor([0.75]))
    return dataclasses.replace(
        table,
        photons=torch.tensor([4321.0]),
        background=torch.tensor([56.0]),
        sigma_xyz=torch.tensor([[0.006, 0.008, 0.021]]),
        sigma_source="crlb",
    )


def two_rows(*, linked: bool = False) -> Localizations:
    table = Localizations.concat([emitter(), emitter().shift((1.0, 2.0, 0.5), frames=4)])
    return dataclasses.replace(table, detections=torch.tensor([1, 7])) if linked else table


def write(folder: Path, name: str, table: Localizations) -> Path:
    path = folder / f"{name}{ENDING[name]}"
    write_table(path, table, **RECORDING, format=name)
    return path


def csv_row(path: Path) -> dict[str, float]:
    with path.open(newline="") as handle:
        return {name: float(value) for name, value in next(csv.DictReader(handle)).items()}


def stored_in_picasso(path: Path) -> dict[str, float]:
    with h5py.File(path) as file:
        row = file["locs"][0]
        return {name: float(row[name]) for name in row.dtype.names}


def stored_in_smappy(path: Path) -> dict[str, float]:
    with h5py.File(path) as file:
        return {name: float(file["locs"][name][0]) for name in file["locs"]}


def stored_in_decode(path: Path) -> dict[str, float]:
    with h5py.File(path) as file:
        data = file["data"]
        values = {f"xyz{index}": float(data["xyz"][0, index]) for index in range(3)}
        values |= {f"sig{index}": float(data["xyz_sig"][0, index]) for index in range(3)}
        return values | {name: float(data[name][0]) for name in ("frame_ix", "phot", "bg", "prob")}


# What each file must hold of the known emitter, straight from its format's definition.
STORED: dict[str, tuple[Callable[[Path], dict[str, float]], dict[str, float]]] = {
    "picasso": (
        stored_in_picasso,
        {"x": 17.25, "y": 40.75, "z": -310.0, "frame": 3, "lpx": 6 / 110, "lpy": 8 / 110, "lpz": 21.0},
    ),
    "thunderstorm": (
        csv_row,
        {"x [nm]": 17.75 * 110, "y [nm]": 41.25 * 110, "z [nm]": -310.0, "frame": 4, "detections": 1},
    ),
    "smap": (
        csv_row,
        {"xnm": 18.25 * 110, "ynm": 41.75 * 110, "znm": -310.0, "frame": 4, "phot": 4321, "locprecznm": 21.0},
    ),
    "challenge": (
        csv_row,
        {"xnano": 17.75 * 110, "ynano": 41.25 * 110, "znano": -310.0, "frame": 4, "intensity ": 4321},
    ),
    "smappy": (
        stored_in_smappy,
        {"x_nm": 17.25 * 110, "y_nm": 40.75 * 110, "z_nm": -310.0, "frame": 3, "z_err_nm": 21.0},
    ),
    "decode": (  # the row comes first
        stored_in_decode,
        {"xyz0": 40.75 * 110, "xyz1": 17.25 * 110, "xyz2": -310.0, "frame_ix": 3, "sig0": 8.0, "sig1": 6.0},
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_known_emitter_stands_where_the_format_wants_it(name: str, tmp_path: Path):
    stored, wanted = STORED[name]
    found = stored(write(tmp_path, name, emitter()))
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_known_emitter_comes_back(name: str, tmp_path: Path):
    back = read_table(write(tmp_path, name, emitter()), pixel_um=PIXEL)
    torch.testing.assert_close(back.xyz, emitter().xyz, atol=1e-6, rtol=0)
    assert back.frame.tolist() == [FRAME]
    assert back.photons.tolist() == pytest.approx([4321.0])
    if name != "challenge":
        rms = (0.5 * (0.006**2 + 0.008**2)) ** 0.5
        sigma = [rms, rms, 0.021] if name == "smap" else [0.006, 0.008, 0.021]
        assert back.sigma_xyz[0].tolist() == pytest.approx(sigma, abs=1e-6)
        assert back.background.tolist() == [56.0]
    if name not in ("challenge", "smap"):
        assert (back.sigma_source, back.probability.tolist()) == ("crlb", [0.75])


@pytest.mark.parametrize("name", BINARY)
def test_binary_files_keep_the_recording(name: str, tmp_path: Path):
    header = read_header(write(tmp_path, name, emitter()))
    assert (header.frames, header.shape, header.pixel_um) == (100, (121, 150), pytest.approx(PIXEL))


@pytest.mark.parametrize("name", HOLD_LINKS)
def test_links_survive_and_single_frames_stay_single(name: str, tmp_path: Path):
    single = read_table(write(tmp_path, name, two_rows()), pixel_um=PIXEL)
    assert single.detections is None
    linked = tmp_path / f"linked{ENDING[name]}"
    write_table(linked, two_rows(linked=True), **RECORDING, format=name)
    back = read_table(linked, pixel_um=PIXEL).detections
    assert back is not None and back.dtype == torch.int64 and back.tolist() == [1, 7]


def test_picasso_sees_len_only_in_a_linked_table(tmp_path: Path):
    for linked in (False, True):
        write_table(tmp_path / f"{linked}.hdf5", two_rows(linked=linked), **RECORDING)
        with h5py.File(tmp_path / f"{linked}.hdf5") as file:
            assert ("len" in file["locs"].dtype.names) == linked


@pytest.mark.parametrize("name", HOLD_LINKS)
def test_trajectories_survive_and_lists_without_stay_without(name: str, tmp_path: Path):
    assert read_table(write(tmp_path, name, two_rows()), pixel_um=PIXEL).track is None
    tracked = tmp_path / f"tracked{ENDING[name]}"
    write_table(tracked, dataclasses.replace(two_rows(), track=torch.tensor([4, -1])), **RECORDING, format=name)
    back = read_table(tracked, pixel_um=PIXEL).track
    assert back is not None and back.dtype == torch.int64 and back.tolist() == [4, -1]
    none = dataclasses.replace(Localizations.empty(), track=torch.zeros(0, dtype=torch.int64))
    write_table(tracked, none, **RECORDING, format=name, overwrite=True)
    assert len(read_table(tracked, pixel_um=PIXEL)) == 0


def test_picasso_colours_trajectories_by_their_group(tmp_path: Path):
    write_table(tmp_path / "t.hdf5", dataclasses.replace(two_rows(), track=torch.tensor([4, 2])), **RECORDING)
    with h5py.File(tmp_path / "t.hdf5") as file:
        assert file["locs"]["group"].tolist() == [4, 2]


@pytest.mark.parametrize("name", ["decode", "challenge"])
def test_formats_without_room_for_links_leave_them_out(name: str, tmp_path: Path):
    assert read_table(write(tmp_path, name, two_rows(linked=True)), pixel_um=PIXEL).detections is None


@pytest.mark.parametrize("name", WRITTEN)
def test_no_rows_are_a_table_in_every_format(name: str, tmp_path: Path):
    back = read_table(write(tmp_path, name, Localizations.empty()))
    assert (back.xyz.shape, back.sigma_xyz.shape, back.frame.dtype) == ((0, 3), (0, 3), torch.int64)
    assert len(read_truth(tmp_path / f"{name}{ENDING[name]}")) == 0


@pytest.mark.parametrize("name", WRITTEN)
def test_nan_is_never_written_and_nothing_is_left_behind(name: str, tmp_path: Path):
    broken = dataclasses.replace(two_rows(), photons=torch.tensor([1.0, torch.nan]))
    with pytest.raises(ValueError, match="NaN"):
        write(tmp_path, name, broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("column", ["xyz", "photons", "probability", "sigma_xyz", "share"])
def test_what_is_not_finite_is_refused_with_its_column_and_rows(
    name: str, wrong: float, column: str, tmp_path: Path
):
    table = dataclasses.replace(two_rows(), share=torch.ones(2))
    broken = table.columns()[column].clone()
    broken[1] = wrong
    with pytest.raises(InputError, match=f"column {column} is NaN or infinite in 1 of 2 rows, first in row 1"):
        write(tmp_path, name, dataclasses.replace(table, **{column: broken}))
    assert list(tmp_path.iterdir()) == []


def test_true_emitters_that_are_not_finite_are_refused(tmp_path: Path):
    truth = Emitters(torch.zeros(2, 3), torch.arange(2), torch.tensor([1.0, torch.nan]), torch.arange(2))
    with pytest.raises(InputError, match="column photons is NaN or infinite in 1 of 2 rows"):
        write_truth(tmp_path / "t.csv", truth, **RECORDING)
    assert list(tmp_path.iterdir()) == []


FAR = [2**31 - 1, 2**31, 2**33 + 1, 2**40 + 7, 2**53 - 1]


@pytest.mark.parametrize("name", HOLD_LINKS)
@pytest.mark.parametrize("column", ["track", "molecule"])
@pytest.mark.parametrize("number", FAR)
def test_numbers_of_any_size_come_back_as_they_are(name: str, column: str, number: int, tmp_path: Path):
    numbers = torch.tensor([3, number])
    table = dataclasses.replace(two_rows(), **{column: numbers})
    back = getattr(read_table(write(tmp_path, name, table), pixel_um=PIXEL), column)
    if back is None:
        pytest.skip("the format has no such column")
    assert back.tolist() == numbers.tolist()


def test_numbers_take_eight_bytes_only_where_they_need_them(tmp_path: Path):
    for number, kind in ((2**31 - 1, "int32"), (2**31, "int64")):
        write_table(
            tmp_path / "t.hdf5",
            dataclasses.replace(two_rows(), track=torch.tensor([-1, number])),
            **RECORDING,
            overwrite=True,
        )
        with h5py.File(tmp_path / "t.hdf5") as file:
            assert [file["locs"].dtype[each].name for each in ("track", "group")] == [kind, kind]
            assert file["locs"]["group"].tolist() == [-1, number]


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_that_no_table_holds_are_refused(name: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"column track is a number beyond 9,007,199,254,740,992.*1 of 2 rows"):
        write(tmp_path, name, dataclasses.replace(two_rows(), track=torch.tensor([0, 2**60])))
    with pytest.raises(InputError, match="column frame is a number beyond 2,147,483,647"):
        far = dataclasses.replace(two_rows(), frame=torch.tensor([0, 2**32]))
        write_table(tmp_path / f"t{ENDING[name]}", far, **{**RECORDING, "frames": 2**33}, format=name)


def test_a_growing_list_refuses_numbers_that_its_columns_do_not_hold(tmp_path: Path):
    like = dataclasses.replace(two_rows(), track=torch.tensor([1, 2]))
    header = TableHeader(PIXEL, 100, (121, 150))
    writer = open_list_writer(tmp_path / "t.hdf5", header, like)
    with pytest.raises(ValueError, match="column track has numbers that int32 does not hold"):
        writer.append(dataclasses.replace(like, track=torch.tensor([1, 2**33])), frames_done=10)


@pytest.mark.parametrize("name", ["smap", "challenge"])
def test_a_file_that_cannot_name_its_pixel_asks_for_it(name: str, tmp_path: Path):
    path = write(tmp_path, name, emitter())
    with pytest.raises(InputError, match="give the pixel size"):
        read_table(path)
    with pytest.raises(InputError, match="-5 nm cannot be"):
        read_table(path, pixel_um=-0.005)
    origin = {"smap": 1.0, "challenge": 0.5}[name]
    assert read_table(path, pixel_um=0.0).xyz[0, 0] == pytest.approx((COLUMN + origin) * PIXEL, abs=1e-5)


def test_a_smappy_file_without_a_pixel_asks_for_it(tmp_path: Path):
    path = write(tmp_path, "smappy", emitter())
    with h5py.File(path, "r+") as file:
        file.attrs["metadata"] = "{}"
    with pytest.raises(InputError, match="give the pixel size"):
        read_table(path)
    assert read_header(path, pixel_um=0.13).pixel_um == 0.13


def test_the_first_line_of_a_challenge_file_is_the_challenges_own(tmp_path: Path):
    first = write(tmp_path, "challenge", emitter()).read_text().splitlines()[0]
    assert first == "Ground-truth,frame,xnano,ynano,znano,intensity "


def test_a_decode_file_in_pixels_has_the_row_first_too(tmp_path: Path):
    with h5py.File(tmp_path / "emitter.h5", "w") as file:
        file["data/xyz"] = np.array([[40.75, 17.25, -310.0]], dtype=np.float32)
        file["data/xyz_sig"] = np.array([[0.08, 0.06, 21.0]], dtype=np.float32)
        file["data/frame_ix"] = np.array([3])
        file["data/phot"] = np.array([4321.0])
        file["data"].create_dataset("bg", data=h5py.Empty("f"))
        file.create_group("meta").attrs["xy_unit"] = "px"
    with pytest.raises(InputError, match="give the pixel size"):
        read_table(tmp_path / "emitter.h5")
    back = read_table(tmp_path / "emitter.h5", pixel_um=PIXEL)
    torch.testing.assert_close(back.xyz, emitter().xyz, atol=1e-6, rtol=0)
    assert back.sigma_xyz[0].tolist() == pytest.approx([0.0066, 0.0088, 0.021])
    assert (back.sigma_source, back.background.tolist()) == ("network", [0.0])
    with h5py.File(tmp_path / "emitter.h5", "r+") as file:
        file["meta"].attrs["px_size"] = (110.0, 110.0)
    assert torch.equal(read_table(tmp_path / "emitter.h5").xyz, back.xyz)


def test_a_smappy_file_without_rows_may_have_no_columns(tmp_path: Path):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file.create_group("locs")
    assert len(read_table(tmp_path / "none.h5")) == 0


def test_the_published_programs_list_is_read(tmp_path: Path):
    path = tmp_path / "published.csv"
    rows = [f"4,{17.75 * 110},{41.25 * 110},1230.5,600", "9,55,55,0,150"]
    path.write_text("\n".join(["frame,x [nm],y [nm],z [nm],intensity [au]", *rows, ""]))
    back = read_table(path, pixel_um=PIXEL)
    expected = torch.tensor([[COLUMN * PIXEL, ROW * PIXEL, 1.2305], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(back.xyz, expected, atol=1e-6, rtol=0)
    assert (back.frame.tolist(), back.photons.tolist()) == ([3, 8], [0.0, 0.0])
    assert back.probability.tolist() == [1.0, 0.25]


def sml_fields(rows: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """The known emitter in SMAP's fields, repeated."""
    one = {
        "xnm": 18.25 * 110,
        "ynm": 41.75 * 110,
        "znm": -310.0,
        "frame": 4.0,
        "phot": 4321.0,
        "bg": 56.0,
        "locprecnm": 7.0,
        "locprecznm": 21.0,
    }
    return {name: np.full(rows, value) for name, value in one.items()}


def write_mat(path: Path, fields: dict[str, np.ndarray[Any, Any]], *, files: int = 1) -> None:
    """As MATLAB does without -v7.3: structs, columns (N, 1)."""
    about = [{"info": {"cam_pixelsize_um": np.array([0.11, 0.11])}} for _ in range(files)]
    loc = {name: values[:, None] for name, values in fields.items()}
    scipy.io.savemat(path, {"saveloc": {"loc": loc, "file": about[0] if files == 1 else np.array(about)}})


def write_mat73(path: Path, fields: dict[str, np.ndarray[Any, Any]], *, files: int = 1) -> None:
    """As MATLAB does with -v7.3: HDF5 behind 512 bytes, rows (1, N), an empty array as its size."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in fields.items():
            if len(values):
                file[f"saveloc/loc/{name}"] = values[None, :]
            else:
                file[f"saveloc/loc/{name}"] = np.array([0, 1], dtype=np.uint64)
                file[f"saveloc/loc/{name}"].attrs["MATLAB_empty"] = np.uint8(1)
        if files == 1:
            file["saveloc/file/info/cam_pixelsize_um"] = np.array([[0.11], [0.11]])
        else:
            file["#refs#/a/cam_pixelsize_um"] = np.array([[0.11], [0.11]])
            file["saveloc/file/info"] = np.array([[file["#refs#/a"].ref] * files], dtype=h5py.ref_dtype)
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file")


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("writer", [write_mat, write_mat73])
def test_smaps_mat_files_are_read(writer: Callable[..., None], files: int, tmp_path: Path):
    path = tmp_path / "cell_sml.mat"
    writer(path, sml_fields(3), files=files)
    back = read_table(path)
    torch.testing.assert_close(back.xyz, emitter().xyz.repeat(3, 1), atol=1e-6, rtol=0)
    assert (back.frame.tolist(), back.photons.tolist()) == ([3, 3, 3], [4321.0] * 3)
    assert back.sigma_xyz[0].tolist() == pytest.approx([0.007, 0.007, 0.021])
    assert read_header(path).pixel_um == pytest.approx(PIXEL)


@pytest.mark.parametrize("writer", [write_mat, write_mat73])
def test_smaps_mat_files_may_be_empty_or_flat(writer: Callable[..., None], tmp_path: Path):
    writer(tmp_path / "none_sml.mat", sml_fields(0))
    assert len(read_table(tmp_path / "none_sml.mat")) == 0
    writer(tmp_path / "flat_sml.mat", sml_fields(3) | {"znm": np.zeros(0)})
    with pytest.raises(InputError, match=r"no column znm.*3D"):
        read_table(tmp_path / "flat_sml.mat")


def test_other_mat_files_are_refused(tmp_path: Path):
    scipy.io.savemat(tmp_path / "mask.mat", {"phase": np.zeros((3, 3))})
    with pytest.raises(InputError, match=r"saveloc\.loc"):
        read_table(tmp_path / "mask.mat")
    with h5py.File(tmp_path / "mask73.mat", "w") as file:
        file["phase"] = np.zeros((3, 3))
    with pytest.raises(InputError, match=r"saveloc\.loc"):
        read_table(tmp_path / "mask73.mat")
    write_mat(tmp_path / "big_sml_p1.mat", sml_fields())
    with pytest.raises(InputError, match="one part of a table"):
        read_table(tmp_path / "big_sml_p1.mat")
    (tmp_path / "text.mat").write_text("no MATLAB file")
    with pytest.raises(InputError, match="not a MATLAB file"):
        read_table(tmp_path / "text.mat")


def test_a_cut_mat_file_is_named(tmp_path: Path):
    for number, writer in enumerate((write_mat, write_mat73)):
        whole = tmp_path / f"whole{number}_sml.mat"
        writer(whole, sml_fields(3000))
        data = whole.read_bytes()
        for kept in (0.02, 0.3, 0.9):
            cut = tmp_path / "cut_sml.mat"
            cut.write_bytes(data[: int(kept * len(data))])
            with pytest.raises(InputError, match="damaged"):
                read_table(cut)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", BINARY)
def test_a_cut_hdf5_file_is_named(name: str, kept: float, tmp_path: Path):
    path = write(tmp_path, name, Localizations.concat([emitter()] * 2000))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match="damaged"):
        read_table(path)


@pytest.mark.parametrize("name", TEXT)
def test_what_is_wrong_with_a_csv_is_said(name: str, tmp_path: Path):
    whole = write(tmp_path, name, two_rows()).read_text()
    names, first, last = whole.splitlines()
    path = tmp_path / "wrong.csv"

    def refused(text: str) -> str:
        path.write_text(text)
        with pytest.raises(InputError) as error:
            read_table(path, pixel_um=PIXEL)
        assert str(path) in str(error.value)
        return str(error.value)

    assert "cut short" in refused(f"{names}\n{first}\n{last[:15]}")
    assert "the header names" in refused(f"{names}\n{first[:15]}\n")
    assert "first line holds numbers" in refused(f"{first}\n{last}\n")
    assert "cannot be read as numbers" in refused(whole.replace(last, last.replace(",", ",x", 1)))
    z = {"thunderstorm": "z [nm]", "smap": "znm", "challenge": "znano"}[name]
    assert "hight" in refused(whole.replace(z, "hight"))
    assert "frames count from 1" in refused(whole.replace(",4,", ",0,", 1))
    assert "not whole (row 1" in refused(whole.replace(",4,", ",4.5,", 1))
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_table(path)


def test_csv_files_of_no_known_kind_are_named_with_their_columns(tmp_path: Path):
    path = tmp_path / "liteloc.csv"  # its origin is not SMAP's, although its columns look so
    path.write_text("frame,xnm,ynm,znm,photon,prob\n1,2,3,4,5,0.5\n")
    with pytest.raises(InputError, match=r"frame, xnm, ynm, znm, photon, prob; known are.*SMAP CSV"):
        read_table(path, pixel_um=PIXEL)
    path.write_text("")
    with pytest.raises(InputError, match=r"\(none\)"):
        read_table(path, pixel_um=PIXEL)


def change_picasso(path: Path, name: str, value: Any, row: int = 1) -> None:
    with h5py.File(path, "r+") as file:
        rows = file["locs"][()]
        rows[name][row] = value
        file["locs"][:] = rows


def change_smappy(path: Path, name: str, value: Any, row: int = 1) -> None:
    with h5py.File(path, "r+") as file:
        file["locs"][name][row] = value


def change_decode(path: Path, name: str, value: Any, row: int = 1) -> None:
    with h5py.File(path, "r+") as file:
        target = file["data"]["xyz" if name == "xyz" else name]
        target[row] = value


def change_csv(path: Path, name: str, value: Any, row: int = 1) -> None:
    with path.open(newline="") as handle:
        names, *rows = csv.reader(handle)
    rows[row][[each.strip() for each in names].index(name)] = str(value)
    path.write_text("\n".join(",".join(line) for line in (names, *rows)) + "\n")


CHANGE = {
    "picasso": (change_picasso, "x", "photons"),
    "smappy": (change_smappy, "x_nm", "photons"),
    "decode": (change_decode, "xyz", "phot"),
    "thunderstorm": (change_csv, "y [nm]", "intensity [photon]"),
    "smap": (change_csv, "znm", "phot"),
    "challenge": (change_csv, "xnano", "intensity"),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_row_without_a_position_is_left_out_and_counted(name: str, value: float, tmp_path: Path):
    change, position, _ = CHANGE[name]
    path = write(tmp_path, name, two_rows())
    change(path, position, value)
    table, header = read_list(path, pixel_um=PIXEL)
    assert table.frame.tolist() == [FRAME]
    assert "1 of 2 rows have no finite position or no frame (row 2, counted from 1)" in header.notes[0]
    write_table(path, emitter(), **RECORDING, format=name, overwrite=True)
    whole, header = read_list(path, pixel_um=PIXEL)
    assert (len(whole), header.notes) == (1, ())


@pytest.mark.parametrize("name", WRITTEN)
def test_a_list_without_any_position_is_refused(name: str, tmp_path: Path):
    change, position, _ = CHANGE[name]
    path = write(tmp_path, name, two_rows())
    change(path, position, np.nan, row=0)
    change(path, position, np.nan)
    with pytest.raises(InputError, match="2 of 2 rows have no finite position"):
        read_table(path, pixel_um=PIXEL)


@pytest.mark.parametrize("value", [np.nan, -np.inf, -1.0, 0.0])
@pytest.mark.parametrize("name", WRITTEN)
def test_photons_that_are_no_number_are_not_known(name: str, value: float, tmp_path: Path):
    change, _, photons = CHANGE[name]
    path = write(tmp_path, name, two_rows())
    change(path, photons, value)
    assert read_table(path, pixel_um=PIXEL).photons.tolist() == pytest.approx([4321.0, 0.0])


def test_columns_of_text_or_of_another_length_are_named(tmp_path: Path):
    path = write(tmp_path, "smappy", two_rows())
    with h5py.File(path, "r+") as file:
        del file["locs/photons"]
        file["locs/photons"] = np.zeros(1)
    with pytest.raises(InputError, match=r"photons has shape \(1,\), other columns have 2 rows"):
        read_table(path)
    with h5py.File(path, "r+") as file:
        del file["locs/photons"]
        file["locs/photons"] = np.array([b"many", b"few"])
    with pytest.raises(InputError, match=r"photons holds .*, not numbers"):
        read_table(path)
    with h5py.File(path, "r+") as file:
        file.attrs["metadata"] = "{not JSON"
    with pytest.raises(InputError, match="description is damaged"):
        read_table(path)


def test_the_format_must_fit_the_ending_and_be_one_that_is_written(tmp_path: Path):
    for name, file, said in (
        ("decode", "out.csv", r"DECODE HDF5 is written as \.h5 or \.hdf5"),
        ("thunderstorm", "out.hdf5", r"ThunderSTORM CSV is written as \.csv"),
        ("sml", "out.mat", "no format of a table that can be written; there are picasso"),
        ("pikasso", "out.hdf5", "'pikasso' is no format"),
    ):
        with pytest.raises(InputError, match=said):
            write_table(tmp_path / file, emitter(), **RECORDING, format=name)
    with pytest.raises(InputError, match=r"no list is written as '\.mat'; name it \.hdf5"):
        write_table(tmp_path / "out.mat", emitter(), **RECORDING)
    assert list(tmp_path.iterdir()) == []


def test_every_format_has_a_name_of_its_own_and_a_way_in():
    assert len({kind.name for kind in FORMATS}) == len(FORMATS)
    assert [kind.name for kind in FORMATS if not kind.writes] == ["deepstorm3d", "oni", "sml"]
    assert [kind.name for kind in FORMATS if kind.grow] == ["picasso", "thunderstorm"]
