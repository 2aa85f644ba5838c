"""SMAP CSV tables: nm with the first pixel at 1, frames from 1, SMAP's own field names.

SMAP (MATLAB) counts pixels from 1: the centre of the first pixel is at 1.0·pixel, where ours is at 0; a
camera region that SMAP has added to its positions stays in them. x is the column, y the row, z in nm with our
sign. ``locprecnm`` is the root mean square of σx and σy, ``locprecznm`` σz. In a linked list ``numberInGroup``
is the frames joined into a row. In a list of single frames ``groupindex``, from 1, says which rows are one
molecule, and ``numberInGroup`` how many these are; where they share their position they are read as molecules
that were fitted over several frames, else as rows of single frames, for SMAP's own groups are only linked.
``filenumber`` says from which recording a row comes: rows of several are refused.
Probability, the other σ and the pixel size are lost: reading one takes ``pixel_um``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...emitters import Localizations
from ...errors import InputError
from .columns import NM, Columns, pixel_size, rows_of_each, sigma_source
from .csv_table import read_csv, write_csv
from .header import TableHeader

__all__ = ["is_smap", "read_smap", "recording_of", "smap_localizations", "write_smap"]

POSITIONS = ("xnm", "ynm", "znm")
ORIGIN_PX = 1.0
"""Where the file has the centre of the first pixel."""
FIRST_GROUP = 1
"""Number of the first group of rows; 0 is none."""


def is_smap(names: Sequence[str]) -> bool:
    """Whether a CSV with these columns is SMAP's (``photon`` marks LiteLoc's, whose origin is another)."""
    return {"frame", "xnm", "ynm"} <= set(names) and "photon" not in names


def write_smap(path: Path, table: Localizations, header: TableHeader) -> None:
    """Write the whole table at once."""
    nm, sigma = table.xyz.double().cpu().numpy() * 1000, table.sigma_xyz.double().cpu().numpy() * 1000
    origin = ORIGIN_PX * header.pixel_nm
    columns = {
        "ID": (np.arange(len(table)) + 1, "%d"),
        "frame": (table.frame.cpu().numpy() + 1, "%d"),
        "xnm": (nm[:, 0] + origin, "%.4f"),
        "ynm": (nm[:, 1] + origin, "%.4f"),
        "znm": (nm[:, 2], "%.4f"),
        "phot": (table.photons.double().cpu().numpy(), "%.4f"),
        "bg": (table.background.double().cpu().numpy(), "%.4f"),
        "locprecnm": (np.sqrt((sigma[:, 0] ** 2 + sigma[:, 1] ** 2) / 2), "%.4f"),
        "locprecznm": (sigma[:, 2], "%.4f"),
    }
    if table.detections is not None:
        columns["numberInGroup"] = (table.detections.cpu().numpy(), "%d")
    if table.molecule is not None:
        columns["groupindex"] = (table.molecule.cpu().numpy() + FIRST_GROUP, "%d")
        if table.detections is None:
            columns["numberInGroup"] = (rows_of_each(table.molecule), "%d")
    if table.track is not None:
        columns["track"] = (table.track.cpu().numpy(), "%d")
    write_csv(path, columns, len(table))


def read_smap(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D table (columns it lacks are 0).

    pixel_um: which no such file names; 0.0 takes positions as they stand.
    Raises InputError for missing columns, text in place of numbers, a doubled column, rows of several
    recordings, or an unknown pixel size.
    """
    columns = read_csv(path)
    return smap_localizations(columns, pixel_size(path, None, pixel_um, rows=len(columns)))


def recording_of(columns: Columns) -> int:
    """The number of the recording that all rows come from, from 1 (also where the file does not say).

    Raises InputError for rows of several: their frames count from 1 in each, and would be taken for the same.
    """
    numbers = np.unique(columns.numbers("filenumber", missing=1.0))
    if len(numbers) > 1:
        raise InputError(
            f"{columns.path} holds rows of {len(numbers)} recordings (filenumber "
            f"{', '.join(f'{number:g}' for number in numbers[:5])}), whose frames would be taken for the same",
            "save the rows of each recording in SMAP to a file of their own",
        )
    return int(numbers[0]) if len(numbers) else 1


def smap_localizations(columns: Columns, pixel_um: float) -> tuple[Localizations, TableHeader]:
    """A table from SMAP's fields, of a CSV or of a `.mat` file alike.

    pixel_um: 0.0 takes positions as they stand.  Raises InputError as `read_smap` and `recording_of`.
    """
    columns.require(("frame", *POSITIONS), "SMAP table")
    recording_of(columns)
    columns = columns.placed(POSITIONS).telling_joined("channel")
    names = (("xnmerr", "locprecnm"), ("ynmerr", "locprecnm"), ("locprecznm", "zerr"))
    sigma = columns.sigmas(names, unit_um=NM)
    xyz = columns.positions(POSITIONS, unit_um=NM, origin_um=ORIGIN_PX * pixel_um)
    grouped = columns.grouped("groupindex", first=FIRST_GROUP)
    table = Localizations(
        xyz=xyz,
        frame=columns.frames(first=1),
        photons=columns.amount("phot"),
        background=columns.tensor("bg"),
        probability=columns.amount("prob", most=1.0),
        sigma_xyz=sigma,
        sigma_photons=columns.amount("photerr"),
        sigma_background=columns.amount("bgerr"),
        fit_quality=torch.zeros(len(columns)),
        sigma_source=sigma_source(None, sigma),
        detections=None if grouped else columns.detections("numberInGroup"),
        track=columns.tracks("track"),
        molecule=columns.tied_groups("groupindex", xyz, sigma, first=FIRST_GROUP),
    )
    return table, TableHeader.around(table, pixel_um or 1.0, columns.notes)
