"""What a command line of the program says about itself: what it writes, and how it is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..command_line import command

__all__ = ["as_typed", "can_resume", "clashing", "output_of", "resumed"]

# Commands that go on where they were stopped, and what is added to the command line for it.
_RESUMING: dict[str, tuple[str, ...]] = {
    "train": ("--resume",),
    "localize": ("--resume",),
    "design-psf": ("--resume",),
    "compare-psf": (),
}


def as_typed(arguments: Sequence[str]) -> str:
    """The command line as a user types it."""
    return command(*arguments)


def can_resume(arguments: Sequence[str]) -> bool:
    """Whether the command can go on where it was stopped."""
    return bool(arguments) and arguments[0] in _RESUMING


def resumed(arguments: Sequence[str]) -> tuple[str, ...]:
    """The same command, going on where it was stopped."""
    more = [word for word in _RESUMING[arguments[0]] if word not in arguments]
    return (*arguments, *more)


def output_of(arguments: Sequence[str]) -> Path | None:
    """The file or folder that ``--out`` names; None where the command has none."""
    words = list(arguments)
    for place, word in enumerate(words):
        if word == "--out" and place + 1 < len(words):
            return Path(words[place + 1])
        if word.startswith("--out="):
            return Path(word.removeprefix("--out="))
    return None


def clashing(one: Sequence[str], other: Sequence[str], folder: Path) -> bool:
    """Whether two commands, run in the same folder, would write the same file.

    Files beside the result are named after it (``model.checkpoint``, ``found.part.rows``), so results that
    differ in their endings only clash too.
    """
    outputs = (output_of(one), output_of(other))
    if outputs[0] is None or outputs[1] is None:
        return False
    first, second = ((folder / output).resolve() for output in outputs if output is not None)
    return first.with_suffix("") == second.with_suffix("")
