"""CSV tables of numbers under one line of column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .columns import Columns

__all__ = ["column_names", "csv_lines", "read_csv", "write_csv"]

Formatted = Mapping[str, tuple[Any, str]]
"""Column name -> (its values or one constant, printf format)."""


def column_names(path: Path) -> list[str]:
    """The names in the first line, without quotes and spaces around them.

    Raises InputError where the file is no text, or its first line has numbers instead of names.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            names = [name.strip() for name in next(csv.reader([handle.readline(_LONGEST_LINE)]), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a text file, so not a CSV table") from error
    if names and all(_is_number(name) for name in names):
        raise InputError(
            f"{path}: the first line holds numbers, not the names of columns; add the line of names that the "
            "program which wrote it uses, e.g. frame,x [nm],y [nm],z [nm]"
        )
    return names


_LONGEST_LINE = 2**20


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv(path: Path) -> Columns:
    """All columns.  Raises InputError for text in place of numbers, or a row of another length."""
    names = column_names(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            handle.readline()
            position = handle.tell()
            if not handle.readline().strip():
                return Columns(path, {name: np.zeros(0) for name in names})
            handle.seek(position)
            values = np.loadtxt(handle, delimiter=",", ndmin=2, comments=None, quotechar='"')
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, so not a CSV table") from error
    except ValueError as error:
        raise InputError(f"{path}: a row cannot be read as numbers, or is cut short ({error})") from error
    if values.shape[1] != len(names):
        raise InputError(f"{path}: rows have {values.shape[1]} values, the header names {len(names)} columns")
    return Columns(path, {name: values[:, index] for index, name in enumerate(names)})


def csv_lines(columns: Formatted, rows: int) -> bytes:
    """The rows as text.  Raises ValueError for NaN and infinity, which are never written."""
    values: NDArray[np.float64] = np.empty((rows, len(columns)))
    for index, (name, (column, _)) in enumerate(columns.items()):
        values[:, index] = column
        if not np.isfinite(values[:, index]).all():
            raise ValueError(f"column {name} has NaN or infinite values")
    text = io.BytesIO()
    np.savetxt(text, values, fmt=",".join(form for _, form in columns.values()))
    return text.getvalue()


def write_csv(path: Path, columns: Formatted, rows: int, *, names: Iterable[str] | None = None) -> None:
    """A whole table; names: of the first line, where they are not those of `columns`."""
    path.write_bytes(",".join(names or columns).encode() + b"\n" + csv_lines(columns, rows))
