"""Depth and density in units of the microscope, in which samples under different microscopes are alike."""

from __future__ import annotations

import math

from ..optics.microscope import Microscope

__all__ = ["depth_waves", "patch_for_depth", "resolution_area"]

# Side of the patch on which the known masks were fitted, in λ/NA: for no depth, and more for each wave rms.
_SIDE_IN_FOCUS = 4.9
_SIDE_PER_WAVE = 5.4


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


def patch_for_depth(microscope: Microscope, depth_um: float) -> int:
    """Side of the patch, px, odd, that holds a molecule anywhere in a range of depths.

    As in the table of known masks: there it is 31, 45 and 75 px of 110 nm for 1, 2.2 and 4.8 µm.
    """
    side_um = math.sqrt(resolution_area(microscope)) * (
        _SIDE_IN_FOCUS + _SIDE_PER_WAVE * depth_waves(microscope, depth_um)
    )
    return 2 * round((side_um / microscope.pixel_um - 1) / 2) + 1
