"""How large a patch must be to hold nearly all light of a molecule, at every depth of an experiment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..optics.psf import Images, on_axis
from .experiment import Experiment

__all__ = ["ENCIRCLED_ENERGY", "LIGHT_OF_BOUNDS", "light_at", "patch_for_light"]

ENCIRCLED_ENERGY = 0.95
"""Fraction of a molecule's light that the patch of a simulated movie holds, at every depth, where it can."""

LIGHT_OF_BOUNDS = 0.98
"""The same for bounds: of 95 % of the light that of z is up to 3 % larger than on the widest patch."""

# Depths at which the light is looked at.
_DEPTHS = 9


def patch_for_light(experiment: Experiment, source: Any, light: float = ENCIRCLED_ENERGY) -> tuple[int, float]:
    """Side of the smallest patch that holds a fraction of the light at every depth, and the fraction it holds.

    No smaller than the experiment's patch, no larger than the image period of the mask's pixels permits
    (half of it), than measured planes are, or than a molecule anywhere in the frame needs: the largest is given
    where none suffices.
    """
    values = _planes(experiment, source, experiment.blur_px[1])
    largest = values.shape[-1]
    held = 0.0
    for side in range(experiment.psf.patch_px, largest + 1, 2):
        cut = (largest - side) // 2
        held = float(values[:, cut : largest - cut, cut : largest - cut].sum((1, 2)).min())
        if held >= light:
            return side, held
    return largest, held


def light_at(experiment: Experiment, source: Any, *, blur_px: float) -> float:
    """Least fraction of the light over the depths that the widest patch holds at this blur."""
    return float(_planes(experiment, source, blur_px).sum((1, 2)).min())


def _planes(experiment: Experiment, source: Any, blur_px: float) -> Tensor:
    """Images (depths, side, side) of a molecule on the widest patch."""
    z = torch.linspace(*experiment.z_um, _DEPTHS)
    with torch.no_grad():
        return _widest(experiment, source)(on_axis(z), torch.full_like(z, blur_px)).values


def _widest(experiment: Experiment, source: Any) -> Images:
    """The PSF on the largest patch that may be tabulated, at least the experiment's own."""
    useful = min(2 * max(experiment.frame_px) + 1, 501)
    largest = max(
        experiment.psf.patch_px, min(experiment.psf.widest_patch_px(experiment.microscope, source), useful)
    )
    return experiment.psf.images(experiment.microscope, source, patch_px=largest, blur_px=experiment.blur_px)
