"""Positions of bead stacks on the chip, from a text file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...io.texts import read_text

__all__ = ["read_places"]


def read_places(path: Path, stacks: Sequence[Path]) -> list[tuple[int, int]]:
    """Column and row of the first (upper left) pixel of each stack, px of the chip.

    path: one line a stack, `column row`, in the order of the stacks, or `name column row` in any order; a #
    begins a comment.
    Raises InputError for any other line, numbers below 0, and stacks without a line.
    """
    named: dict[str, tuple[int, int]] = {}
    plain: list[tuple[int, int]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = re.split(r"[\s;,]+", line.partition("#")[0].strip(" ,;\t"))
        if words == [""]:
            continue
        try:
            place = _whole(words[-2]), _whole(words[-1])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}: '{line.strip()[:40]}' is no 'column row' or 'file column row'",
                "write the column and row of the stack's first pixel on the chip, in px from 0",
            ) from None
        if len(words) > 2:
            named[Path(" ".join(words[:-2])).name] = place
        else:
            plain.append(place)
    if named and not plain:
        missing = [stack.name for stack in stacks if stack.name not in named]
        if missing:
            raise InputError(f"{path} has no line for {missing[0]}", "give one for each stack of beads")
        return [named[stack.name] for stack in stacks]
    if named or len(plain) != len(stacks):
        raise InputError(
            f"{path} has {len(plain)} lines of 'column row' and {len(named)} with a file's name, for "
            f"{len(stacks)} stacks of beads",
            "give one line a stack, all of one kind",
        )
    return plain


def _whole(word: str) -> int:
    value = round(float(word))
    if value < 0:
        raise ValueError(word)
    return value
