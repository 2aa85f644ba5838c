"""smappy HDF5 tables: one dataset per column, nm from the centre of the first pixel, frames from 0.

x is the column, y the row; z in nm with our sign. σ are ``x_err_nm`` and so on; ``prob`` and ``fit_quality``
are columns of ours. ``n_in_group`` (smappy's name) is the frames joined into a row of a linked list. In a list
of single frames ``group_id``, from 1, says which rows are one molecule, ``n_in_group`` how many these are; they
are read as SMAP's (`smap`). The pixel, the number of frames and the shape stand in the JSON attribute
``metadata``; the provenance is lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...emitters import Localizations
from ...errors import InputError
from ..parts import reserve_space
from .columns import FRACTIONS, NM, Columns, pixel_size, rows_of_each, sigma_source
from .hdf5 import opened, reading, text
from .header import TableHeader

__all__ = ["is_smappy", "read_smappy", "write_smappy"]

POSITIONS = ("x_nm", "y_nm", "z_nm")
FIRST_GROUP = 1
"""Number of the first group of rows."""
WHOLE_NUMBERS = ("frame", "n_in_group", "group_id", "track", "dye")


def write_smappy(path: Path, table: Localizations, header: TableHeader) -> None:
    """Write the whole table at once."""
    nm, sigma = table.xyz.double().cpu().numpy() * 1000, table.sigma_xyz.double().cpu().numpy() * 1000
    columns: dict[str, NDArray[Any]] = {
        "frame": table.frame.cpu().numpy(),
        **{f"{axis}_nm": nm[:, index] for index, axis in enumerate("xyz")},
        **{f"{axis}_err_nm": sigma[:, index] for index, axis in enumerate("xyz")},
        "xy_err_nm": np.sqrt((sigma[:, 0] ** 2 + sigma[:, 1] ** 2) / 2),
        "photons": table.photons.cpu().numpy(),
        "background": table.background.cpu().numpy(),
        "prob": table.probability.cpu().numpy(),
        "photons_err": table.sigma_photons.cpu().numpy(),
        "background_err": table.sigma_background.cpu().numpy(),
        "fit_quality": table.fit_quality.cpu().numpy(),
    }
    if table.detections is not None:
        columns["n_in_group"] = table.detections.cpu().numpy()
    if table.molecule is not None:
        columns["group_id"] = table.molecule.cpu().numpy() + FIRST_GROUP
        if table.detections is None:
            columns["n_in_group"] = rows_of_each(table.molecule)
    if table.track is not None:
        columns["track"] = table.track.cpu().numpy()
    for name in ("dye", *FRACTIONS):
        if (values := getattr(table, name)) is not None:
            columns[name] = values.cpu().numpy()
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise ValueError(f"column {name} has NaN or infinite values")
    ours = {
        "version": __version__,
        "frames": header.frames,
        "shape": list(header.shape),
        "sigma_source": table.sigma_source,
    }
    metadata = {"camera": {"pixelsize_um": header.pixel_um}, "deepstorm3d": ours}
    reserve_space(path, 8 * len(columns) * len(table) + 2**20)
    with opened(path, "w") as file:
        group = file.create_group("locs")
        for name, values in columns.items():
            kind = np.int64 if name in WHOLE_NUMBERS else np.float32
            group.create_dataset(name, data=values.astype(kind), maxshape=(None,), chunks=(4096,))
        file.attrs.update(
            {"format": "smappy-localizations", "format_version": 1, "n_localizations": len(table)}
        )
        file.attrs["metadata"] = json.dumps(metadata)


def is_smappy(path: Path) -> bool:
    """Whether an HDF5 file has smappy's group of columns."""
    import h5py

    with reading(path) as file:
        return isinstance(file.get("locs"), h5py.Group)


def read_smappy(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D smappy table (columns it lacks are 0).

    pixel_um: used where the file does not name its pixel size.
    Raises InputError for missing columns or an unknown pixel size.
    """
    import h5py

    with reading(path) as file:
        group = file["locs"]
        values = {name: group[name][()] for name in group if isinstance(group[name], h5py.Dataset)}
        described = text(file.attrs.get("metadata", "{}")) or "{}"
    # smappy writes a table without rows without columns, too.
    columns = Columns(path, values or {name: np.zeros(0) for name in ("frame", *POSITIONS)})
    columns.require(("frame", *POSITIONS), "smappy table")
    columns = columns.placed(POSITIONS)
    camera, ours = _description(path, described)
    named = np.ravel(np.asarray(camera.get("pixelsize_um"), dtype=np.float64))[0]
    pixel = pixel_size(path, None if np.isnan(named) else float(named), pixel_um, rows=len(columns))
    sigma = columns.sigmas([(f"{axis}_err_nm",) for axis in "xyz"], unit_um=NM)
    xyz = columns.positions(POSITIONS, unit_um=NM)
    grouped = columns.grouped("group_id", first=FIRST_GROUP)
    table = Localizations(
        xyz=xyz,
        frame=columns.frames(first=0),
        photons=columns.amount("photons"),
        background=columns.tensor("background"),
        probability=columns.amount("prob", most=1.0),
        sigma_xyz=sigma,
        sigma_photons=columns.amount("photons_err"),
        sigma_background=columns.amount("background_err"),
        fit_quality=columns.amount("fit_quality"),
        sigma_source=sigma_source(ours.get("sigma_source"), sigma),
        detections=None if grouped else columns.detections("n_in_group"),
        track=columns.tracks("track"),
        molecule=columns.tied_groups("group_id", xyz, sigma, first=FIRST_GROUP),
        **columns.of_channels(),
    )
    if "shape" in ours:
        height, width = ours["shape"]
        shape = int(height), int(width)
        return table, TableHeader(pixel, int(ours["frames"]), shape, notes=columns.notes)
    return table, TableHeader.around(table, pixel or 1.0, columns.notes)


def _description(path: Path, described: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the metadata say of the camera, and what we have added to them."""
    try:
        metadata = json.loads(described)
        return dict(metadata.get("camera") or {}), dict(metadata.get("deepstorm3d") or {})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: its description is damaged ({error})") from error
