"""Rows of a text table read value by value: slow, and able to say what is wrong with which."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...errors import InputError
from .columns import Columns
from .csv_layout import SEPARATORS, Layout, split
from .csv_numbers import Sign, decimal_sign, number, sign_of

__all__ = ["columns_of_rows"]

_MISSING = {"", "-", "na", "n/a", "#n/a", "nan", "null", "none", "\ufffd"}
"""How programs write that there is no value (the last is Java's sign for NaN)."""


def columns_of_rows(path: Path, layout: Layout, lines: Iterable[str]) -> Columns:
    """The columns of rows that are not numbers throughout.

    Raises InputError where rows and names differ in number.
    """
    names = layout.names
    read = [_Column() for _ in names]
    for row, line in enumerate(lines, 1):
        parts = split(line, layout.separator)
        while len(parts) > len(names) and not parts[-1].strip():
            parts.pop()  # a separator behind the last value
        if len(parts) != len(names):
            raise InputError(_of_another_length(path, layout, row, line, parts))
        for column, part in zip(read, parts, strict=True):
            column.add(part.strip())
    seen = set[Sign]().union(*(column.signs for column in read))
    notes = [column.settle(seen) for column in read]
    thousands = [f"{said} in {name}" for name, said in zip(names, notes, strict=True) if said]
    return Columns(
        path,
        {name: np.array(column.values) for name, column in zip(names, read, strict=True)},
        doubled=frozenset(name for name in names if names.count(name) > 1),
        unread={
            name: _no_numbers(column.words) for name, column in zip(names, read, strict=True) if column.words
        },
        notes=(f"{path.name}: thousands signs: {', '.join(thousands)}",) if thousands else (),
    )


class _Column:
    """One column as its rows are read; what 3,783 means waits for the last row.

    values: of the rows, NaN for what is missing or no number;  signs: all that its numbers show;
    words: rows, from 1, that hold no number.
    """

    def __init__(self) -> None:
        self.values: list[float] = []
        self.signs: set[Sign] = set()
        self.words: list[tuple[int, str]] = []
        self._open: list[tuple[int, str]] = []
        self._unsigned = 0

    def add(self, text: str) -> None:
        """The next row."""
        value, sign = float("nan"), None
        if "∞" in text:  # as Java writes it
            value = float("inf")
        elif text.lower() not in _MISSING:
            sign = sign_of(text)
            read = number(text, "")
            if sign is not None:
                self.signs.add(sign)
            else:
                self._unsigned += 1
            if read is not None:
                value = read
            elif sign is not None:
                self._open.append((len(self.values), text))
            else:
                self.words.append((len(self.values) + 1, f"'{text[:30]}'"))
        self.values.append(value)

    def settle(self, file: set[Sign]) -> str:
        """Read what waits, given all signs of the file; how a number with thousands signs was read, or ""."""
        decimal = decimal_sign(self.signs, file, all_rows=not self._unsigned)
        said = ""
        for row, text in self._open:
            read = number(text, decimal)
            if read is None:
                both = " or ".join(text.replace(",", sign).replace(".", sign) for sign in ("", "."))
                self.words.append((row + 1, f"'{text[:30]}', which may mean {both},"))
                continue
            self.values[row] = read
            if decimal not in text:
                said = said or f"{text} is {read:.0f}"
        self.words.sort()
        return said


def _no_numbers(found: list[tuple[int, str]]) -> str:
    row, text = found[0]
    return f"{text} in row {row}" + (f", and {len(found) - 1} more" if len(found) > 1 else "")


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
