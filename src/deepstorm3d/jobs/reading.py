"""Reading: a list of localizations, with the pixel size from the user where its file has none."""

from __future__ import annotations

from pathlib import Path

from ..emitters import Localizations
from ..errors import InputError
from ..io.tables import TableHeader, read_header, read_table

__all__ = ["read_localizations"]


def read_localizations(path: Path, pixel_nm: float | None = None) -> tuple[Localizations, TableHeader]:
    """A list and what its file says of the recording.

    pixel_nm: camera pixel in the sample, for a file that does not name it.
    Raises InputError; where the pixel size is what is missing it names the option that gives it.
    """
    pixel_um = None if pixel_nm is None else pixel_nm / 1000
    try:
        return read_table(path, pixel_um=pixel_um), read_header(path, pixel_um=pixel_um)
    except InputError as error:
        if pixel_um is not None or "give the pixel size" not in str(error):
            raise
        raise InputError(f"{error} (--pixel-nm)") from error
