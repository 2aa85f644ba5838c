"""A PSF as a TIFF stack that ImageJ opens with its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ...psf_volume import PSFVolume

__all__ = ["read_stack", "write_stack"]

_NAME = "depth of the first plane (um)"


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
        resolution = tiff.pages[0].tags.get("XResolution")  # type: ignore[union-attr]
    if "spacing" not in said:
        raise InputError(f"{path} does not name the step between its planes (ImageJ: Image, Properties)")
    pixel = pixel_um
    if said.get("unit") == "micron" and resolution is not None:
        pixel = resolution.value[1] / resolution.value[0]
    if pixel is None:
        raise InputError(f"{path} does not name its camera pixel: give it with --pixel-nm")
    return PSFVolume(torch.from_numpy(values), pixel, float(said.get(_NAME, 0.0)), float(said["spacing"]))
