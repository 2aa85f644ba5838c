"""The columns of a list by the names that people read: with their units, and what other programs call them.

What a list does not know (`emitters.Localizations`) is NaN here, so that no comparison holds for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .emitters import Emitters, Localizations
from .errors import InputError

__all__ = ["COLUMNS", "OPTIONAL", "WHOLE", "Column", "columns_of", "find_column", "values_of"]

Values = NDArray[Any]


@dataclass(frozen=True)
class Column:
    """One number of each localization.

    name: with its unit where that is nm;  unit: for people, "" where there is none;
    values: (N,) from a list: float32 as the files hold them, whole numbers float64; NaN where not known.
    """

    name: str
    unit: str
    values: Callable[[Localizations], Values]


def _array(values: Tensor) -> Values:
    return values.detach().cpu().numpy()


def _axis(table: Localizations, axis: int) -> Values:
    return _array(table.xyz[:, axis]) * 1000.0


def _known(values: Values) -> Values:
    """NaN in place of what is known only above 0."""
    return np.where(values > 0, values, np.float32(np.nan))


def _sigma(table: Localizations, axis: int) -> Values:
    return _known(_array(table.sigma_xyz[:, axis])) * np.float32(1000.0)


def _sigma_xy(table: Localizations) -> Values:
    return np.sqrt(np.square(_known(_array(table.sigma_xyz[:, :2])) * np.float32(1000.0)).mean(axis=1))


def _photons(table: Localizations) -> Values:
    photons = _array(table.photons)
    return np.where(photons != 0, photons, np.float32(np.nan))


def _background(table: Localizations) -> Values:
    background = _array(table.background)
    known = (background != 0) | (_array(table.sigma_background) > 0)
    return np.where(known, background, np.float32(np.nan))


def _detections(table: Localizations) -> Values:
    return np.ones(len(table)) if table.detections is None else _array(table.detections).astype(np.float64)


def _number(column: Tensor | None, table: Localizations) -> Values:
    """Whole numbers of the rows, −1 where a list has none."""
    return np.full(len(table), -1.0) if column is None else _array(column).astype(np.float64)


def _measured(column: Tensor | None, table: Localizations) -> Values:
    """NaN where a list does not have the column."""
    return np.full(len(table), np.float32(np.nan)) if column is None else _array(column)


def _sigma_share(table: Localizations) -> Values:
    return _known(_measured(table.sigma_share, table))


COLUMNS = {
    column.name: column
    for column in (
        Column("x_nm", "nm", lambda table: _axis(table, 0)),
        Column("y_nm", "nm", lambda table: _axis(table, 1)),
        Column("z_nm", "nm", lambda table: _axis(table, 2)),
        Column("frame", "from 0", lambda table: _array(table.frame).astype(np.float64)),
        Column("photons", "photons", _photons),
        Column("background", "photons per pixel", _background),
        Column("probability", "0 to 1", lambda table: _known(_array(table.probability))),
        Column("sigma_x_nm", "nm", lambda table: _sigma(table, 0)),
        Column("sigma_y_nm", "nm", lambda table: _sigma(table, 1)),
        Column("sigma_z_nm", "nm", lambda table: _sigma(table, 2)),
        Column("sigma_xy_nm", "nm, root mean square of x and y", _sigma_xy),
        Column("sigma_photons", "photons", lambda table: _known(_array(table.sigma_photons))),
        Column("sigma_background", "photons per pixel", lambda table: _known(_array(table.sigma_background))),
        Column("fit_quality", "deviance per pixel, about 1", lambda table: _known(_array(table.fit_quality))),
        Column("detections", "frames joined, 1 where not linked", _detections),
        Column("track", "trajectory, −1 where not tracked", lambda table: _number(table.track, table)),
        Column(
            "molecule",
            "rows with one number share a position, −1 where there are none",
            lambda table: _number(table.molecule, table),
        ),
        Column("share", "of the light in the second channel", lambda table: _measured(table.share, table)),
        Column("sigma_share", "0 to 1", _sigma_share),
        Column("dye", "from 1, 0: none, −1 where not told apart", lambda table: _number(table.dye, table)),
        Column("dye_probability", "0 to 1", lambda table: _measured(table.dye_probability, table)),
    )
}
"""By name, in the order in which they are listed."""

# ThunderSTORM's and Picasso's words, where they mean the same number in the same unit.
_ALIASES = {
    "x": "x_nm",
    "y": "y_nm",
    "z": "z_nm",
    "intensity": "photons",
    "offset": "background",
    "bkg": "background",
    "bg": "background",
    "prob": "probability",
    "sigma_x": "sigma_x_nm",
    "sigma_y": "sigma_y_nm",
    "sigma_z": "sigma_z_nm",
    "sigma_xy": "sigma_xy_nm",
    "uncertainty": "sigma_xy_nm",
    "uncertainty_xy": "sigma_xy_nm",
    "uncertainty_x": "sigma_x_nm",
    "uncertainty_y": "sigma_y_nm",
    "uncertainty_z": "sigma_z_nm",
    "uncertainty_xy_nm": "sigma_xy_nm",
    "uncertainty_z_nm": "sigma_z_nm",
    "lpz": "sigma_z_nm",
    "sigma_bg": "sigma_background",
    "chi2": "fit_quality",
    "particle": "track",
}


OPTIONAL = ("detections", "track", "molecule", "share", "sigma_share", "dye", "dye_probability")
"""Columns that only some lists have."""

WHOLE = ("frame", "detections", "track", "molecule", "dye")
"""Columns of whole numbers."""

# Of true emitters: where they are and how bright, and which rows are the same molecule.
_TRUE_COLUMNS: dict[str, Callable[[Emitters], Values]] = {
    "x_nm": lambda table: _array(table.xyz[:, 0]) * 1000.0,
    "y_nm": lambda table: _array(table.xyz[:, 1]) * 1000.0,
    "z_nm": lambda table: _array(table.xyz[:, 2]) * 1000.0,
    "frame": lambda table: _array(table.frame),
    "photons": lambda table: _array(table.photons),
    "molecule": lambda table: _array(table.id),
}


def columns_of(table: Emitters | Localizations) -> dict[str, Values]:
    """All columns that a table has, by name with their unit, each (N,); NaN where a value is not known.

    ``sigma_xy_nm``, which follows from two others, is left out; `values_of` gives it.
    """
    if isinstance(table, Emitters):
        true = {name: values(table) for name, values in _TRUE_COLUMNS.items()}
        return true if table.dye is None else true | {"dye": _array(table.dye)}
    missing = {name for name in OPTIONAL if getattr(table, name) is None} | {"sigma_xy_nm"}
    found = {name: column.values(table) for name, column in COLUMNS.items() if name not in missing}
    return {name: values.astype(np.int64) if name in WHOLE else values for name, values in found.items()}


def values_of(table: Emitters | Localizations, name: str) -> Values:
    """One column (N,) by its name or another program's; raises InputError naming the closest."""
    if isinstance(table, Localizations):
        return find_column(name).values(table)
    columns = columns_of(table)
    if name not in columns:
        raise InputError(f"there is no column '{name}'; true emitters have {', '.join(columns)}")
    return columns[name]


def find_column(name: str) -> Column:
    """A column by its name or by another program's (intensity, uncertainty_xy, bkg, …), in any case.

    Raises InputError naming the closest column and all of them with their units.
    """
    key = name.lower()
    key = _ALIASES.get(key, key)
    if key in COLUMNS:
        return COLUMNS[key]
    near = difflib.get_close_matches(key, [*COLUMNS, *_ALIASES], n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    known = ", ".join(f"{column.name} ({column.unit})" for column in COLUMNS.values())
    raise InputError(f"there is no column '{name}'{hint}\nColumns: {known}")
