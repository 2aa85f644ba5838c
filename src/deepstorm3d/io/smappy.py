"""smappy HDF5 tables: one dataset per column, nm from the centre of the first pixel, frames from 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..emitters import Localizations
from ..errors import InputError
from .header import TableHeader
from .parts import reserve_space

__all__ = ["read_smappy", "write_smappy"]


def write_smappy(path: Path, table: Localizations, header: TableHeader) -> None:
    """Write the whole table at once; σ become x_err_nm and so on, prob and fit_quality are extra columns."""
    import h5py

    nm, sigma = table.xyz.double().cpu().numpy() * 1000, table.sigma_xyz.double().cpu().numpy() * 1000
    columns: dict[str, NDArray[Any]] = {
        "frame": table.frame.cpu().numpy().astype(np.int64),
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
    metadata = {
        "camera": {"pixelsize_um": [header.pixel_um, header.pixel_um]},
        "deepstorm3d": {
            "version": __version__,
            "frames": header.frames,
            "shape": list(header.shape),
            "sigma_source": table.sigma_source,
        },
    }
    reserve_space(path, 8 * len(columns) * len(table) + 2**20)
    with h5py.File(path, "w") as file:
        group = file.create_group("locs")
        for name, values in columns.items():
            kind = np.int64 if name == "frame" else np.float32
            group.create_dataset(name, data=values.astype(kind), maxshape=(None,), chunks=(4096,))
        file.attrs.update(
            {"format": "smappy-localizations", "format_version": 1, "n_localizations": len(table)}
        )
        file.attrs["metadata"] = json.dumps(metadata)


def read_smappy(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D smappy table (columns it lacks are 0, its probability 1).

    pixel_um: used where the file does not name its pixel size.  Raises InputError for missing columns.
    """
    import h5py

    with h5py.File(path, "r") as file:
        group: Any = file["locs"]
        columns = {name: np.asarray(group[name][()]) for name in group if isinstance(group[name], h5py.Dataset)}
        metadata = json.loads(str(file.attrs.get("metadata", "{}")) or "{}")
    missing = [name for name in ("frame", "x_nm", "y_nm", "z_nm") if name not in columns]
    if missing:
        raise InputError(f"{path}: the smappy table has no column {', '.join(missing)}; a 3D table is needed")

    def column(name: str, otherwise: float = 0.0) -> NDArray[Any]:
        values = columns.get(name, np.full(len(columns["frame"]), otherwise))
        return np.nan_to_num(values.astype(np.float64), nan=otherwise, posinf=otherwise, neginf=otherwise)

    def tensor(values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32))

    ours = metadata.get("deepstorm3d", {})
    sigma = np.stack([column(f"{axis}_err_nm") for axis in "xyz"], axis=1) / 1000
    table = Localizations(
        xyz=tensor(np.stack([column(f"{axis}_nm") for axis in "xyz"], axis=1) / 1000),
        frame=torch.from_numpy(columns["frame"].astype(np.int64)),
        photons=tensor(column("photons")),
        background=tensor(column("background")),
        probability=tensor(column("prob", 1.0)),
        sigma_xyz=tensor(sigma),
        sigma_photons=tensor(column("photons_err")),
        sigma_background=tensor(column("background_err")),
        fit_quality=tensor(column("fit_quality")),
        sigma_source=ours.get("sigma_source", "fit" if sigma.any() else "none"),
    )
    pixel = np.ravel(metadata.get("camera", {}).get("pixelsize_um") or pixel_um or 1.0)[0]
    if "shape" in ours:
        height, width = ours["shape"]
        return table, TableHeader(float(pixel), int(ours["frames"]), (int(height), int(width)))
    return table, TableHeader.around(table, float(pixel))
