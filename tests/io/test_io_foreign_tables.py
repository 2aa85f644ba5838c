"""Tables as people's programs and spreadsheets write them, what they do not know, and what cannot be told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import FORMATS, read_list, read_table, read_truth_list, write_table

PIXEL = 0.1
RECORDING: dict[str, Any] = {"pixel_um": PIXEL, "frames": 100, "shape": (121, 150)}
ENDING = {kind.name: kind.endings[0] for kind in FORMATS if kind.writes}
PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "public"

NAMES = ["id", "frame", "x [nm]", "y [nm]", "z [nm]", "intensity [photon]", "uncertainty_xy [nm]"]
ROWS = [[1, 1, 1550.5, 250.25, -120.5, 900.5, 8.5], [2, 5, 5555.25, 65.5, 300.75, 1200.25, 9.25]]


def measured(rows: int) -> Localizations:
    """Rows that know everything."""
    g = torch.Generator().manual_seed(rows)
    one = torch.rand(rows, generator=g) + 0.1
    table = Localizations.proposals(torch.rand(rows, 3, generator=g), torch.arange(rows), one.clamp(max=1.0))
    return dataclasses.replace(
        table,
        photons=1000 * one,
        background=10 * one,
        sigma_xyz=0.01 + 0.01 * torch.rand(rows, 3, generator=g),
        sigma_photons=one,
        sigma_background=one,
        fit_quality=one,
        sigma_source="fit",
    )


def text(separator: str = ",", decimal: str = ".", quote: str = '"', after: str = "") -> str:
    lines = [[f"{quote}{name}{quote}" for name in NAMES]]
    lines += [[f"{value}".replace(".", decimal) for value in row] for row in ROWS]
    return "\n".join((separator + after).join(line) for line in lines) + "\n"


def assert_is_the_list(table: Localizations) -> None:
    expected = torch.tensor([[1.5005, 0.20025, -0.1205], [5.50525, 0.0155, 0.30075]])
    torch.testing.assert_close(table.xyz, expected, atol=1e-6, rtol=0)
    assert table.frame.tolist() == [0, 4]
    assert table.photons.tolist() == [900.5, 1200.25]
    assert table.sigma_xyz[:, 0].tolist() == pytest.approx([0.0085, 0.00925])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "written",
    [
        text(),
        text(after=" "),
        text(quote=""),
        text(";"),
        text(";", ","),
        text("\t", quote=""),
        text("\t", ","),
        text("\t", after="  "),
        "sep=;\n" + text(";", ","),
        text().replace("\n", ",\n"),
        text().replace("\n", "\r\n"),
        text().replace("\n", "\n\n"),
        text(quote="").replace("uncertainty_xy [nm]", "Uncertainty_xy (nm)").replace("x [nm]", "X [nm]"),
        '"' + text().splitlines()[0].replace('"', '""') + '"\n' + "".join(text().splitlines(keepends=True)[1:]),
        " ".join(f'"{name}"' for name in NAMES) + "\n" + text(" ").split("\n", 1)[1],
        text().replace("1550.5", '"1550,5"'),
    ],
)
def test_a_spreadsheets_table_is_read(written: str, encoding: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(written, encoding=encoding, newline="")
    table, header = read_list(path, pixel_um=PIXEL)
    assert_is_the_list(table)
    assert header.notes == ()


@pytest.mark.parametrize("ending", [".xls", ".txt", ".tsv", ".csv"])
def test_the_ending_does_not_matter(ending: str, tmp_path: Path):
    (tmp_path / f"a{ending}").write_text(text("\t"), encoding="utf-8")
    assert_is_the_list(read_table(tmp_path / f"a{ending}", pixel_um=PIXEL))


@pytest.mark.parametrize(
    ("unit", "step"), [("px", 0.01), ("pixels", 0.01), ("µm", 1e-3), ("um", 1e-3), ("\u03bcm", 1e-3)]
)
def test_lengths_come_in_any_unit(unit: str, step: float, tmp_path: Path):
    names = [name.replace("[nm]", f"[{unit}]") if name[0] in "xyu" else name for name in NAMES]
    rows = [[v * step if name[0] in "xyu" else v for name, v in zip(NAMES, row, strict=True)] for row in ROWS]
    path = tmp_path / "a.csv"
    lines = [",".join(names), *(",".join(f"{v:.9g}" for v in row) for row in rows)]
    path.write_text("\n".join(lines), encoding="cp1252" if unit == "µm" else "utf-8")
    assert_is_the_list(read_table(path, pixel_um=PIXEL))
    if step == 0.01:
        with pytest.raises(InputError, match="give the pixel size"):
            read_table(path, pixel_um=0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("x [nm]", "x [inch]"), r"unit of the column x \[inch\] is not known.*x \[nm\]"),
        (("z [nm]", "z [px]"), r"unit of the column z \[px\] is not known"),
        (("y [nm]", "x [nm]"), r"no column y \[nm\]"),
        (("id", "x [nm]"), r"more than one column x \[nm\]"),
        (("id", "X [NM]"), r"more than one column x \[nm\]"),
        (("id", "frame"), "more than one column frame"),
        (("1550.5", "left"), r"'left' in row 1$"),
        (("5555.25", "5555.25,7"), "row 2 has 8 values, the header names 7 columns.*decimal sign"),
        (("\n2,5,", "\n2;5;"), "row 2 has 5 values"),
        (("\n1,1,1550.5,", "\n1,1,1550,5,"), "a comma seems to be the decimal sign as well"),
        (('"x [nm]","y [nm]","z [nm]"', '"x","y","z"'), r"x and y name no unit.*x \[nm\]"),
        (('","', '"|"'), r"separated by something else"),
    ],
)
def test_what_cannot_be_told_is_named(change: tuple[str, str], said: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(text().replace(*change), encoding="utf-8")
    with pytest.raises(InputError, match=said) as error:
        read_table(path, pixel_um=PIXEL)
    for words in ("loadtxt", "could not convert", "dtype", "usecols"):
        assert words not in str(error.value)  # numpy's own


def test_different_separators_of_names_and_values_are_named(tmp_path: Path):
    names, rows = text(quote="").split("\n", 1)
    (tmp_path / "a.csv").write_text(names + "\n" + rows.replace(",", ";"), encoding="utf-8")
    with pytest.raises(InputError, match="commas separate the names and semicolons the values"):
        read_table(tmp_path / "a.csv", pixel_um=PIXEL)


@pytest.mark.parametrize("start", [b"\xd0\xcf\x11\xe0\xa1\xb1", b"PK\x03\x04\x14\x00"])
def test_a_workbook_is_named(start: bytes, tmp_path: Path):
    (tmp_path / "a.xls").write_bytes(start + bytes(100))
    with pytest.raises(InputError, match=r"Excel workbook.*save it as CSV"):
        read_table(tmp_path / "a.xls")


def test_a_column_of_words_that_nobody_needs_does_no_harm(tmp_path: Path):
    (tmp_path / "a.csv").write_text(text().replace("\n1,", "\nred,"), encoding="utf-8")
    assert_is_the_list(read_table(tmp_path / "a.csv", pixel_um=PIXEL))


@pytest.mark.parametrize("missing", ["", "NaN", "nan", "NA", "-", "inf", "Infinity", "∞", "\ufffd", "-1", "0"])
def test_what_a_row_does_not_know_is_not_known(missing: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(text().replace("8.5", missing).replace("900.5", missing), encoding="utf-8")
    table = read_table(path, pixel_um=PIXEL)
    assert table.sigma_xyz[0].tolist() == [0.0, 0.0, 0.0]
    assert table.photons.tolist() == [0.0, 1200.25]


@pytest.mark.parametrize("unit", ["[AU]", "[ADU]", "[counts]", "[au]", ""])
def test_an_intensity_that_is_no_photons_is_told(unit: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(text().replace("intensity [photon]", f"intensity {unit}"), encoding="utf-8")
    table, header = read_list(path, pixel_um=PIXEL)
    assert table.photons.tolist() == [0.0, 0.0]
    assert "not photons; these photons are not known" in header.notes[0]
    path.write_text(text().replace('"id"', f'"intensity {unit}"'), encoding="utf-8")
    table, header = read_list(path, pixel_um=PIXEL)  # photons are there as well
    assert (table.photons.tolist(), header.notes) == ([900.5, 1200.25], ())


@pytest.mark.parametrize("lost", [["1550.5"], ["250.25", "-120.5"], ["\n1,1,"]])
def test_a_row_without_a_place_is_left_out_and_keeps_the_numbers_of_the_others(lost: list[str], tmp_path: Path):
    path, written = tmp_path / "a.csv", text()
    for value in lost:
        written = written.replace(value, "\n1,NaN," if value.startswith("\n") else "NaN")
    path.write_text(written, encoding="utf-8")
    table, header = read_list(path, pixel_um=PIXEL)
    assert table.frame.tolist() == [4]
    assert "1 of 2 rows have no finite position or no frame (row 1, counted from 1)" in header.notes[0]
    assert read_truth_list(path, pixel_um=PIXEL)[1].notes == header.notes
    path.write_text(written.replace("\n2,5,", "\n2,5.5,"), encoding="utf-8")
    with pytest.raises(InputError, match=r"not whole \(row 2, counted from 1\)"):
        read_table(path, pixel_um=PIXEL)


# What each format holds of a row that knows nothing but its place.
HOLDS = {
    "picasso": {"photons", "background", "probability", "sigma_xyz", "sigma_photons", "sigma_background"},
    "thunderstorm": {"photons", "background", "probability", "sigma_xyz", "sigma_photons", "sigma_background"},
    "smappy": {"photons", "background", "probability", "sigma_xyz", "sigma_photons", "sigma_background"},
    "decode": {"photons", "background", "probability", "sigma_xyz", "sigma_photons", "sigma_background"},
    "smap": {"photons", "background", "sigma_xyz"},
    "challenge": {"photons"},
}


@settings(max_examples=15)
@given(unknown=st.sets(st.tuples(st.integers(0, 4), st.sampled_from(sorted(HOLDS["picasso"]))), max_size=12))
@pytest.mark.parametrize("name", sorted(HOLDS))
def test_what_is_not_known_stays_so_through_every_format(
    name: str, unknown: set[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
):
    table = measured(5)
    for row, column in unknown:
        table.columns()[column][row] = 0.0
    path = tmp_path_factory.mktemp("round") / f"a{ENDING[name]}"
    write_table(path, table, **RECORDING, format=name)
    back = read_table(path, pixel_um=PIXEL)
    for column in HOLDS[name]:
        before, after = table.columns()[column], back.columns()[column]
        if name == "smap" and column == "sigma_xyz":  # one σ for x and y
            before, after = before[:, 2], after[:, 2]
        assert torch.equal(after == 0, before == 0), column
    assert len(back) == 5


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="needs the public files")
@pytest.mark.parametrize(
    ("file", "rows"),
    [("decode_dstorm_data.h5", 96), ("decode_dstorm_data_empty.h5", 0), ("smap_dstorm_data.mat", 4884)],
)
def test_real_files_of_other_programs_are_read(file: str, rows: int):
    assert len(read_table(PUBLIC / file)) == rows


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="needs the public files")
@pytest.mark.parametrize("file", ["Thunderstorm_dstorm_data.csv", "picasso_testdata_locs.hdf5"])
def test_real_lists_in_two_dimensions_are_refused_as_such(file: str):
    with pytest.raises(InputError, match=r"has no column z.*3D"):
        read_table(PUBLIC / file, pixel_um=PIXEL)


def test_a_decode_file_of_pixels_that_are_not_square_is_read_axis_by_axis(tmp_path: Path):
    with h5py.File(tmp_path / "emitter.h5", "w") as file:
        file["data/xyz"] = np.array([[40.75, 17.25, -310.0]], dtype=np.float32)
        file["data/xyz_sig"] = np.array([[0.08, 0.06, 21.0]], dtype=np.float32)
        file["data/frame_ix"] = np.array([3])
        file.create_group("meta").attrs.update(xy_unit="px", px_size=(127.0, 117.0))
    table, header = read_list(tmp_path / "emitter.h5")
    assert table.xyz[0].tolist() == pytest.approx([17.25 * 0.117, 40.75 * 0.127, -0.31])
    assert table.sigma_xyz[0].tolist() == pytest.approx([0.06 * 0.117, 0.08 * 0.127, 0.021])
    assert header.pixel_um == pytest.approx((0.127 * 0.117) ** 0.5)
    assert "117 nm in x and 127 nm in y are not square" in header.notes[0]
    write_table(tmp_path / "back.hdf5", table, pixel_um=header.pixel_um, frames=9, shape=header.shape)
    torch.testing.assert_close(read_table(tmp_path / "back.hdf5").xyz, table.xyz, atol=1e-6, rtol=0)


@pytest.mark.parametrize("unit", [h5py.Empty("f"), h5py.Empty("S1"), "", "µm"])
def test_a_decode_file_that_does_not_say_its_unit_is_asked_about(unit: Any, tmp_path: Path):
    path = tmp_path / "two.h5"
    write_table(path, measured(2), **RECORDING, format="decode")
    with h5py.File(path, "r+") as file:
        file["meta"].attrs["xy_unit"] = unit
    with pytest.raises(InputError, match="xy_unit"):
        read_table(path)
    none = tmp_path / "none.h5"
    write_table(none, Localizations.empty(), **RECORDING, format="decode")
    with h5py.File(none, "r+") as file:
        file["meta"].attrs["xy_unit"] = unit
        file["meta"].attrs["px_size"] = h5py.Empty("f")
    assert len(read_table(none)) == 0
