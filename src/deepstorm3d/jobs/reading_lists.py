"""Lists in and out: the pixel size from the user where a file has none, and a record of what was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..emitters import Localizations
from ..errors import InputError
from ..io.tables import TableHeader, read_list, write_list
from ..watch import SILENT, Watcher, warn

__all__ = ["read_localizations", "write_derived"]

# Relative difference of pixel sizes that is taken for rounding.
_ROUNDING = 1e-3


def read_localizations(
    path: Path, pixel_nm: float | None = None, *, watch: Watcher = SILENT
) -> tuple[Localizations, TableHeader]:
    """A list and what its file says of the recording.

    pixel_nm: camera pixel in the sample, for a file that does not name it;  watch: told each note of the
    header (those who have warnings of their own take `TableHeader.notes`).
    Raises InputError: MissingPixelSize where neither says it, and where the file names another pixel, for its
    positions rest on its own.
    """
    pixel_um = None if pixel_nm is None else pixel_nm / 1000
    table, header = read_list(path, pixel_um=pixel_um)
    if pixel_nm is not None and abs(header.pixel_nm - pixel_nm) > _ROUNDING * header.pixel_nm:
        raise InputError(
            f"{path} says its pixels are {header.pixel_nm:g} nm, and its positions rest on that: "
            f"{pixel_nm:g} nm (`pixel_um`) is for lists that do not say",
            "leave it out, or correct the file",
        )
    for note in header.notes:
        warn(watch, note)
    return table, header


def write_derived(
    out: Path,
    table: Localizations,
    header: TableHeader,
    step: str,
    settings: Mapping[str, Any],
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a list that was made from another one; its provenance gains what was done.

    header: of the list it was made from;  step: the command ("drift", "filter", …);  settings: all that a
    reader needs to repeat it, anything that JSON can hold. ``provenance["steps"]`` lists them in order.
    format: where the ending of `out` means another one (`io.tables.FORMATS`).
    Raises InputError for an unknown ending or format, an existing file without `overwrite`, or a failed write.
    """
    done = {"step": step, "program": f"deepstorm3d {__version__}", **settings}
    provenance = {**header.provenance, "steps": [*header.provenance.get("steps", []), done]}
    written = replace(header, provenance=provenance, notes=())
    write_list(out, table, written, format=format, overwrite=overwrite)
