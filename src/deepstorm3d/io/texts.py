"""Text as people's programs write it: its encoding, and whether a comma is a decimal sign."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

__all__ = ["decimal_commas", "encoding_of", "read_text"]

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_LOOKED_AT = 2**16


def encoding_of(path: Path) -> str:
    """UTF-8, UTF-16 with its mark, or else Windows' Western encoding: Latin-1 with a few more signs.

    Only the names of columns and remarks can hold other signs than ASCII, and they stand at the beginning.
    Raises InputError where the file cannot be read, or holds no text.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(_LOOKED_AT)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        return marked
    if b"\0" in start:
        raise InputError(f"{path} is not a text file: it holds bytes that no text has")
    try:
        # What was read may end within a sign.
        start[: start.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def read_text(path: Path) -> str:
    """The whole file.  Raises InputError as `encoding_of` does."""
    return path.read_text(encoding=encoding_of(path), errors="replace")


def decimal_commas(lines: Sequence[str]) -> bool | None:
    """Whether the comma in the last number of each line is a decimal sign, as in ``3;0,25``.

    lines: without remarks, none of them empty.  Where a line may be one number or two (``0,5``) the others
    decide: any point, or a second comma, makes it two; any line without a comma, one. Lines that all have one
    comma are one number each, unless the numbers before the commas count the lines (None: both may be meant).
    """
    last = [re.split(r"[\s;]+", line.strip("; \t"))[-1].strip(",") for line in lines]
    with_comma = [word for word in last if "," in word]
    if not with_comma or any("." in word or word.count(",") > 1 for word in last):
        return False
    alone = all(re.fullmatch(r"[^\s;]+", line.strip("; \t")) for line in lines)
    if not alone or len(with_comma) < len(last):
        return True
    before = [word.partition(",")[0] for word in last]
    counted = any(before == [str(first + index) for index in range(len(before))] for first in (0, 1))
    return None if counted else True
