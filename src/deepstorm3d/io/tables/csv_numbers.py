"""How the numbers of a text table are written: with decimal points or commas, and with thousands signs.

1550,5 has a decimal comma, 1,234.5 and 1,234,567 have thousands signs; 3,783 may be both, and follows the other
numbers of its column, or else of the file. Where these do not tell, it is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .csv_layout import Layout, split

__all__ = ["Sign", "commas_alone", "decimal_sign", "number", "sign_of"]

_NUMBER = re.compile(r"[-+]?([\d.,]*\d[\d.,]*)([eE][-+]?\d+)?")
_THOUSANDS = {
    ",": re.compile(r"[1-9]\d{0,2}(,\d{3})+"),
    ".": re.compile(r"[1-9]\d{0,2}(\.\d{3})+"),
}
"""Whole numbers with each sign between thousands."""


class Sign(NamedTuple):
    """The decimal sign that one number tells of: decimal, "." or ",";  sure: else it may part thousands."""

    decimal: str
    sure: bool


def sign_of(text: str) -> Sign | None:
    """None for a number without any sign, and for words."""
    found = _NUMBER.fullmatch(text)
    digits = found.group(1) if found else ""
    signs = {sign for sign in ".," if sign in digits}
    if found is None or not signs:
        return None
    last = max(signs, key=digits.rfind)
    other = "," if last == "." else "."
    before = digits.rpartition(last)[0]
    if len(signs) == 2:
        return Sign(last, sure=True) if _THOUSANDS[other].fullmatch(before) else None
    whole = found.group(2) is None and _THOUSANDS[last].fullmatch(digits) is not None
    if last in before:
        return Sign(other, sure=True) if whole else None
    return Sign(last, sure=not whole)


def decimal_sign(column: set[Sign], file: set[Sign], *, all_rows: bool) -> str:
    """The decimal sign of a column, "" where it cannot be told.

    column, file: of its own numbers and of all in the file;  all_rows: each number of the column has one.
    """
    for signs in (column, file):
        certain = {sign.decimal for sign in signs if sign.sure}
        if certain:
            return certain.pop() if len(certain) == 1 else ""
    shown = {sign.decimal for sign in file}
    if "," in shown and not (all_rows and len(shown) == 1):
        return ""
    return "".join(shown) or "."


def number(text: str, decimal: str) -> float | None:
    """None for words, and where the number may mean two; decimal: sign of its column."""
    sign = sign_of(text)
    if sign is not None:
        decimal = sign.decimal if sign.sure else decimal
        if not decimal:
            return None
        text = text.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    try:
        return float(text)
    except ValueError:
        return None


def commas_alone(layout: Layout, lines: Iterable[str]) -> bool:
    """Whether rows write 1550,5 somewhere and no point anywhere."""
    sure = False
    for line in lines:
        if "." in line:
            return False
        sure = sure or any(sign_of(value.strip()) == (",", True) for value in split(line, layout.separator))
    return sure
