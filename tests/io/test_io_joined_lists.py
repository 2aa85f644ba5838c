"""Lists that hold more than one of ours, or say less: several recordings or channels, ONI's, far stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import FORMATS, read_list, write_table

Fields = dict[str, np.ndarray[Any, Any]]
PIXELS_UM = (0.1, 0.13)


def fields(**more: list[float]) -> Fields:
    rows = np.arange(4.0)
    columns = {"frame": 1 + rows, "xnm": 1000 + rows, "ynm": 2000 + rows, "znm": -300 + rows}
    return columns | {name: np.array(values) for name, values in more.items()}


def write_csv(path: Path, columns: Fields) -> Path:
    lines = [
        ",".join(columns),
        *(",".join(f"{v:g}" for v in row) for row in zip(*columns.values(), strict=True)),
    ]
    path = path.with_suffix(".csv")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_mat(path: Path, columns: Fields) -> Path:
    about = [{"info": {"cam_pixelsize_um": np.array([size, size])}} for size in PIXELS_UM]
    loc = {name: values[:, None] for name, values in columns.items()}
    scipy.io.savemat(path, {"saveloc": {"loc": loc, "file": np.array(about)}})
    return path


def write_mat73(path: Path, columns: Fields) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in columns.items():
            file[f"saveloc/loc/{name}"] = values[None, :]
        for name, size in zip("ab", PIXELS_UM, strict=True):
            file[f"#refs#/{name}/cam_pixelsize_um"] = np.array([[size], [size]])
        references = [[file["#refs#/a"].ref, file["#refs#/b"].ref]]
        file["saveloc/file/info"] = np.array(references, dtype=h5py.ref_dtype)
    return path


WRITERS = [write_csv, write_mat, write_mat73]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_of_several_recordings_are_refused(write: Callable[[Path, Fields], Path], tmp_path: Path):
    path = write(tmp_path / "two_sml.mat", fields(filenumber=[1, 1, 2, 2]))
    with pytest.raises(InputError, match=r"rows of 2 recordings \(filenumber 1, 2\).*file of their own"):
        read_list(path, pixel_um=0.1)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("write", WRITERS)
def test_one_recording_of_several_has_its_own_pixel(
    write: Callable[[Path, Fields], Path], number: int, tmp_path: Path
):
    path = write(tmp_path / "two_sml.mat", fields(filenumber=[number] * 4))
    size = PIXELS_UM[number - 1]
    table, header = read_list(path, pixel_um=size if path.suffix == ".csv" else None)
    assert header.pixel_um == pytest.approx(size)
    assert table.xyz[0].tolist() == pytest.approx([1 - size, 2 - size, -0.3], abs=1e-6)


@pytest.mark.parametrize("write", WRITERS)
def test_several_channels_in_one_list_are_noted(write: Callable[[Path, Fields], Path], tmp_path: Path):
    path = write(tmp_path / "c_sml.mat", fields(channel=[0, 1, 0, 1]))
    _, header = read_list(path, pixel_um=0.1)
    assert any("channel is 0, 1: all rows are read as one list" in note for note in header.notes)
    path = write(tmp_path / "one_sml.mat", fields(channel=[1, 1, 1, 1]))
    assert read_list(path, pixel_um=0.1)[1].notes == ()


ONI = "Channel,Frame,X (nm),Y (nm),Z (nm),X precision (nm),Y precision (nm),X (pix),Y (pix),Photons,Background"


def oni(folder: Path, *, first: int = 1, names: str = ONI) -> Path:
    rows = [(row % 2, first + row, 1170 + 117 * row, 585, -50, 8, 9, 10 + row, 5, 900, 20) for row in range(3)]
    (folder / "oni.csv").write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return folder / "oni.csv"


@pytest.mark.parametrize("first", [0, 1])
def test_onis_list_is_read_and_what_it_does_not_say_is_noted(first: int, tmp_path: Path):
    table, header = read_list(oni(tmp_path, first=first))
    assert table.xyz[0].tolist() == pytest.approx([1.17, 0.585, -0.05])
    assert table.sigma_xyz[0].tolist() == pytest.approx([0.008, 0.009, 0.0])
    assert (table.photons.tolist(), table.background.tolist()) == ([900.0] * 3, [0.0] * 3)
    assert table.frame.tolist() == [0, 1, 2]
    assert header.pixel_um == pytest.approx(0.117)
    channel, assumed = header.notes
    assert "channel is 0, 1" in channel
    assert f"as they stand, and frames from {first}; its background has no unit and is not read" in assumed


def test_onis_pixel_must_be_given_where_its_columns_do_not_tell_it(tmp_path: Path):
    path = oni(tmp_path, names=ONI.replace("X (pix)", "X other"))
    with pytest.raises(InputError, match="does not say its pixel size"):
        read_list(path)
    assert read_list(path, pixel_um=0.1)[1].pixel_um == 0.1
    turned = oni(tmp_path)
    turned.write_text(turned.read_text().replace(",10,5,", ",40,5,"))
    with pytest.raises(InputError, match="does not say its pixel size"):
        read_list(turned)


def test_columns_of_a_thunderstorm_list_that_are_not_read_are_noted(tmp_path: Path):
    (tmp_path / "a.csv").write_text("frame,x [nm],y [nm],z [nm],sigma [nm],channel,photons\n1,2,3,4,5,0,6\n")
    _, header = read_list(tmp_path / "a.csv", pixel_um=0.1)
    (told,) = header.notes
    assert told.startswith("a.csv: not ThunderSTORM's columns, and not read: channel, photons; if another")
    assert "from the corner of the first pixel, its frames from 1" in told


@pytest.mark.parametrize("name", [kind.name for kind in FORMATS if kind.writes])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_too_far_from_the_origin_to_be_kept_are_refused(axis: int, name: str, tmp_path: Path):
    ending = next(kind.endings[0] for kind in FORMATS if kind.name == name)
    table = Localizations.proposals(*(Localizations.empty().xyz.new_zeros(shape) for shape in [(3, 3), 3, 3]))
    table.xyz[1:, axis] = 50_000.0
    path = tmp_path / f"far{ending}"
    write_table(path, table, pixel_um=0.1, frames=1, shape=(9, 9), format=name)
    with pytest.raises(InputError, match=r"50 mm from the origin, where only steps of 3.9 nm.*stage"):
        read_list(path, pixel_um=0.1)
    table.xyz[1, axis] = 0.0  # one row astray is none of a whole list
    write_table(path, table, pixel_um=0.1, frames=1, shape=(9, 9), format=name, overwrite=True)
    assert len(read_list(path, pixel_um=0.1)[0]) == 3
