"""CSV tables of numbers under one line of column names, whatever separates them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Columns
from .csv_layout import Layout, layout_of
from .csv_numbers import commas_alone
from .csv_rows import columns_of_rows

__all__ = ["column_names", "csv_lines", "read_csv", "write_csv"]

Formatted = Mapping[str, tuple[Any, str]]
"""Column name -> (its values or one constant, printf format)."""


def column_names(path: Path) -> tuple[str, ...]:
    """The names in the first line; errors as in `layout_of`."""
    return layout_of(path).names


def read_csv(path: Path) -> Columns:
    """All columns, separated by commas, semicolons, tabs or blanks, with decimal points or commas.

    A value that is missing, or no number, is NaN; a column that holds words cannot be taken.
    Raises InputError for rows of another length than the names, and as `layout_of` does.
    """
    layout = layout_of(path)
    if next(_lines(path, layout), None) is None:
        return Columns(path, {name: np.zeros(0) for name in layout.names})
    values = _numbers(layout, _lines(path, layout))
    if values is None and layout.separator != "," and commas_alone(layout, _lines(path, layout)):
        values = _numbers(layout, (line.replace(",", ".") for line in _lines(path, layout)))
    if values is None or values.shape[1] != len(layout.names):
        return columns_of_rows(path, layout, _lines(path, layout))
    columns = {name: values[:, index] for index, name in enumerate(layout.names)}
    return Columns(path, columns, doubled=_doubled(layout.names))


def _numbers(layout: Layout, rows: Iterator[str]) -> NDArray[np.float64] | None:
    """(rows, columns); None where something is no plain number: value by value takes longer, and says what."""
    try:
        return np.loadtxt(
            rows,
            delimiter=None if layout.separator == " " else layout.separator,
            ndmin=2,
            comments=None,
            quotechar='"',
        )
    except ValueError:
        return None


def _lines(path: Path, layout: Layout) -> Iterator[str]:
    """The rows of a file, without blank lines."""
    with path.open(encoding=layout.encoding, errors="replace") as handle:
        for number, line in enumerate(handle):
            if number >= layout.above and line.strip():
                yield line


def _doubled(names: Iterable[str]) -> frozenset[str]:
    seen = list(names)
    return frozenset(name for name in seen if seen.count(name) > 1)


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
