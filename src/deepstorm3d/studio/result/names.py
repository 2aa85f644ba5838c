"""Names of files that are made from a list: beside it, and not one that exists."""

from __future__ import annotations

from itertools import count
from pathlib import Path

__all__ = ["free_name"]


def free_name(source: Path, word: str, ending: str = ".hdf5") -> Path:
    """``found.hdf5`` and "drift" give ``found.drift.hdf5``, or ``found.drift-2.hdf5`` where that exists."""
    for number in count(1):
        path = source.with_name(f"{source.stem}.{word}{'' if number == 1 else f'-{number}'}{ending}")
        if not path.exists():
            return path
    raise AssertionError("numbers do not end")
