"""A list that is open: its rows, what its file says, and its points in the order that pictures need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...analysis.binned import BinnedColumn, bin_column, known_columns
from ...emitters import Localizations
from ...io.tables import TableHeader
from ...jobs.reading_lists import read_localizations
from ...rendering.packed import shuffled
from ...rendering.sections import Box, Interval
from ...rendering.tiles import Tiles
from ...watch import SILENT, Watcher, advance

__all__ = ["OpenList", "Wanted", "bin_columns", "open_list"]

# Least range of an axis, µm: a list in one plane has a depth too.
_THINNEST_UM = 0.1


@dataclass(frozen=True)
class Wanted:
    """A list to open.

    path: its file;  pixel_nm: camera pixel in the sample, for a file that does not name it.
    """

    path: Path
    pixel_nm: float | None = None


@dataclass(frozen=True, eq=False)
class OpenList:
    """A list, and its points sorted for pictures.

    wanted: which one;  table, header: as the file gives them;  tiles: its points, by tile;  number: of its own.
    """

    wanted: Wanted
    table: Localizations
    header: TableHeader
    tiles: Tiles
    number: int = field(default_factory=count().__next__)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.wanted.path

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """The points of `tiles` in an order of which any part is a fair sample, without those far off."""
        # A box is half open: the greatest position, in single precision, lies within where the end is the next.
        box = Box(
            *((low, float(np.nextafter(np.float32(high), np.float32(np.inf)))) for low, high in self.limits)
        )
        order = shuffled(len(self.tiles))
        inside = box.inside(self.tiles.xyz)
        return order if inside.all() else order[inside[order]]

    @cached_property
    def limits(self) -> tuple[Interval, Interval, Interval]:
        """From where to where the points lie on x, y, z, µm, each range at least a tenth of a µm."""
        x, y, z = (_wide_enough(interval) for interval in self.tiles.limits)
        return x, y, z

    @cached_property
    def depths(self) -> Interval:
        """Depths at the ends of the colours: those of nearly all points."""
        z = self.tiles.xyz[:: 1 + len(self.tiles) // 1_000_000, 2]
        if not len(z):
            return (0.0, 1.0)
        low, high = np.quantile(z, [0.001, 0.999]).tolist()
        return _wide_enough((low, high))

    @property
    def has_sigma(self) -> bool:
        """Whether some rows say how precise they are."""
        return bool((self.tiles.wide > 0).all())


def open_list(wanted: Wanted, watch: Watcher = SILENT) -> OpenList:
    """Read a list and sort its points.

    Raises InputError as `read_localizations` does: MissingPixelSize where the file does not name its pixel.
    """
    advance(watch, 0, 2, "reading")
    table, header = read_localizations(wanted.path, wanted.pixel_nm)
    advance(watch, 1, 2, "sorting")
    return OpenList(wanted, table, header, Tiles.of(table))


def bin_columns(opened: OpenList, watch: Watcher = SILENT) -> dict[str, BinnedColumn]:
    """All columns that the list has values in, in bins."""
    names = known_columns(opened.table)
    found = {}
    for done, name in enumerate(names):
        advance(watch, done, len(names), f"counting {name}")
        found[name] = bin_column(opened.table, name)
    return found


def _wide_enough(interval: Interval) -> Interval:
    low, high = interval
    more = max(0.0, _THINNEST_UM - (high - low)) / 2
    return low - more, high + more
