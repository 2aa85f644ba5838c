"""Rows of a text table read value by value: slow, and able to say what is wrong with which."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...errors import InputError
from .columns import Columns
from .csv_layout import SEPARATORS, Layout, split

__all__ = ["columns_of_rows"]

_MISSING = {"", "-", "na", "n/a", "#n/a", "nan", "null", "none", "\ufffd"}
"""How programs write that there is no value (the last is Java's sign for NaN)."""


def columns_of_rows(path: Path, layout: Layout, lines: Iterable[str], *, decimal_comma: bool) -> Columns:
    """The columns of rows that are not numbers throughout.

    decimal_comma: 1,5 is one and a half.  Raises InputError where rows and names differ in number.
    """
    count = len(layout.names)
    values: list[list[float]] = [[] for _ in range(count)]
    words: dict[str, list[tuple[int, str]]] = {}
    for row, line in enumerate(lines, 1):
        parts = split(line, layout.separator)
        while len(parts) > count and not parts[-1].strip():
            parts.pop()  # a separator behind the last value
        if len(parts) != count:
            raise InputError(_of_another_length(path, layout, row, line, parts))
        for index, part in enumerate(parts):
            number = _number(part.strip(), decimal_comma=decimal_comma)
            if number is None:
                words.setdefault(layout.names[index], []).append((row, part.strip()))
            values[index].append(np.nan if number is None else number)
    columns = {name: np.array(values[index]) for index, name in enumerate(layout.names)}
    names = layout.names
    return Columns(
        path,
        columns,
        doubled=frozenset(name for name in names if names.count(name) > 1),
        unread={name: _no_numbers(found) for name, found in words.items()},
    )


def _number(text: str, *, decimal_comma: bool) -> float | None:
    """NaN for a missing value, None for words."""
    if text.lower() in _MISSING:
        return float("nan")
    if "∞" in text:  # as Java writes it
        return float("inf")
    if text.count(",") == 1 and "." not in text and (decimal_comma or text.replace(",", "").isdigit()):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None


def _no_numbers(found: list[tuple[int, str]]) -> str:
    row, text = found[0]
    return f"'{text[:30]}' in row {row}" + (f", and {len(found) - 1} more" if len(found) > 1 else "")


def _of_another_length(path: Path, layout: Layout, row: int, line: str, parts: list[str]) -> str:
    """What is wrong with a row that does not have as many values as there are names."""
    count = len(layout.names)
    seen = f"{path}: row {row} has {len(parts)} values, the header names {count} columns"
    named = SEPARATORS[layout.separator]
    if count == 1:
        return (
            f"{seen} ({layout.names[0][:60]}): the names must be separated like the values, by commas, "
            "semicolons or tabs"
        )
    other = next(
        (
            name
            for sign, name in SEPARATORS.items()
            if sign not in (layout.separator, " ") and len(split(line, sign)) == count
        ),
        None,
    )
    if other is not None:
        return f"{seen}: {named} separate the names and {other} the values; write the same between both"
    if layout.separator == "," and len(parts) > count:
        return (
            f"{seen}: a comma seems to be the decimal sign as well; write decimal points, or semicolons or "
            "tabs between the values"
        )
    return f"{seen}; the file is cut short or damaged there: take the row out, or write the table again"
