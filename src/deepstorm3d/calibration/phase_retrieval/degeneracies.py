"""Degeneracies of a phase: piston, tilt and defocus, which images cannot separate from position and focus."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...optics.microscope import Microscope
from ...optics.pupil import mask_coordinates
from ...optics.zernike import zernike_basis
from ..beads.images import Moves

__all__ = ["aperture_of", "defocus_phase", "polynomials_of", "split_defocus", "without_tilt"]

# Highest Noll index that is reported: all polynomials to the sixth radial order.
_HIGHEST = 28


def aperture_of(microscope: Microscope, pixels: int) -> Tensor:
    """Mask pixels inside the aperture: (K, K) bool."""
    axis = mask_coordinates(pixels, microscope.mask_pitch)
    radius = microscope.aperture_radius
    return (axis.square()[:, None] + axis.square()).sqrt() < radius


def defocus_phase(microscope: Microscope, pixels: int, moves: Moves) -> Tensor:
    """Phase for a change of position by 1 µm, rad, (K, K), 0 outside the aperture.

    −k_i cosθ_i where the objective moves, k_s cosθ_s where the bead moves.
    """
    axis = mask_coordinates(pixels, microscope.mask_pitch)
    rho = (axis.square()[:, None] + axis.square()).sqrt() * 2 / microscope.pupil_diameter
    index = microscope.n_immersion if moves == "objective" else microscope.n_sample
    cosine = (1 - (microscope.na / index * rho).square()).clamp(min=0).sqrt()
    phase = 2 * math.pi * index / microscope.wavelength * cosine * aperture_of(microscope, pixels)
    return -phase if moves == "objective" else phase


def without_tilt(phase: Tensor, design: Tensor, microscope: Microscope) -> tuple[Tensor, Tensor]:
    """The phase without piston and tilt relative to the design, and the image shift of this tilt, (2,) µm.

    phase, design: (K, K) rad.  A phase aξ + bη over the mask moves the image by (a, b)·λf/(2πM).
    """
    inside = aperture_of(microscope, phase.shape[1])
    axis = mask_coordinates(phase.shape[1], microscope.mask_pitch)
    ones = torch.ones_like(phase)
    planes = torch.stack([ones, axis * ones, axis[:, None] * ones])
    fitted = _fit(planes, phase - design, inside)
    flat = torch.where(inside, phase - torch.einsum("k,khw->hw", fitted, planes), phase)
    scale = microscope.wavelength * microscope.focal_length / (2 * math.pi * microscope.magnification)
    return flat, (fitted[1:] * scale).float()


def split_defocus(phase: Tensor, design: Tensor, microscope: Microscope) -> tuple[Tensor, float]:
    """The phase without defocus relative to the design, and that defocus as a change of focus, µm.

    The original phase, and the returned one with a nominal focal plane larger by the returned change, give the
    same image.
    """
    inside = aperture_of(microscope, phase.shape[1])
    defocus = defocus_phase(microscope, phase.shape[1], "objective")
    fitted = _fit(torch.stack([torch.ones_like(phase), defocus]), phase - design, inside)
    without = phase - fitted[0] - fitted[1] * defocus
    return torch.where(inside, without, phase), float(fitted[1])


def polynomials_of(phase: Tensor, microscope: Microscope) -> dict[int, float]:
    """Zernike coefficients, rad rms, of Noll 4 … 28: least squares over the aperture."""
    inside = aperture_of(microscope, phase.shape[1])
    axis = mask_coordinates(phase.shape[1], microscope.mask_pitch)
    indices = list(range(1, _HIGHEST + 1))
    basis = zernike_basis(indices, axis, microscope.aperture_radius)
    fitted = _fit(basis, phase, inside).tolist()
    return dict(zip(indices[3:], fitted[3:], strict=True))


def _fit(terms: Tensor, phase: Tensor, inside: Tensor) -> Tensor:
    return torch.linalg.lstsq(terms[:, inside].mT, phase[inside][:, None]).solution[:, 0]
