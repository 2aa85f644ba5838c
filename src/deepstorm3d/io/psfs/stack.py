"""A PSF as a TIFF stack that ImageJ opens with its voxels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError, MissingPixelSize
from ...psf_volume import PSFVolume
from ..movies.pixel_size import believable_um
from ..movies.tiff_layout import pixel_um_of
from ..tiff_images import explained_tiff

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

    with explained_tiff(path), tifffile.TiffFile(path) as tiff:
        said = tiff.imagej_metadata or {}
        values = tiff.asarray().astype(np.float32)
        sides = pixel_um_of(tiff) if "unit" in said else (None, None)
    whole = len(values) if values.ndim == 3 else 1
    planes = said.get("images", whole)
    if planes != whole:
        raise InputError(f"{path}: truncated: {whole} of {planes} planes can be read", "copy it again")
    step_um = _step_um(path, said)
    return PSFVolume(
        torch.from_numpy(values), _pixel_um(path, sides, pixel_um), float(said.get(_NAME, 0.0)), step_um
    )


def _step_um(path: Path, said: Mapping[str, Any]) -> float:
    """From plane to plane, in the stack's unit: µm where it names none."""
    if "spacing" not in said:
        raise InputError(f"{path} does not name the step between its planes (ImageJ: Image, Properties)")
    spacing, unit = said["spacing"], str(said.get("unit", "micron"))
    step = believable_um(spacing, unit) if isinstance(spacing, int | float) else None
    if step is None:
        raise InputError(
            f"{path} says its planes are {spacing} {unit} apart, which is no step of a PSF",
            "correct the voxel depth and its unit (ImageJ: Image, Properties)",
        )
    return step


def _pixel_um(path: Path, sides: tuple[float | None, float | None], given: float | None) -> float:
    """The camera pixel: as the stack says, else as given."""
    width, height = sides
    if width is not None and height is not None and abs(height / width - 1) > _SQUARE:
        raise InputError(
            f"{path} says its pixels are {1000 * width:.1f} nm wide and {1000 * height:.1f} nm high: "
            "a PSF has the camera's square ones",
            "correct what is wrong (ImageJ: Image, Properties)",
        )
    pixel = width if width is not None else given
    if pixel is None:
        raise MissingPixelSize(f"{path} does not name its camera pixel", "give it (`pixel_um`)")
    return pixel
