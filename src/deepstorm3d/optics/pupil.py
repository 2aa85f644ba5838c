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
    amplitude: (K, K), 0 outside the support;  sin_immersion: (K, K) sinθ_i;  kz_sample, kz_immersion: (K, K)
    rad/µm, axial wavenumbers k cosθ in sample and immersion, 0 outside;  decay: (K, K) 1/µm, Im k_s cosθ_s of
    supercritical light;  pitch: µm between points;  radius: of the illuminated disc, as a fraction of the
    pupil's;  oversampling: samples for each mask pixel and axis.
    """

    axis: Tensor
    support: Tensor
    amplitude: Tensor
    sin_immersion: Tensor
    kz_sample: Tensor
    kz_immersion: Tensor
    decay: Tensor
    pitch: float
    radius: float
    oversampling: int


def mask_coordinates(pixels: int, pitch: float) -> Tensor:
    """Centres of `pixels` mask pixels, µm from the optical axis: (i − (n − 1)/2)·pitch. Returns (n,)."""
    return (torch.arange(pixels, dtype=torch.float64) - (pixels - 1) / 2) * pitch


def sample_pupil(
    microscope: Microscope,
    mask_px: int,
    *,
    oversampling: int = 1,
    apodized: bool = False,
    supercritical: bool = False,
) -> Pupil:
    """Sample the pupil on the illuminated part of a `mask_px`-wide mask.

    It uses the sine condition sinθ_i = (NA/n_i)·ρ and Snell's law n_s sinθ_s = n_i sinθ_i. The support is
    ρ < 1 and sinθ_s < 1 (without evanescent waves, as in the scalar model), or all of ρ < 1 if `supercritical`;
    then cosθ_s is imaginary near the edge and k_s cosθ_s a decay. The amplitude is 1, or the aplanatic
    cosθ_i^−½ if `apodized`. Each mask pixel is sampled `oversampling` times along each axis.
    Nehme et al. 2020, supplementary note on the imaging model.
    """
    radius = 1.0 if supercritical else microscope.aperture
    need = _pixels_needed(microscope, mask_px, radius)
    axis = mask_coordinates(need * oversampling, microscope.mask_pitch / oversampling)
    rho = torch.sqrt(axis[None, :] ** 2 + axis[:, None] ** 2) * 2 / microscope.pupil_diameter
    sin_immersion = microscope.na / microscope.n_immersion * rho
    sin_sample = microscope.na / microscope.n_sample * rho
    support = (rho < 1) & (sin_sample < 1) if not supercritical else rho < 1
    cos_immersion = torch.sqrt((1 - sin_immersion**2).clamp(min=0)) * support
    cos_sample = torch.sqrt((1 - sin_sample**2).clamp(min=0)) * support
    decay = torch.sqrt((sin_sample**2 - 1).clamp(min=0)) * support
    amplitude = support.double()
    if apodized:
        amplitude = torch.where(support, cos_immersion.clamp(min=1e-6) ** -0.5, 0.0)
    wavenumber = 2 * torch.pi / microscope.wavelength
    return Pupil(
        axis=axis,
        support=support,
        amplitude=amplitude,
        sin_immersion=sin_immersion,
        kz_sample=wavenumber * microscope.n_sample * cos_sample,
        kz_immersion=wavenumber * microscope.n_immersion * cos_immersion,
        decay=wavenumber * microscope.n_sample * decay,
        pitch=microscope.mask_pitch / oversampling,
        radius=radius,
        oversampling=oversampling,
    )


def _pixels_needed(microscope: Microscope, mask_px: int, radius: float) -> int:
    """Number of illuminated mask pixels along an axis, odd or even like the mask, so that centres agree."""
    need = microscope.mask_px_across(radius)
    return need if need % 2 == mask_px % 2 else need + 1


def fit_to_pupil(
    phase: Tensor, microscope: Microscope, *, oversampling: int = 1, radius: float | None = None
) -> Tensor:
    """The illuminated part of a mask, with each pixel repeated `oversampling` times.

    phase: (h, w) rad, h = w;  radius: of the illuminated disc, as a fraction of the pupil's (None: the
    aperture). A smaller mask that covers the aperture is padded with phase 0.  Returns (K, K) rad. A mask pixel
    is a constant square, so repeating it is exact. Raises InputError if the mask is not square or does not
    cover the aperture.
    """
    height, width = phase.shape
    least = _pixels_needed(microscope, width, microscope.aperture)
    # The outermost ring of `least` is only a margin, so a mask without it still covers every sample.
    if height != width or width < least - 2:
        size = 2 * microscope.aperture_radius / 1000
        raise InputError(
            f"mask is {height}x{width} px, but light reaches a disc of {size:.2f} mm, "
            f"{least}x{least} px of {microscope.mask_pitch:g} µm; give a square mask of at least that size, "
            "or correct mask_pitch, focal_length or na"
        )
    need = least if radius is None else _pixels_needed(microscope, width, radius)
    if width < need:
        edge = (need - width) // 2
        phase = torch.nn.functional.pad(phase, [edge] * 4)
        width = need
    first = (width - need) // 2
    middle = phase[first : first + need, first : first + need]
    return middle.repeat_interleave(oversampling, 0).repeat_interleave(oversampling, 1)
