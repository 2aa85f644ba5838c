"""smappy's spline calibration (.h5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError, MissingPixelSize
from ...psf_volume import PSFVolume
from .reference import z_reference
from .splines import knots_of, power_coefficients

__all__ = ["is_smappy", "read_smappy", "write_smappy"]

# Name of the format in the file.
_FORMAT = "smappy-spline-calibration"
# Order of the axes, and of the powers of z, y, x, in the file.
_ORDER = "64,z,y,x;16*pz+4*py+px"


def write_smappy(path: Path, psf: PSFVolume) -> None:
    """Write so that smappy's z is the depth less `z_reference`."""
    import h5py

    # Its z falls from plane to plane.
    values = psf.values.flip(0).double().cpu().numpy()
    powers = power_coefficients(values)
    coefficients = powers.reshape(*powers.shape[:3], 64).transpose(3, 0, 1, 2)
    said = {
        "program": "deepstorm3d",
        "pixelsize_um": psf.pixel_um,
        "depth_of_z_0_um": z_reference(psf),
        "photon_normalization": 1.0,
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(
            format=_FORMAT,
            version=1,
            coefficient_order=_ORDER,
            lateral_unit="pixel",
            axial_unit="nm",
            dz=1000 * psf.step_um,
            z0=(psf.range_um[1] - z_reference(psf)) / psf.step_um,
        )
        file.create_dataset("coeff", data=np.ascontiguousarray(coefficients, np.float32), compression="gzip")
        file.create_dataset("psf", data=values.astype(np.float32), compression="gzip")
        file.create_dataset("parameters_json", data=json.dumps(said))
        file.create_group("diagnostics")


def is_smappy(path: Path) -> bool:
    """Whether an HDF5 file is a calibration of smappy."""
    import h5py

    with h5py.File(path) as file:
        return file.attrs.get("format") == _FORMAT


def read_smappy(path: Path, pixel_um: float | None) -> PSFVolume:
    """The PSF of a calibration; depth 0 is its own z = 0 unless this program wrote it.

    pixel_um: where the file does not name the camera pixel.
    Raises InputError for another version of the format and an unknown pixel.
    """
    import h5py

    with h5py.File(path) as file:
        attributes: dict[str, Any] = dict(file.attrs)
        order = attributes.get("coefficient_order")
        if order != _ORDER:
            raise InputError(f"{path}: coefficients in the order '{order}' are unknown")
        stored = np.asarray(file["coeff"], np.float64)
        said = json.loads(np.asarray(file["parameters_json"]).item())
    step, zero = float(attributes["dz"]) / 1000, float(attributes["z0"])
    pixel = said.get("pixelsize_um", pixel_um)
    if pixel is None:
        raise MissingPixelSize(f"{path} does not name its camera pixel", "give it (`pixel_um`)")
    values = knots_of(stored.transpose(1, 2, 3, 0).reshape(*stored.shape[1:], 4, 4, 4))
    deepest = zero * step + float(said.get("depth_of_z_0_um", 0.0))
    first = deepest - step * stored.shape[1]
    return PSFVolume(torch.from_numpy(values[::-1].copy()).float(), float(pixel), first, step)
