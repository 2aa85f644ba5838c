"""The light of a dipole in the pupil of the objective: refraction at the coverslip, polarization."""

from __future__ import annotations

import torch
from torch import Tensor

from .microscope import Microscope
from .pupil import Pupil

__all__ = ["dipole_fields", "fresnel_transmission"]


def fresnel_transmission(microscope: Microscope, sin_immersion: Tensor) -> tuple[Tensor, Tensor]:
    """Complex amplitude transmission of a dipole's wave through the coverslip, for s and p polarization.

    sin_immersion: sinθ_i, any shape.  τ_s = 2 n_i cosθ_i/(n_i cosθ_i + n_s cosθ_s) and
    τ_p = 2 n_i cosθ_i/(n_i cosθ_s + n_s cosθ_i). They are the Fresnel coefficients t_s, t_p from sample to
    immersion times n_i cosθ_i/(n_s cosθ_s), the change of the density of rays by refraction. By reciprocity
    they equal the transmission of a wave from the immersion. Beyond the critical angle cosθ_s is imaginary.
    Without an interface both are 1. (Born & Wolf, sec. 1.5; Axelrod 2012.)
    """
    cos_sample, cos_immersion = _cosines(microscope, sin_immersion)
    n_s, n_i = microscope.n_sample, microscope.n_immersion
    s = 2 * n_i * cos_immersion / (n_i * cos_immersion + n_s * cos_sample)
    p = 2 * n_i * cos_immersion / (n_i * cos_sample + n_s * cos_immersion)
    return s, p


def dipole_fields(microscope: Microscope, pupil: Pupil) -> Tensor:
    """Fields of unit dipoles along x, y and z at the coverslip: (3, 2, K, K) complex, second E_x and E_y.

    At the azimuth φ of the pupil, the component of a dipole along (cosθ_s cosφ, cosθ_s sinφ, −sinθ_s) gives the
    radial polarization behind the objective, and its component along (−sinφ, cosφ, 0) the azimuthal one.
    Each is multiplied by its transmission (`fresnel_transmission`) and the factor cosθ_i^−½ of the sine
    condition. The minus sign belongs to our orientation of the mask plane: light emitted toward +x arrives at
    −ξ. Axelrod 2012; Novotny & Hecht, Principles of Nano-Optics, ch. 3 and 10.
    """
    sin_immersion = torch.where(pupil.support, pupil.sin_immersion, 0.0)
    tau_s, tau_p = fresnel_transmission(microscope, sin_immersion)
    cos_sample, cos_immersion = _cosines(microscope, sin_immersion)
    sin_sample = sin_immersion * microscope.n_immersion / microscope.n_sample
    radius = torch.sqrt(pupil.axis[None, :] ** 2 + pupil.axis[:, None] ** 2).clamp(min=1e-12)
    cos_azimuth, sin_azimuth = pupil.axis[None, :] / radius, pupil.axis[:, None] / radius
    # On the axis the azimuth is undefined; any value is correct, because s and p are equal there.
    cos_azimuth = torch.where(radius > 1e-9, cos_azimuth, 1.0)
    along_p = torch.stack([cos_sample * cos_azimuth, cos_sample * sin_azimuth, -sin_sample + 0j])
    along_s = torch.stack([-sin_azimuth, cos_azimuth, torch.zeros_like(radius)])
    outwards = torch.stack([cos_azimuth, sin_azimuth])
    around = torch.stack([-sin_azimuth, cos_azimuth])
    fields = (tau_p * along_p)[:, None] * outwards + (tau_s * along_s)[:, None] * around
    return torch.where(pupil.support, fields / cos_immersion.real.sqrt(), 0.0)


def _cosines(microscope: Microscope, sin_immersion: Tensor) -> tuple[Tensor, Tensor]:
    """cosθ in sample and immersion, complex; the sign of the root gives waves that decay with distance."""
    sin_sample = sin_immersion * microscope.n_immersion / microscope.n_sample
    return torch.sqrt(1 - sin_sample**2 + 0j), torch.sqrt(1 - sin_immersion**2 + 0j)
