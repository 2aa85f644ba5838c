"""The cloud in three dimensions: the kept rows as packed points, chunk by chunk, for the browser to turn."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...columns import COLUMNS
from ...errors import InputError
from ...rendering.categories import CATEGORIES
from ...rendering.packed import SIGMA_STEP_UM, Packing
from ...rendering.sections import Interval
from .kept import Kept
from .legend import hex_of, legend_of
from .opened import OpenList

__all__ = ["CHUNK", "MOST_POINTS", "CloudLook"]

CHUNK = 250_000
"""Points of a chunk, 2 MB."""

MOST_POINTS = 10_000_000
"""Most points that a page gets; of a longer list a fair sample."""

# About how many rows tell the ends of the colours.
_SAMPLE = 1_000_000
# Quantiles at the ends of the colours, but for depth.
_ENDS = (0.01, 0.99)


@dataclass(frozen=True, eq=False)
class _Colours:
    """Values (N,) of a column in the order of the points, and those at the ends of the colours.

    legend: colours and names of values that are numbers of dyes or molecules; None: values are on a scale;
    palette: their 256 colours.
    """

    values: NDArray[np.floating]
    ends: Interval
    label: str
    legend: tuple[list[str], list[str]] | None = None
    palette: list[str] | None = None


class CloudLook:
    """How the cloud is coloured, and its points.

    Attributes
    ----------
    column : str
        The column that becomes colour.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.column = "z_nm"
        self._lock = threading.Lock()
        self._made: tuple[OpenList, str, _Colours] | None = None

    def suit(self) -> None:
        """Begin anew for another list."""
        self.column, self._made = "z_nm", None
        self.changes += 1

    def colour_by(self, column: str) -> None:
        """Colour by another column; raises InputError where there is no such column."""
        if column not in COLUMNS:
            raise InputError(f"there is no column '{column}'")
        if column != self.column:
            self.column = column
            self.changes += 1

    def header(self, kept: Kept) -> dict[str, object]:
        """What a page must know before the points come: how many, in which box, with which colours."""
        colours = self._colours(kept.opened)
        packing = _packing(kept.opened, colours)
        return {
            "points": min(len(kept.order), MOST_POINTS),
            "rows": kept.rows,
            "chunk": CHUNK,
            "low": packing.low,
            "high": packing.high,
            "step_nm": packing.step_nm,
            "ends": packing.ends,
            "label": colours.label,
            "legend": colours.legend,
            "palette": colours.palette,
            "sigma_step_um": SIGMA_STEP_UM,
        }

    def chunk(self, kept: Kept, number: int) -> bytes:
        """The packed points of a chunk, counted from 0; empty beyond the last one."""
        begin, end = max(number, 0) * CHUNK, min((number + 1) * CHUNK, MOST_POINTS)
        points = kept.order[begin:end]
        colours = self._colours(kept.opened)
        return _packing(kept.opened, colours).pack(kept.opened.tiles, points, colours.values[points]).tobytes()

    def _colours(self, opened: OpenList) -> _Colours:
        with self._lock:
            made = self._made
            if made is None or made[0] is not opened or made[1] != self.column:
                self._made = made = (opened, self.column, _colours(opened, self.column))
            return made[2]


def _packing(opened: OpenList, colours: _Colours) -> Packing:
    low, high = zip(*opened.limits, strict=True)
    return Packing((low[0], low[1], low[2]), (high[0], high[1], high[2]), colours.ends)


def _colours(opened: OpenList, column: str) -> _Colours:
    tiles = opened.tiles
    if column == "z_nm":
        return _Colours(tiles.xyz[:, 2], opened.depths, "depth z (µm)")
    if column in CATEGORIES and column in tiles.numbers:
        numbers = tiles.numbers[column].astype(np.float32)
        return _Colours(numbers, (0.0, 256.0), column, legend_of(opened, column), hex_of(column))
    values = COLUMNS[column].values(opened.table)[tiles.rows]
    told = values[:: 1 + len(values) // _SAMPLE]
    told = told[np.isfinite(told)]
    low, high = np.quantile(told, _ENDS).tolist() if len(told) else (0.0, 1.0)
    return _Colours(values, (low, high if high > low else low + 1.0), f"{column} ({COLUMNS[column].unit})")
