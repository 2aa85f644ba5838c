"""Lists of molecules given as files: read as the commands read them, with what was seen told as warnings."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..emitters import Emitters, Localizations
from ..front_door import doubt, public
from ..io.tables import TableHeader, read_list, read_truth_list
from ..jobs.reading_lists import read_localizations

__all__ = [
    "List",
    "Truth",
    "as_list",
    "as_list_of_file",
    "in_nm",
    "opened",
    "read_table",
    "read_truth",
]

List = Localizations | str | PathLike[str]
"""A list of localizations, or the file that holds one."""
Truth = Emitters | str | PathLike[str]
"""True emitters, or the file that holds them."""


@public
def read_table(path: str | PathLike[str], *, pixel_um: float | None = None) -> Localizations:
    """Read localizations from a file of any known format; its contents say which.

    Parameters
    ----------
    path
        Picasso or our own .hdf5, ThunderSTORM, SMAP, DeepSTORM3D or challenge .csv, smappy or DECODE .h5,
        SMAP _sml.mat.
    pixel_um : float
        Camera pixel in the sample, µm, for a file that does not name it; 0.0 takes positions in nm as they are.

    Returns
    -------
    Localizations

    Raises
    ------
    InputError
        For a missing or damaged file, an unknown format, missing columns, text in place of numbers, a doubled
        column, and a pixel size that is not known, cannot be, or is not the file's.

    Warns
    -----
    DoubtfulResult
        Where rows without a position or a frame are left out, or columns are not read.
    """
    return as_list(path, pixel_um) if pixel_um == 0 else opened(path, pixel_um)[0]


@public
def read_truth(path: str | PathLike[str], *, pixel_um: float | None = None) -> Emitters:
    """Read true emitters from ThunderSTORM CSV, or the positions and photons of any other table.

    Parameters
    ----------
    path
        As for `read_table`.
    pixel_um : float
        Camera pixel in the sample, µm, for a file that does not name it.

    Returns
    -------
    Emitters

    Raises
    ------
    InputError
        As `read_table` does.

    Warns
    -----
    DoubtfulResult
        As `read_table` does.
    """
    truth, header = read_truth_list(Path(path), pixel_um=pixel_um)
    doubt(header.notes)
    return truth


def opened(found: List, pixel_um: float | None = None) -> tuple[Localizations, TableHeader | None]:
    """The list, and what its file says of the recording (None for a list in memory).

    pixel_um: as in `read_table`.
    """
    if isinstance(found, Localizations):
        return found, None
    table, header = read_localizations(Path(found), in_nm(pixel_um))
    doubt(header.notes)
    return table, header


def as_list(found: List, pixel_um: float) -> Localizations:
    """The list that is drawn or fitted with a model; pixel_um: of the model, for a file that names none.

    Warns as `opened`.
    """
    return as_list_of_file(found, pixel_um)[0]


def as_list_of_file(found: List, pixel_um: float) -> tuple[Localizations, TableHeader | None]:
    """As `as_list`, and what its file says of the recording (None for a list in memory)."""
    if isinstance(found, Localizations):
        return found, None
    table, header = read_list(Path(found), pixel_um=pixel_um)
    doubt(header.notes)
    return table, header


def in_nm(pixel_um: float | None) -> float | None:
    """The pixel as the command line takes it, free of the last binary digits."""
    return None if pixel_um is None else round(1000 * pixel_um, 9)
