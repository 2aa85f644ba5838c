"""Reading: lists of localizations as the jobs need them, with the pixel size from the user where no file has it."""

from __future__ import annotations

from pathlib import Path

from ..emitters import Localizations
from ..errors import InputError
from ..io.tables import TableHeader, read_header, read_table

__all__ = ["ask_for_pixel", "read_localizations"]


def read_localizations(path: Path, pixel_nm: float | None = None) -> tuple[Localizations, TableHeader]:
    """A list and what its file says of the recording.

    pixel_nm: camera pixel in the sample, for a file that does not name it.
    Raises InputError; where the pixel size is what is missing it names the option that gives it.
    """
    pixel_um = None if pixel_nm is None else pixel_nm / 1000
    try:
        return read_table(path, pixel_um=pixel_um), read_header(path, pixel_um=pixel_um)
    except InputError as error:
        raise ask_for_pixel(error, pixel_nm) from error


def ask_for_pixel(error: InputError, pixel_nm: float | None) -> InputError:
    """The same complaint, with the option to use where a pixel size is missing."""
    if pixel_nm is not None or "pixel size" not in str(error):
        return error
    return InputError(f"{error} (--pixel-nm)")
