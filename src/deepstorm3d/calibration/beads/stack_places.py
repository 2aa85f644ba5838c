"""Positions from text files: of bead stacks on the chip, and of beads in their stacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...io.texts import read_text

__all__ = ["read_bead_positions", "read_places"]


def read_places(path: Path, stacks: Sequence[Path]) -> list[tuple[int, int]]:
    """Column and row of the first (upper left) pixel of each stack, px of the chip.

    path: one line a stack, `column row`, in the order of the stacks, or `name column row` in any order; a #
    begins a comment.
    Raises InputError for any other line, numbers below 0, and stacks without a line.
    """
    lines = _named_places(path, "the column and row of the stack's first pixel on the chip, in px from 0")
    named = {name: place for name, place in lines if name}
    plain = [place for name, place in lines if not name]
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


def read_bead_positions(path: Path, stacks: Sequence[Path]) -> list[tuple[int, int, int]]:
    """Number of its stack, column and row of each bead, px from 0, in the order of the file.

    path: one line a bead, `column row`, or `name column row` where there are several stacks; a # begins a
    comment.
    Raises InputError for any other line, and a stack that is not there.
    """
    beads = []
    for name, (column, row) in _named_places(path, "the column and row of the bead's middle, in px from 0"):
        if not name and len(stacks) > 1:
            raise InputError(
                f"{path}: there are {len(stacks)} stacks, and the bead at column {column}, row {row} does not "
                "say in which it is",
                "write the stack's file name before column and row",
            )
        number = next((k for k, stack in enumerate(stacks) if name in ("", stack.name)), None)
        if number is None:
            raise InputError(f"{path} names a stack {name}, which is not among the stacks of beads")
        beads.append((number, column, row))
    if not beads:
        raise InputError(f"{path} names no bead", "write the column and row of each on a line")
    return beads


def _named_places(path: Path, remedy: str) -> list[tuple[str, tuple[int, int]]]:
    """File name ("" where there is none), column and row of each line."""
    places: list[tuple[str, tuple[int, int]]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = re.split(r"[\s;,]+", line.partition("#")[0].strip(" ,;\t"))
        if words == [""]:
            continue
        try:
            place = _whole(words[-2]), _whole(words[-1])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}: '{line.strip()[:40]}' is no 'column row' or 'file column row'",
                f"write {remedy}",
            ) from None
        places.append((Path(" ".join(words[:-2])).name if len(words) > 2 else "", place))
    return places


def _whole(word: str) -> int:
    value = round(float(word))
    if value < 0:
        raise ValueError(word)
    return value
