"""DECODE HDF5 tables: nm (or pixels) from the centre of the first pixel, rows before columns, frames from 0.

``data/xyz`` is (N, 3) with **the row first**: its column 0 is our y, its column 1 our x; ``px_size``, one
size for each of the two, and ``xyz_sig`` are ordered like it. z is in nm with our sign, in either unit of x
and y (``meta.xy_unit``); we write nm. ``id`` is the identity of an emitter over its frames, −1 where it is not
known: it holds the molecules that were fitted over several frames, and is read as such where the rows of an id
share their position. What a table does not have is an empty dataset. Links, the quality of
the fit and the provenance are lost; where the σ come from, the number of frames and the shape stand in
attributes of the group ``/deepstorm3d``, which DECODE does not look at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ... import __version__
from ...emitters import Localizations
from ...errors import InputError
from ..parts import reserve_space
from .columns import Columns, pixel_size, sigma_source
from .hdf5 import opened, reading, text
from .header import TableHeader

__all__ = ["is_decode", "read_decode", "write_decode"]

PRIVATE = "deepstorm3d"
COLUMN_ROW_DEPTH = (1, 0, 2)
"""Where DECODE has our x, y and z (and, read the other way, where we have its three)."""
POSITIONS = tuple(f"xyz[:, {index}]" for index in COLUMN_ROW_DEPTH)
SIGMAS = tuple((f"xyz_sig[:, {index}]",) for index in COLUMN_ROW_DEPTH)
"""Our x, y and z among DECODE's columns, named as in NumPy."""


def write_decode(path: Path, table: Localizations, header: TableHeader) -> None:
    """Write the whole table at once."""
    import h5py

    measured = table.sigma_source != "none"
    nothing = h5py.Empty("f")
    columns: dict[str, Any] = {
        "xyz": _rows_first(table.xyz),
        "xyz_sig": _rows_first(table.sigma_xyz) if measured else nothing,
        "xyz_cr": nothing,
        "phot": _float32(table.photons),
        "phot_sig": _float32(table.sigma_photons) if measured else nothing,
        "phot_cr": nothing,
        "frame_ix": table.frame.cpu().numpy(),
        "id": np.full(len(table), -1) if table.molecule is None else table.molecule.cpu().numpy(),
        "prob": _float32(table.probability),
        "bg": _float32(table.background),
        "bg_sig": _float32(table.sigma_background) if measured else nothing,
        "bg_cr": nothing,
    }
    reserve_space(path, 64 * len(table) + 2**20)
    with opened(path, "w") as file:
        data = file.create_group("data")
        for name, values in columns.items():
            if isinstance(values, np.ndarray) and not np.isfinite(values).all():
                raise ValueError(f"column {name} has NaN or infinite values")
            data.create_dataset(name, data=values)
        file.create_group("meta").attrs.update(xy_unit="nm", px_size=(header.pixel_nm, header.pixel_nm))
        file.create_group("decode").attrs["version"] = f"written by deepstorm3d {__version__}"
        file.create_group(PRIVATE).attrs.update(
            sigma_source=table.sigma_source, frames=header.frames, shape=header.shape
        )


def _rows_first(xyz: torch.Tensor) -> NDArray[np.float32]:
    """(N, 3) µm, the column first -> nm, the row first."""
    nm = xyz.double().cpu().numpy() * 1000
    return nm[:, COLUMN_ROW_DEPTH].astype(np.float32)


def _float32(column: torch.Tensor) -> NDArray[np.float32]:
    return column.cpu().numpy().astype(np.float32)


def is_decode(path: Path) -> bool:
    """Whether an HDF5 file has DECODE's positions."""
    with reading(path) as file:
        return "data/xyz" in file


def read_decode(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a table in nm or in pixels, square ones or not (columns it lacks are 0).

    pixel_um: used where the file does not name its pixel size.
    Raises InputError for missing columns, an unknown unit, or an unknown pixel size.
    """
    with reading(path) as file:
        filled = {name: item for name, item in file["data"].items() if getattr(item, "shape", None) is not None}
        data = {name: item[()] for name, item in filled.items()}
        meta = dict(file["meta"].attrs) if "meta" in file else {}
        private = dict(file[PRIVATE].attrs) if PRIVATE in file else {}
    columns = _columns(path, data)
    columns.require(("frame_ix", *POSITIONS), "DECODE table")
    unit = _lateral_unit(path, meta.get("xy_unit"), len(columns))
    given = pixel_um if unit == "nm" else pixel_um or None
    named = _named_pixel_um(path, meta.get("px_size"))
    pixel = pixel_size(path, named and math.sqrt(named[0] * named[1]), given, rows=len(columns)) or 1.0
    columns = columns.placed(POSITIONS, "frame_ix")
    if named and not math.isclose(*named, rel_tol=1e-3):
        columns = replace(columns, notes=(*columns.notes, _not_square(path, named, pixel, unit)))
    x, y = (named or (pixel, pixel)) if unit == "px" else (1e-3, 1e-3)
    table = _table(columns, (x, y, 1e-3), private.get("sigma_source"))
    if {"frames", "shape"} <= private.keys():
        height, width = private["shape"]
        shape = int(height), int(width)
        return table, TableHeader(pixel, int(private["frames"]), shape, notes=columns.notes)
    return table, TableHeader.around(table, pixel, columns.notes)


def _lateral_unit(path: Path, named: Any, rows: int) -> str:
    """``nm`` or ``px``; of a table without rows, either."""
    unit = "" if named is None or not hasattr(named, "__len__") else text(named)
    if unit in ("nm", "px"):
        return unit
    if not rows:
        return "nm"
    what = (
        f"x and y are in '{unit}'" if unit else "the file does not say whether x and y are in nm or in pixels"
    )
    raise InputError(
        f"{path}: {what} (attribute xy_unit of the group meta)",
        "write the table again in DECODE with xy_unit "
        "'nm' or 'px', or add that attribute: python -c \"import h5py; "
        f"h5py.File('{path.name}', 'r+')['meta'].attrs['xy_unit'] = 'px'\"",
    )


def _not_square(path: Path, named: tuple[float, float], pixel_um: float, unit: str) -> str:
    x, y = (1000 * each for each in named)
    done = "positions and σ were converted axis by axis" if unit == "px" else "positions in nm are as they were"
    return (
        f"{path.name}: pixels of {x:.4g} nm in x and {y:.4g} nm in y are not square; {done}, and where one "
        f"size is asked for, their geometric mean stands: {1000 * pixel_um:.4g} nm"
    )


def _columns(path: Path, data: dict[str, Any]) -> Columns:
    """One column for each of the three positions and σ."""
    values: dict[str, NDArray[Any]] = {}
    for name, array in data.items():
        if not name.startswith("xyz"):
            values[name] = np.asarray(array)
        elif np.ndim(array) == 2 and np.shape(array)[1] == 3:
            values |= {f"{name}[:, {index}]": array[:, index] for index in range(3)}
        else:
            raise InputError(f"{path}: {name} has shape {np.shape(array)}, not (N, 3); the file is damaged")
    return Columns(path, values)


def _named_pixel_um(path: Path, px_size: Any) -> tuple[float, float] | None:
    """Width and height (our x and y) of the pixel of a file that names it."""
    sizes = np.ravel(np.asarray(px_size))
    if sizes.dtype.kind not in "fiu" or not len(sizes):
        return None
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InputError(f"{path}: a pixel of {' by '.join(f'{size:g}' for size in sizes)} nm cannot be")
    first, last = float(sizes[0]) / 1000, float(sizes[min(1, len(sizes) - 1)]) / 1000
    return last, first


def _table(columns: Columns, units: tuple[float, float, float], source: Any) -> Localizations:
    """units: one step of x, y and z, µm."""
    sigma = columns.sigmas(SIGMAS, unit_um=units)
    xyz = columns.positions(POSITIONS, unit_um=units)
    return Localizations(
        xyz=xyz,
        frame=columns.frames(first=0, name="frame_ix"),
        photons=columns.amount("phot"),
        background=columns.tensor("bg"),
        probability=columns.amount("prob", most=1.0),
        sigma_xyz=sigma,
        sigma_photons=columns.amount("phot_sig"),
        sigma_background=columns.amount("bg_sig"),
        fit_quality=torch.zeros(len(columns)),
        sigma_source=sigma_source(source, sigma, otherwise="network"),
        molecule=columns.tied_groups("id", xyz, sigma, first=0),
    )
