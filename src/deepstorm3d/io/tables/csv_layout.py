"""How a table of text is laid out: its encoding, what separates its values, and the names of its columns."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..texts import encoding_of

__all__ = ["SEPARATORS", "Layout", "layout_of", "split"]

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
"""What may stand between values, the surest sign first, and what people call it."""

_LONGEST_LINE = 2**20
_WORKBOOKS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"PK\x03\x04", "an Excel workbook or another archive"),
)


@dataclass(frozen=True)
class Layout:
    """A text file of columns.

    names: of the columns, without quotes and blanks around them;  separator: a key of `SEPARATORS`;
    encoding: as Python names it;  above: lines before the first row.
    """

    names: tuple[str, ...]
    separator: str
    encoding: str
    above: int


def layout_of(path: Path) -> Layout:
    """Find out how the file is laid out, from its first lines.

    Raises InputError where it is no text, an Excel workbook, or its first line has numbers instead of names.
    """
    with path.open("rb") as handle:
        start = handle.read(4)
    workbook = next((kind for mark, kind in _WORKBOOKS if start.startswith(mark)), None)
    if workbook is not None:
        raise InputError(f"{path} is {workbook}, not text", "save it as CSV in the program that opens it")
    try:
        encoding = encoding_of(path)
    except InputError as error:
        raise InputError(f"{path}: not a text file, so not a CSV table") from error
    with path.open(encoding=encoding, errors="replace", newline=None) as handle:
        first = handle.readline(_LONGEST_LINE)
        # Excel's own way to say what separates the values.
        told = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE)
        line = handle.readline(_LONGEST_LINE) if told else first
        row = handle.readline(_LONGEST_LINE)
    separator = told.group(1) if told and told.group(1) in SEPARATORS else _separator(line, row)
    names = tuple(name.strip() for name in split(line, separator))
    if len(names) == 1 and "," in names[0] and '"' in line:
        # The whole line stands in quotes, those of the names are doubled.
        separator, names = ",", tuple(name.strip() for name in split(names[0], ","))
    while names and not names[-1]:
        names = names[:-1]  # a separator behind the last name
    if names and all(_is_number(name) for name in names):
        raise InputError(
            f"{path}: the first line holds numbers, not the names of columns; add the line of names that the "
            "program which wrote it uses, e.g. frame,x [nm],y [nm],z [nm]"
        )
    return Layout(names, separator, encoding, 2 if told else 1)


def split(line: str, separator: str) -> list[str]:
    """The values of one line; blanks around them, and quotes, are no part of them."""
    if separator == " ":
        return next(csv.reader([re.sub(r"\s+", " ", line.strip())], delimiter=" "), [])
    return next(csv.reader([line.strip("\r\n")], delimiter=separator, skipinitialspace=True), [])


def _separator(names: str, row: str) -> str:
    """What separates the names: the first of `SEPARATORS` that stands outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", names)
    found = next((sign for sign in SEPARATORS if sign != " " and sign in bare), None)
    if found is not None:
        return found
    # Names such as `x [nm]` have blanks inside: only where the rows agree are blanks between the names.
    words = len(split(names, " "))
    return " " if words > 1 and words == len(row.split()) else ","


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
