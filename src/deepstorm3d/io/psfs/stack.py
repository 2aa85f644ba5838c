"""A PSF as a TIFF stack that ImageJ opens with its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...errors import InputError, MissingPixelSize
from ...psf_volume import PSFVolume

__all__ = ["read_stack", "write_stack"]

_NAME = "depth of the first plane (um)"
# Relative difference of width and height that is taken for rounding.
_SQUARE = 0.02


def write_stack(path: Path, psf: PSFVolume) -> None:
    """Planes from shallow to deep, float32 fractions of the light."""
    import tifffile

    per_um = 1 / psf.pixel_um
    tifffile.imwrite(
        path,
        psf.values.cpu().numpy().astype(np.float32),
        imagej=True,
        resolution=(per_um, per_um),
        metadata={"axes": "ZYX", "unit": "micron", "spacing": psf.step_um, _NAME: psf.z_um},
    )


def read_stack(path: Path, pixel_um: float | None) -> PSFVolume:
    """A stack as `write_stack` leaves it; pixel_um: where the file does not name the camera pixel.

    Raises InputError where the file is no such stack: it must name its step.
    """
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        said = tiff.imagej_metadata or {}
        values = tiff.asarray().astype(np.float32)
        sides = [tiff.pages[0].tags.get(name) for name in ("XResolution", "YResolution")]  # type: ignore[union-attr]
    if "spacing" not in said:
        raise InputError(f"{path} does not name the step between its planes (ImageJ: Image, Properties)")
    pixel = pixel_um
    stated = [side.value[1] / side.value[0] for side in sides if side is not None and side.value[0]]
    if said.get("unit") == "micron" and stated:
        pixel = stated[0]
        if abs(stated[-1] / pixel - 1) > _SQUARE:
            raise InputError(
                f"{path} says its pixels are {1000 * pixel:.1f} nm wide and {1000 * stated[-1]:.1f} nm high: "
                "a PSF has the camera's square ones",
                "correct what is wrong (ImageJ: Image, Properties)",
            )
    if pixel is None:
        raise MissingPixelSize(f"{path} does not name its camera pixel", "give it (`pixel_um`)")
    return PSFVolume(torch.from_numpy(values), pixel, float(said.get(_NAME, 0.0)), float(said["spacing"]))
