"""Which tables can be written: every format holds finite numbers, and whole ones up to a largest."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from ...emitters import Emitters, Localizations
from ...errors import InputError

__all__ = ["refuse_unwritable"]

LARGEST: Final = {"frame": 2**31 - 1, "detections": 2**31 - 1}
"""What readers take as a number of a frame, and of frames."""
LARGEST_NUMBER: Final = 2**53
"""Of tracks, molecules and dyes: tables are read as float64, which holds all whole numbers up to this one."""


def refuse_unwritable(table: Localizations | Emitters) -> None:
    """Raise InputError for a column with NaN, infinity, or a whole number that would come back as another."""
    for name, column in table.columns().items():
        if column.is_floating_point():
            _refuse(
                name, ~column.isfinite(), "NaN or infinite", "take them out, or give 0 where nothing is known"
            )
        else:
            largest = LARGEST.get(name, LARGEST_NUMBER)
            kind = f"a number beyond {largest:,}, which no table holds"
            _refuse(name, (column > largest) | (column < -largest), kind, "number them from 0")


def _refuse(name: str, wrong: Tensor, kind: str, remedy: str) -> None:
    rows = wrong.flatten(1).any(1) if wrong.ndim > 1 else wrong
    if count := int(rows.sum()):
        first = int(rows.nonzero()[0, 0])
        raise InputError(
            f"column {name} is {kind} in {count} of {len(rows)} rows, first in row {first}", remedy
        )
