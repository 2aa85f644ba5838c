"""The pupil plane sampled on the mask's pixels: coordinates, support, defocus."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .microscope import Microscope

__all__ = ["Pupil", "fit_to_pupil", "mask_coordinates", "sample_pupil"]


@dataclass(frozen=True)
class Pupil:
    """Samples of the pupil on a square grid of K × K points of the mask plane, double precision.

    axis: (K,) µm from the optical axis (ξ along columns, η along rows);  support: (K, K) bool;
    amplitude: (K, K), 0 outside the support;  kz_sample, kz_immersion: (K, K) rad/µm, axial
    wavenumbers k cosθ in sample and immersion, 0 outside;  pitch: µm between points.
    """

    axis: Tensor
    support: Tensor
    amplitude: Tensor
    kz_sample: Tensor
    kz_immersion: Tensor
    pitch: float


def mask_coordinates(pixels: int, pitch: float) -> Tensor:
    """Centres of `pixels` mask pixels, µm from the optical axis: (i − (n − 1)/2)·pitch. Returns (n,)."""
    return (torch.arange(pixels, dtype=torch.float64) - (pixels - 1) / 2) * pitch


def sample_pupil(
    microscope: Microscope, mask_px: int, *, oversampling: int = 1, apodized: bool = False
) -> Pupil:
    """Sample the pupil on the part of a `mask_px`-wide mask that light reaches.

    Sine condition sinθ_i = (NA/n_i)·ρ and Snell's law n_s sinθ_s = n_i sinθ_i; the support is
    ρ < 1 and sinθ_s < 1 (no evanescent part: the scalar model). Amplitude 1, or the aplanatic
    cosθ_i^−½ where `apodized`. Each mask pixel is sampled `oversampling` times along each axis.
    Nehme et al. 2020, supplementary note on the imaging model.
    """
    need = _pixels_needed(microscope, mask_px)
    axis = mask_coordinates(need * oversampling, microscope.mask_pitch / oversampling)
    rho = torch.sqrt(axis[None, :] ** 2 + axis[:, None] ** 2) * 2 / microscope.pupil_diameter
    sin_immersion = microscope.na / microscope.n_immersion * rho
    sin_sample = microscope.na / microscope.n_sample * rho
    support = (rho < 1) & (sin_sample < 1)
    cos_immersion = torch.sqrt((1 - sin_immersion**2).clamp(min=0)) * support
    cos_sample = torch.sqrt((1 - sin_sample**2).clamp(min=0)) * support
    amplitude = support.double()
    if apodized:
        amplitude = torch.where(support, cos_immersion.clamp(min=1e-6) ** -0.5, 0.0)
    wavenumber = 2 * torch.pi / microscope.wavelength
    return Pupil(
        axis=axis,
        support=support,
        amplitude=amplitude,
        kz_sample=wavenumber * microscope.n_sample * cos_sample,
        kz_immersion=wavenumber * microscope.n_immersion * cos_immersion,
        pitch=microscope.mask_pitch / oversampling,
    )


def _pixels_needed(microscope: Microscope, mask_px: int) -> int:
    """Mask pixels along an axis that light reaches, with the parity of the mask (so that centres agree)."""
    need = microscope.mask_px
    return need if need % 2 == mask_px % 2 else need + 1


def fit_to_pupil(phase: Tensor, microscope: Microscope, *, oversampling: int = 1) -> Tensor:
    """The middle of a mask, cut to the pixels that light reaches, each repeated `oversampling` times.

    phase: (h, w) rad, h = w;  returns (K, K) rad. A mask pixel is a constant square, so repeating
    it is exact. Raises InputError where the mask is not square or does not cover the aperture.
    """
    height, width = phase.shape
    need = _pixels_needed(microscope, width)
    # One pixel less still covers every sample: the outermost ring of `need` is only a margin.
    if height != width or width < need - 2:
        size = microscope.aperture * microscope.pupil_diameter / 1000
        raise InputError(
            f"mask is {height}x{width} px, but light reaches a disc of {size:.2f} mm, "
            f"{need}x{need} px of {microscope.mask_pitch:g} µm; give a square mask of at least that size, "
            "or correct mask_pitch, focal_length or na"
        )
    if width < need:
        phase = torch.nn.functional.pad(phase, [1, 1, 1, 1])
        width += 2
    first = (width - need) // 2
    middle = phase[first : first + need, first : first + need]
    return middle.repeat_interleave(oversampling, 0).repeat_interleave(oversampling, 1)
