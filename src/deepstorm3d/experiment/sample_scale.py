"""Depth and density in units of the microscope, in which samples under different microscopes are alike."""

from __future__ import annotations

import math

from ..optics.microscope import Microscope

__all__ = ["depth_waves", "resolution_area"]


def depth_waves(microscope: Microscope, depth_um: float) -> float:
    """Defocus over a range of depths, waves rms over the aperture without its mean.

    Defocus by z has the phase k·n·z·sqrt(1 − c²u), with u the squared radius in the aperture, which is evenly
    distributed over 0 … 1, n the sample's refractive index and c = min(NA, n)/n.
    """
    c2 = (min(microscope.na, microscope.n_sample) / microscope.n_sample) ** 2
    mean = 2 / (3 * c2) * (1 - (1 - c2) ** 1.5)
    spread = math.sqrt(max(0.0, 1 - c2 / 2 - mean**2))
    return microscope.n_sample * spread * depth_um / microscope.wavelength


def resolution_area(microscope: Microscope) -> float:
    """The area (λ/NA)² in the sample, µm², with the numerical aperture of light that propagates in it."""
    return (microscope.wavelength / min(microscope.na, microscope.n_sample)) ** 2
