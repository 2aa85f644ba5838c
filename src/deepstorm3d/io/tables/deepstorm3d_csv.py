"""CSV tables of the published DeepSTORM3D, read only: ``frame,x [nm],y [nm],z [nm],intensity [au]``.

nm from the corner of the first pixel (its centre is at half a pixel), frames from 1, x the column, y the row.
z counts from the shallowest plane that the network was trained for, and is taken as it stands: the file does
not say where that plane lies. The intensity is the network's confidence on a scale of its own, not photons:
it is read as a probability relative to the table's largest, the photons as 0. The pixel size is not in the
file: reading one takes ``pixel_um``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...emitters import Localizations
from .columns import NM, pixel_size
from .csv_table import read_csv
from .header import TableHeader

__all__ = ["is_deepstorm3d_csv", "read_deepstorm3d_csv"]

POSITIONS = ("x [nm]", "y [nm]", "z [nm]")
ORIGIN_PX = 0.5
"""Where the file has the centre of the first pixel."""


def is_deepstorm3d_csv(names: Sequence[str]) -> bool:
    """Whether a CSV has these columns and no other."""
    return sorted(names) == sorted(("frame", *POSITIONS, "intensity [au]"))


def read_deepstorm3d_csv(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read positions, frames and relative confidence.

    pixel_um: which no such file names; 0.0 takes positions as they stand.
    Raises InputError for text in place of numbers, a doubled column, or an unknown pixel size.
    """
    columns = read_csv(path)
    pixel = pixel_size(path, None, pixel_um, rows=len(columns))
    columns = columns.placed(POSITIONS)
    confidence = columns.amount("intensity [au]")
    largest = float(confidence.max()) if len(confidence) else 0.0
    table = Localizations.proposals(
        xyz=columns.positions(POSITIONS, unit_um=NM, origin_um=ORIGIN_PX * pixel),
        frame=columns.frames(first=1),
        probability=confidence / largest if largest > 0 else confidence,
    )
    return table, TableHeader.around(table, pixel or 1.0, columns.notes)
