"""Why the widest patch of a simulated movie holds too little of a molecule's light, and what helps."""

from __future__ import annotations

from typing import Any

from .experiment import Experiment
from .light_patch import ENCIRCLED_ENERGY, light_at, patch_for_light

__all__ = ["why_light_is_lost"]

# A number is the cause where half of the missing light is on the patch with a better one.
_SHARE = 0.5


def why_light_is_lost(experiment: Experiment, source: Any, held: float, where: str = "") -> str:
    """The number that is the cause, with its remedy; "" where the patch holds enough, or all of a frame.

    experiment: of one channel or dye;  source: what its PSF is made from;  held: light on the widest patch
    (`patch_for_light`);  where: the channel or dye in the experiment's file, "channels.far", "" for the first.
    """
    if held >= ENCIRCLED_ENERGY:
        return ""
    better = held + _SHARE * (1 - held)
    low, high = experiment.z_um
    if experiment.psf.needs_mask:
        scope = experiment.microscope
        middle = round((low + high) / 2 * scope.n_immersion / scope.n_sample, 2)
        there = experiment.with_(microscope=scope.with_(focus=middle))
        if not low <= scope.focus <= high and patch_for_light(there, source)[1] >= better:
            return (
                f"{where or 'microscope'}.focus of {scope.focus:g} µm is out of focus for molecules at "
                f"{low:g} to {high:g} µm, whose images are wider than the patch: set it to about {middle:g} µm"
            )
        blur = experiment.blur_px[1]
        if light_at(experiment, source, blur_px=0.0) >= better:
            return (
                f"a blur of {blur:g} px (emitters.blur_px of the scenes, psf.blur_px) makes images wider than "
                "the patch: set it to about 1 px, it is in camera pixels"
            )
    if experiment.psf.widest_patch_px(experiment.microscope, source) >= 2 * max(experiment.frame_px) + 1:
        return ""
    return f"{experiment.psf.patch_limit} permits no larger patch{_remedy(experiment)}"


def _remedy(experiment: Experiment) -> str:
    samples = getattr(experiment.psf, "pupil_oversampling", None)
    return "" if samples is None or samples >= 8 else f": take psf.pupil_oversampling={samples + 1} or more"
