"""Planes of a PSF, and the spline through planes as a PSF."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..psf_volume import PSFVolume
from .psf import Images, Patches, patch_corner
from .tabulated import TabulatedPSF

__all__ = ["sample_volume", "spline_psf"]


class _OnPlanes:
    """Draws molecules on pixel centres by the plane nearest to their depth: what a table asks for."""

    def __init__(self, volume: PSFVolume) -> None:
        self.volume = volume

    @property
    def pixel_um(self) -> float:
        return self.volume.pixel_um

    @property
    def patch_px(self) -> int:
        return self.volume.values.shape[2]

    def __call__(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        corner, _ = patch_corner(xyz, self.pixel_um, self.patch_px)
        plane = ((xyz[:, 2] - self.volume.z_um) / self.volume.step_um).round().long()
        values = self.volume.values.to(xyz)[plane.clamp(0, len(self.volume.values) - 1)]
        return Patches(values, corner, values.sum((1, 2)))


def spline_psf(volume: PSFVolume, blur_px: float = 1.0) -> TabulatedPSF:
    """The cubic spline through the planes, as every other PSF; its patch is `TabulatedPSF.margin_px` narrower.

    The blur is part of the planes: blur_px is what is told of it, and no other can be drawn.
    """
    # A step a little larger than the planes' own: the table then takes exactly these planes.
    step = volume.step_um * (1 + 1e-6)
    return TabulatedPSF(_OnPlanes(volume), volume.range_um, z_step=step, blur_range=(blur_px, blur_px))


@torch.no_grad()
def sample_volume(
    psf: Images, z_um: tuple[float, float], step_um: float, *, blur_px: float | None = None
) -> PSFVolume:
    """Planes of a PSF over a depth range, both ends included; the step is made to fit the range.

    blur_px: Gaussian σ; None: the PSF's own.  Raises InputError for a range without extent.
    """
    low, high = z_um
    if not (high > low and step_um > 0):
        raise InputError(f"a depth range of {low:g} to {high:g} µm in steps of {step_um:g} µm holds no planes")
    planes = max(4, math.ceil((high - low) / step_um - 1e-6) + 1)
    z = torch.linspace(low, high, planes, dtype=torch.float64)
    xyz = torch.nn.functional.pad(z[:, None], (2, 0))
    blur = None if blur_px is None else torch.full_like(z, blur_px)
    return PSFVolume(psf(xyz, blur).values.float(), psf.pixel_um, low, (high - low) / (planes - 1))
