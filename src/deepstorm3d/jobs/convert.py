"""Convert: a list of localizations from one program's format to another's."""

from __future__ import annotations

from pathlib import Path

from ..io.tables import claim_list
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations, write_derived

__all__ = ["convert_table"]


def convert_table(
    source: Path,
    out: Path,
    *,
    to: str | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> int:
    """Write the list in another format, its origin, axes, units and frame base converted; returns its rows.

    to: name of the format (`io.tables.FORMATS`); None: by the ending of `out`, .hdf5 Picasso, .csv
    ThunderSTORM, .h5 smappy;  pixel_nm: camera pixel in the sample, for a source that does not name it;
    watch: told what was seen while reading (rows left out, …).
    Raises InputError for an unknown format, an unknown pixel size, or an output that cannot be written.
    """
    claim_list(out, format=to, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm, watch=watch)
    settings = {"source": source.name}
    write_derived(out, table.sort(), header, "convert", settings, format=to, overwrite=overwrite)
    return len(table)
