"""Convert: a list of localizations from one program's format to another's."""

from __future__ import annotations

from pathlib import Path

from ..io.parts import claim_name
from .reading import read_localizations, write_derived

__all__ = ["convert_table"]


def convert_table(source: Path, out: Path, *, pixel_nm: float | None = None, overwrite: bool = False) -> int:
    """Write the list in the format of the ending of `out`; returns the number of rows.

    .hdf5 Picasso, .csv ThunderSTORM, .h5 smappy; origin, units and frame base are converted.
    pixel_nm: camera pixel in the sample, for a source that does not name it.
    Raises InputError for an unknown format, an unknown pixel size, or an output that cannot be written.
    """
    claim_name(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    write_derived(out, table.sort(), header, "convert", {"source": source.name}, overwrite=overwrite)
    return len(table)
