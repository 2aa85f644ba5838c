"""CSV tables of ONI's Nanoimager, read only: nm beside pixels, photons, and one σ for each axis.

The file says neither where its first pixel is nor from which number frames count: positions are taken as they
stand, and frames from 0 where a row has 0, else from 1; both are noted. The pixel size is the ratio of
``X (nm)`` to ``X (pix)``. The background has no unit: it is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...emitters import Localizations
from .columns import NM, Columns, pixel_size, sigma_source
from .csv_table import read_csv
from .header import TableHeader
from .units import named_alike, plain_name

__all__ = ["is_oni", "read_oni"]

POSITIONS = ("x [nm]", "y [nm]", "z [nm]")
PRECISIONS = ("x precision [nm]", "y precision [nm]", "z precision [nm]")
_ONE_SIZE_PX = 0.1  # between a position in nm and in pixels, where one pixel size holds for both


def is_oni(names: Sequence[str]) -> bool:
    """Whether a CSV with these columns is ONI's."""
    return {"frame", *POSITIONS[:2], *PRECISIONS[:2]} <= {plain_name(name) for name in names}


def read_oni(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D table (columns it lacks are 0).

    pixel_um: used where the file does not name it.
    Raises InputError for missing columns, text in place of numbers, a doubled column, or an unknown pixel size.
    """
    columns = named_alike(read_csv(path))
    columns.require(("frame", *POSITIONS), "ONI table")
    columns = columns.placed(POSITIONS).telling_joined("channel")
    pixel = pixel_size(path, _named_pixel_um(columns), pixel_um, rows=len(columns))
    frame = columns.raw("frame")
    first = 0 if len(frame) and frame.min() == 0 else 1
    background = "; its background has no unit and is not read" if "background" in columns else ""
    assumed = (
        f"{path.name}: ONI does not say where the first pixel is: positions are taken from its centre, as they "
        f"stand, and frames from {first}{background}"
    )
    columns = replace(columns, notes=(*columns.notes, assumed))
    sigma = columns.sigmas([(name,) for name in PRECISIONS], unit_um=NM)
    nothing = torch.zeros(len(columns))
    table = Localizations(
        xyz=columns.positions(POSITIONS, unit_um=NM),
        frame=columns.frames(first=first),
        photons=columns.amount("photons"),
        background=nothing,
        probability=nothing.clone(),
        sigma_xyz=sigma,
        sigma_photons=nothing.clone(),
        sigma_background=nothing.clone(),
        fit_quality=nothing.clone(),
        sigma_source=sigma_source(None, sigma),
    )
    return table, TableHeader.around(table, pixel or 1.0, columns.notes)


def _named_pixel_um(columns: Columns) -> float | None:
    """The pixel that takes x in pixels to x in nm, µm; None where there is no such column, or no such pixel."""
    if "x [px]" not in columns or not len(columns):
        return None
    nm, px = columns.numbers("x [nm]"), columns.numbers("x [px]")
    if not px.any():
        return None
    size = float(nm @ px / (px @ px))
    return size / 1000 if size > 0 and np.abs(nm / size - px).max() < _ONE_SIZE_PX else None
