"""The experiment that a measured PSF makes of the one that its beads were looked at with."""

from __future__ import annotations

import math
from pathlib import Path

from ...errors import InputError
from ...experiment.experiment import Experiment
from ...optics.measured import MeasuredPSFSpec, widest_patch_px
from ...psf_volume import PSFVolume
from ...simulation.priors import EmitterPrior

__all__ = ["measured_experiment"]

_LEAST_PATCH_PX = 11


def measured_experiment(experiment: Experiment, planes: PSFVolume, file: Path) -> tuple[Experiment, list[str]]:
    """The experiment with the planes as its PSF, and what else had to change.

    planes: as read from `file`.  The patch becomes as narrow as the planes ask for; depths that the planes lack
    and blurs below what they hold are taken off the scenes.
    Raises InputError where the planes are too narrow for a patch.
    """
    widest = widest_patch_px(planes)
    side = planes.values.shape[2]
    if widest < _LEAST_PATCH_PX:
        raise InputError(
            f"planes of {side} px leave a patch of {widest} px, an experiment needs {_LEAST_PATCH_PX}",
            f"measure with images of {_LEAST_PATCH_PX + side - widest} px or more (`side_px`)",
        )
    optics = experiment.psf.to_kind(
        MeasuredPSFSpec,
        patch_px=min(widest, experiment.psf.patch_px),
        path=str(file),
        sha256=planes.sha256,
    )
    scenes, notes = {}, []
    for name, scene in experiment.scenes.items():
        prior, told = _within(scene.emitters, planes, optics.blur_px)
        scenes[name] = scene.with_(emitters=prior)
        notes += [f"scenes.{name}.emitters.{sentence}" for sentence in told]
    return experiment.with_(psf=optics, scenes=scenes), notes


def _within(prior: EmitterPrior, planes: PSFVolume, own_px: float) -> tuple[EmitterPrior, list[str]]:
    """The prior inside what planes can draw, and what changed of it."""
    # Rounded inwards, to whole nm.
    first, last = math.ceil(1000 * planes.range_um[0]) / 1000, math.floor(1000 * planes.range_um[1]) / 1000
    (low, high), blur = prior.z_um, prior.blur_px
    z = (max(low, first), min(high, last))
    if z[0] >= z[1]:
        z = (first, last)
    told = []
    if z != (low, high):
        told.append(f"z_um is {z[0]:g} to {z[1]:g} µm now, the depths measured (it was {low:g} to {high:g})")
    if blur is not None and blur[0] < own_px:
        sharpest = (own_px, max(own_px, blur[1]))
        told.append(f"blur_px begins at {own_px:g} px now, which the planes hold (it was {blur[0]:g})")
        blur = sharpest
    return prior.with_(z_um=z, blur_px=blur), told
