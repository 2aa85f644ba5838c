"""SMAP's spline calibration (`_3dcal.mat`), which its followers read as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError, MissingPixelSize
from ...psf_volume import PSFVolume
from .reference import z_reference
from .splines import knots_of, power_coefficients

__all__ = ["read_smap", "write_smap"]


def write_smap(path: Path, psf: PSFVolume) -> None:
    """Write so that SMAP's z is the depth less `z_reference`."""
    from scipy.io import savemat

    # Its z falls from plane to plane; its first axis is the row, and the powers are told apart in that order.
    values = psf.values.flip(0).double().cpu().numpy()
    powers = power_coefficients(values)
    coefficients = powers.transpose(1, 2, 0, 3, 5, 4).reshape(*(powers.shape[axis] for axis in (1, 2, 0)), 64)
    cell = np.empty((1, 1), object)
    cell[0, 0] = coefficients.astype(np.float32)
    spline = {
        "coeff": cell,
        "dz": 1000 * psf.step_um,
        "z0": (psf.range_um[1] - z_reference(psf)) / psf.step_um,
        "x0": (psf.values.shape[2] + 1) / 2,
    }
    entry = {"cspline": spline, "PSF": values.transpose(1, 2, 0).astype(np.float32), "EMon": 0}
    settings = {
        "pixelsize": [psf.pixel_um, psf.pixel_um],
        "dz": 1000 * psf.step_um,
        "program": "deepstorm3d",
        "depth_of_z_0_um": z_reference(psf),
    }
    with path.open("wb") as file:
        savemat(file, {"SXY": entry, "parameters": settings}, do_compression=True)


def read_smap(path: Path, pixel_um: float | None) -> PSFVolume:
    """The PSF of a calibration of one channel and region; depth 0 is SMAP's z = 0 unless this program wrote it.

    pixel_um: where the file does not name the camera pixel.
    Raises InputError for a file of another kind, beads that were mirrored (EM gain), and an unknown pixel.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        held = loadmat(path, simplify_cells=True)
    except NotImplementedError as error:
        raise InputError(f"{path} is a MATLAB 7.3 file", "save it in MATLAB with -v7") from error
    except (MatReadError, ValueError, IndexError, OSError, TypeError) as error:
        raise InputError(f"{path} is no readable MATLAB file ({error})") from error
    entry: Any = held.get("SXY", held)
    if not isinstance(entry, dict) or "cspline" not in entry:
        raise InputError(
            f"{path} holds no 'cspline' of one channel and region: it is no 3D calibration read here"
        )
    if np.size(entry.get("EMon", 0)) and bool(np.any(entry.get("EMon", 0))):
        raise InputError(
            f"{path}: the beads were taken with EM gain and mirrored; such calibrations are not read"
        )
    spline, settings = entry["cspline"], held.get("parameters")
    settings = settings if isinstance(settings, dict) else {}
    stored = spline["coeff"]
    while isinstance(stored, np.ndarray) and stored.dtype == object:
        stored = stored.flat[0]
    stored = np.asarray(stored, np.float64)
    if stored.ndim != 4 or stored.shape[3] != 64:
        raise InputError(f"{path}: coefficients of shape {stored.shape}, expected (rows, columns, planes, 64)")
    powers = stored.reshape(*stored.shape[:3], 4, 4, 4).transpose(2, 0, 1, 3, 5, 4)
    named = np.ravel(settings.get("pixelsize", []))
    pixel = float(named[0]) if named.size else pixel_um
    if pixel is None:
        raise MissingPixelSize(f"{path} does not name its camera pixel", "give it (`pixel_um`)")
    step = float(spline["dz"]) / 1000
    deepest = float(spline["z0"]) * step + float(settings.get("depth_of_z_0_um", 0.0))
    values = knots_of(powers)[::-1].copy()
    return PSFVolume(torch.from_numpy(values).float(), pixel, deepest - step * powers.shape[0], step)
