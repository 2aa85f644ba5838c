"""Numbers in tables of text: decimal points, decimal commas and thousands signs, in every column."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import read_list
from deepstorm3d.io.tables.csv_numbers import number, sign_of
from deepstorm3d.io.tables.csv_table import read_csv

NAMES = ("frame", "x [nm]", "y [nm]", "z [nm]", "intensity [photon]", "uncertainty_xy [nm]")
ROWS = ((1, 6369.6, 2697.9, 192.1, 574.0, 8.25), (2, 8132.7, 9127.6, -391.2, 512.0, 9.5))
MIRRORED = str.maketrans(".,", ",.")


def written(rows: list[list[str]], separator: str, names: tuple[str, ...] = NAMES) -> str:
    quote = '"' if separator == "," else ""
    lines = [separator.join(f"{quote}{value}{quote}" for value in row) for row in [list(names), *rows]]
    return "\n".join(lines) + "\n"


def saved(folder: Path, rows: list[list[str]], separator: str, names: tuple[str, ...] = NAMES) -> Path:
    path = folder / "a.csv"
    path.write_text(written(rows, separator, names), encoding="utf-8")
    return path


@pytest.mark.parametrize("number_of_rows", [0, 120])
@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("thousands", ["3,783", "-3,783", "1,234,567", "3,783.5"])
@pytest.mark.parametrize("index", range(len(NAMES)))
def test_a_thousands_sign_never_becomes_a_decimal_sign(
    index: int, thousands: str, mirrored: bool, separator: str, number_of_rows: int, tmp_path: Path
):
    rows = [[str(value) for value in row] for row in ROWS] * (1 + number_of_rows)
    rows.append(list(rows[0]))
    rows[-1][index] = thousands
    if mirrored:
        rows = [[value.translate(MIRRORED) for value in row] for row in rows]
    columns = read_csv(saved(tmp_path, rows, separator))
    expected = np.array([*ROWS] * (1 + number_of_rows) + [ROWS[0]])
    expected[-1, index] = float(thousands.replace(",", ""))
    np.testing.assert_array_equal(np.stack([columns.raw(name) for name in NAMES], axis=1), expected)
    assert bool(columns.notes) == (thousands in ("3,783", "-3,783"))


def test_what_was_taken_for_thousands_is_noted(tmp_path: Path):
    rows = [[str(value) for value in row] for row in ROWS]
    rows[1][4] = "3,783"
    table, header = read_list(saved(tmp_path, rows, "\t"), pixel_um=0.1)
    assert table.photons.tolist() == [574.0, 3783.0]
    assert header.notes == ("a.csv: thousands signs: 3,783 is 3783 in intensity [photon]",)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({(1, 4): "3,783"}, NAMES[4]),  # nothing else in the file has a sign
        ({(1, 4): "3,783", (0, 1): "6.370"}, NAMES[4]),  # and 6.370 may be either, too
        ({(1, 4): "3,783", (0, 1): "6369.6", (0, 2): "2697,9"}, NAMES[4]),  # the file has both
        ({(1, 4): "3.783", (0, 1): "6369.6", (0, 2): "2697,9"}, NAMES[4]),
        ({(0, 1): "6369.6", (1, 1): "8132,7", (2, 1): "3,783"}, NAMES[1]),  # so has its own column
    ],
)
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_a_number_that_may_mean_two_is_refused(
    changes: dict[tuple[int, int], str], column: str, separator: str, tmp_path: Path
):
    rows = [[str(round(value)) for value in row] for row in (*ROWS, ROWS[0])]
    for (row, index), text in changes.items():
        rows[row][index] = text
    columns = read_csv(saved(tmp_path, rows, separator))
    with pytest.raises(
        InputError, match=rf"{re.escape(column)} holds '3.783', which may mean 3783 or 3.783, in"
    ):
        columns.raw(column)


def test_a_column_of_three_decimals_in_every_row_has_decimal_commas(tmp_path: Path):
    rows = [["1", "63,696", "26,979", "0", "574", "8"], ["2", "81,327", "91,276", "0", "512", "9"]]
    columns = read_csv(saved(tmp_path, rows, ";"))
    assert columns.raw("x [nm]").tolist() == [63.696, 81.327]


@pytest.mark.parametrize("word", ["img.tif", "a,b.tif", "v1.2.3", "left", ""])
@pytest.mark.parametrize("whole", [0, 120])
@pytest.mark.parametrize("first", ["-75,807", "75,807", "+75,8", "7,58e1"])
def test_decimal_commas_are_seen_wherever_they_begin_and_beside_words(
    first: str, whole: int, word: str, tmp_path: Path
):
    rows = [["1", "6370", "2698", "192", "1000", "8", word]] * whole
    rows += [["2", "6757,674", "5582,789", first, "3307,563", "8", word]]
    columns = read_csv(saved(tmp_path, rows, ";", (*NAMES, "file")))
    last = [float(columns.raw(name)[-1]) for name in NAMES]
    assert last == [2.0, 6757.674, 5582.789, float(first.replace(",", ".")), 3307.563, 8.0]


@pytest.mark.parametrize(
    "text", ["1,23.4", "1.2.3", "1,,234", "1,23,456", "0,123,456", ",", "1.234,567,8", "a1,5"]
)
def test_what_only_looks_like_a_number_is_none(text: str):
    assert sign_of(text) is None
    assert number(text, ".") is None
