"""CSV tables of the SMLM challenge 2016: nm from the corner of the first pixel, frames from 1.

The columns are ``Ground-truth`` (a running number), frame, x, y, z in nm and ``intensity`` in photons; the
assessment takes them by their place. The centre of the first pixel is at half a pixel; x is the column, y the
row; z keeps its sign. (An importer that has the rows as its first axis swaps x and y, and its own z may
point the other way: neither belongs to the file.) Background, σ, probability, links and the pixel size are
lost: reading one takes ``pixel_um`` (0.1 in the challenge).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...emitters import Localizations
from .columns import NM, pixel_size
from .csv_table import read_csv, write_csv
from .header import TableHeader

__all__ = ["is_challenge", "read_challenge", "write_challenge"]

POSITIONS = ("xnano", "ynano", "znano")
FIRST_LINE = ("Ground-truth", "frame", *POSITIONS, "intensity ")
"""With the blank that the challenge's own files have at the end."""
ORIGIN_PX = 0.5
"""Where the file has the centre of the first pixel."""


def is_challenge(names: Sequence[str]) -> bool:
    """Whether a CSV with these columns is the challenge's."""
    return set(POSITIONS) <= set(names)


def write_challenge(path: Path, table: Localizations, header: TableHeader) -> None:
    """Write the whole table at once."""
    nm, corner = table.xyz.double().cpu().numpy() * 1000, ORIGIN_PX * header.pixel_nm
    columns = {
        "Ground-truth": (np.arange(len(table)) + 1, "%d"),
        "frame": (table.frame.cpu().numpy() + 1, "%d"),
        "xnano": (nm[:, 0] + corner, "%.4f"),
        "ynano": (nm[:, 1] + corner, "%.4f"),
        "znano": (nm[:, 2], "%.4f"),
        "intensity": (table.photons.double().cpu().numpy(), "%.4f"),
    }
    write_csv(path, columns, len(table), names=FIRST_LINE)


def read_challenge(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a list or a truth of the challenge: positions, frames and photons.

    pixel_um: which no such file names; 0.0 takes positions as they stand.
    Raises InputError for missing columns, text in place of numbers, a doubled column, or an
    unknown pixel size.
    """
    columns = read_csv(path)
    columns.require(("frame", *POSITIONS), "table of the SMLM challenge")
    pixel = pixel_size(path, None, pixel_um, rows=len(columns))
    columns = columns.placed(POSITIONS)
    found = Localizations.proposals(
        xyz=columns.positions(POSITIONS, unit_um=NM, origin_um=ORIGIN_PX * pixel),
        frame=columns.frames(first=1),
        probability=torch.zeros(len(columns)),
    )
    table = replace(found, photons=columns.amount("intensity"))
    return table, TableHeader.around(table, pixel or 1.0, columns.notes)
