"""Axial profile of a spot of the standard PSF through the planes of a stack, from the image model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...optics.exact import ExactPSF
from ...optics.psf import on_axis
from ..movie_statistics.shot_noise import band_pass, filtered

__all__ = ["COARSE_PX", "FINE_PX", "band_passed", "best_focus", "profiles_of", "scan_images"]

# σ of the narrow Gaussian of the band-pass filter, px: a sharp spot of the standard PSF.
FINE_PX = 1.2
# σ of the wide Gaussian of the band-pass filter, px: the background around a spot.
COARSE_PX = 4.0


def best_focus(psf: ExactPSF, z: Tensor, focus: Tensor) -> tuple[Tensor, Tensor]:
    """For each depth the nominal focal plane at which a spot is brightest (band-passed), and its brightness.

    z: (D,) µm;  focus: (K,) µm, fine steps;  returns (D,) and (D, K).  Objective positions are not depths:
    refraction makes the sharpest z of a standard PSF about 0.7 to 0.8 of the movement of the objective.
    """
    table = _profiles(psf, z, focus)
    return focus[table.argmax(1)], table


def _profiles(psf: ExactPSF, z: Tensor, focus: Tensor) -> Tensor:
    """Filtered intensity at the middle of a spot of one photon, (D, K)."""
    return profiles_of(scan_images(psf, z, focus))


def profiles_of(images: Tensor) -> Tensor:
    """The same from images (D, K, h, w)."""
    kernel = band_pass(FINE_PX, COARSE_PX).to(images)
    middle = _middle(images.flatten(0, 1), kernel.shape[0])
    return (middle * kernel).sum((1, 2)).view(images.shape[:2])


def scan_images(psf: ExactPSF, z: Tensor, focus: Tensor) -> Tensor:
    """A spot of one photon in the middle of a pixel, for every depth and plane: (D, K, h, w)."""
    depth, plane = (grid.flatten() for grid in torch.meshgrid(z, focus, indexing="ij"))
    xyz = on_axis(depth)
    with torch.no_grad():
        return psf(xyz, focus_um=plane).values.unflatten(0, (len(z), len(focus)))


def _middle(values: Tensor, side: int) -> Tensor:
    """The central `side` pixels of patches; smaller patches are padded with zeros."""
    missing = (side - values.shape[-1]) // 2
    if missing > 0:
        return functional.pad(values, (missing,) * 4)
    return values[:, -missing : values.shape[1] + missing, -missing : values.shape[2] + missing]


def band_passed(planes: Tensor) -> Tensor:
    """Planes band-passed, of their own size; near the edge the planes are continued by their edge pixels."""
    kernel = band_pass(FINE_PX, COARSE_PX).to(planes)
    reach = kernel.shape[0] // 2
    wide = functional.pad(planes[:, None], (reach,) * 4, mode="replicate")[:, 0]
    cut = 2 * reach
    return filtered(wide, kernel)[:, cut:-cut, cut:-cut]
