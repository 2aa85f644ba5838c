"""The PSF that uiPSF learned, from beads or from the blinking molecules of a movie (.h5); it is only read.

Liu et al., Nat. Methods 21:1082, 2024: planes (Z, Y, X) in the group ``res``, settings as JSON in ``params``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import InputError
from ...psf_volume import PSFVolume

__all__ = ["is_uipsf", "read_uipsf"]

# Sides of a pixel that differ by less are each within 0.5 % of their mean, as an experiment allows.
_SQUARE = 0.01


def is_uipsf(path: Path) -> bool:
    """Whether an HDF5 file is a result of uiPSF."""
    import h5py

    with h5py.File(path) as file:
        return "params" in file.attrs and isinstance(file.get("res"), h5py.Group)


def read_uipsf(path: Path) -> PSFVolume:
    """The PSF of single molecules in a result of one channel; of a field-dependent one, that of the mean pupil.

    From beads, depth 0 is the middle of the planes and depths are travel of the stage; learned in situ, depth 0
    is the coverslip. Rows and columns are those of the images that were learned from. The planes are scaled so
    that the fullest holds 1: in the file their scale is arbitrary, and photons make up for it.
    Raises InputError for several channels, 4Pi, a file without such planes, pixels that are not square, a
    molecule that lies between pixels, and planes without light.
    """
    import h5py

    with h5py.File(path) as file:
        settings: dict[str, Any] = json.loads(str(file.attrs["params"]))
        result = _only_channel(path, file["res"], settings)
        if "I_model" not in result:
            raise InputError(
                f"{path} has no planes 'I_model' in 'res' (only {', '.join(result)})",
                "learn one PSF for the whole field",
            )
        planes = np.real(np.asarray(result["I_model"])).astype(np.float64)
        in_situ = "stagepos" in result
        # Height of the first plane, in planes; files from before it was written begin at the coverslip.
        first = float(np.real(np.ravel(result["zoffset"])[0])) if "zoffset" in result else 0.0
    pixel, step = _voxel(path, settings)
    planes = _around_middle_pixel(path, planes, settings)
    if _transposed(settings):
        planes = planes.swapaxes(-1, -2)
    if not in_situ:
        # From plane to plane the stage came nearer to the objective: beads look like molecules less deep.
        planes, first = planes[::-1], -(len(planes) - 1) / 2
    most = float(planes.sum((-1, -2)).max())
    if most <= 0:
        raise InputError(
            f"{path}: the fullest plane sums to {most:.4g}, which is no light", "learn the PSF again"
        )
    return PSFVolume(torch.from_numpy((planes / most).astype(np.float32)), pixel, step * first, step)


def _only_channel(path: Path, result: Any, settings: dict[str, Any]) -> Any:
    """The group with what was learned of the one channel."""
    channels = sorted(name for name in result if name.startswith("channel"))
    if settings.get("channeltype") == "4pi" or any("A_model" in result[name] for name in channels):
        raise InputError(
            f"{path} is a 4Pi PSF of {len(channels)} channels, which changes with the phase of interference: "
            "only PSFs of one objective are read"
        )
    if len(channels) > 1:
        raise InputError(
            f"{path} holds {len(channels)} channels ({', '.join(channels)}), only one is read",
            "learn the PSF of the channel to localize in by itself (channeltype: single)",
        )
    return result[channels[0]] if channels else result


def _voxel(path: Path, settings: dict[str, Any]) -> tuple[float, float]:
    """Camera pixel and step, µm; older files name each size by itself."""
    sizes = settings.get("pixel_size") or {axis: settings[f"pixelsize_{axis}"] for axis in "xyz"}
    x, y, step = (float(sizes[axis]) for axis in "xyz")
    if abs(x - y) > _SQUARE * (x + y) / 2:
        raise InputError(
            f"{path}: pixels of {1000 * x:.2f} × {1000 * y:.2f} nm, only square ones are read",
            "correct pixel_size if the camera's are square, and learn the PSF again",
        )
    return (x + y) / 2, step


def _around_middle_pixel(
    path: Path, planes: NDArray[np.float64], settings: dict[str, Any]
) -> NDArray[np.float64]:
    """The planes with an odd side, the molecule on the middle pixel."""
    side = planes.shape[-1]
    if side % 2:
        return planes
    # Voxels lie as the beads' regions were cut out, the bead on the pixel after the middle; a molecule drawn
    # from a pupil lies in the middle itself, between four pixels.
    if settings.get("PSFtype") == "voxel":
        return planes[..., 1:, 1:]
    raise InputError(
        f"{path}: in planes of {side} px the molecule lies between pixels",
        f"learn the PSF with a roi_size of {side + 1} px",
    )


def _transposed(settings: dict[str, Any]) -> bool:
    """Whether rows of the planes are columns of the images that were learned from."""
    kind = settings.get("format")
    swapped = settings.get("swapxy", kind == ".tif" and settings.get("swaptif"))
    # MATLAB's first axis, the row, is the last one to whoever reads its files as HDF5.
    return bool(swapped) != (kind == ".mat")
