"""Which fit follows, or stands in for, the network: made from an experiment."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from ..experiment.experiment import Experiment
from ..field import Field
from ..fitting.joint import JointFit
from ..fitting.refine import Bounds
from ..fitting.single import SingleFit

__all__ = ["Method", "build_fit", "highest_density"]

Method = Literal["network", "pursuit", "mle"]
"""Who proposes molecules: the network; matching pursuit from an empty list; single-emitter fits."""

# The search looks at the middle of a spot: its tails cost time and tell little.
_CORE_PX = 61
# A molecule at the end of the depth range may be fitted a little beyond it: µm.
_BEYOND_UM = 0.2
# Blurs that differ less than this over the experiment need no unknown of their own: px.
_SAME_BLUR_PX = 0.1
# Molecules dimmer than half of the dimmest percent of the experiment's are improbable.
_DIM_QUANTILE, _DIM_FACTOR = 0.01, 0.5
# A frame holds at most so many times the density of the experiment's densest frames, or what leaves each
# molecule so many independent values of the image (eight for each of its five unknowns), whichever is more.
_DENSER, _VALUES_EACH = 2.0, 40
# Pursuit starts from nothing: it needs more rounds than the completion of a network's list.
_PURSUIT_ROUNDS = 20


def build_fit(
    experiment: Experiment, source: Any, method: Method, device: str, *, likely: float = 0.0
) -> JointFit | SingleFit:
    """The fit for a method, with tables of the experiment's PSF on a device.

    source: what the PSF is made from (`psf_source`);
    likely: probability from which a network's proposal belongs to the first start (`JointFit`).

    Raises InputError where mask, planes or patch do not fit the microscope.
    """
    low, high = experiment.z_um
    # Below the coverslip there is nothing.
    first, last = experiment.psf.depths_um(source)
    z_um = (max(low - _BEYOND_UM, min(low, 0.0), first), min(high + _BEYOND_UM, last))
    blur = (max(0.9 * experiment.blur_px[0], experiment.psf.least_blur_px), 1.1 * experiment.blur_px[1])
    fit_blur = experiment.blur_px[1] - experiment.blur_px[0] > _SAME_BLUR_PX and method != "mle"
    if not fit_blur:
        middle = sum(experiment.blur_px) / 2
        blur = (middle, middle)
    spec = experiment.psf
    core = (
        spec.with_(patch_px=min(_CORE_PX, spec.patch_px))
        .tabulate(experiment.microscope, source, z_um, blur)
        .to(device)
    )
    bounds = Bounds(z_um, blur_px=blur)
    if method == "mle":
        return SingleFit(core, bounds, experiment.z_um)
    whole = core
    if spec.patch_px > _CORE_PX:
        whole = spec.tabulate(experiment.microscope, source, z_um, blur).to(device)
    return JointFit(
        core,
        whole,
        bounds,
        experiment.z_um,
        fit_blur=fit_blur,
        dim_photons=_dim_photons(experiment),
        likely=likely,
        most_per_um2=highest_density(experiment),
        rounds=_PURSUIT_ROUNDS if method == "pursuit" else JointFit.rounds,
    )


def highest_density(experiment: Experiment) -> float:
    """Molecules/µm² beyond which a frame is nothing that this experiment can give.

    An image passed by an aperture NA has π·(2·NA/λ)² independent values in a unit of area (Goodman,
    Introduction to Fourier Optics, sec. 6), and no more than pixels.
    """
    scope = experiment.microscope
    values = min(math.pi * (2 * scope.na / scope.wavelength) ** 2, scope.pixel_um**-2)
    field = Field(*experiment.frame_px, scope.pixel_um)
    densest = max(scene.emitters.highest_density(field) for scene in experiment.scenes.values())
    return max(_DENSER * densest, values / _VALUES_EACH)


def _dim_photons(experiment: Experiment) -> float:
    """Photons below which a molecule is improbable in every scene of the experiment."""
    generator = torch.Generator().manual_seed(0)
    dimmest = [
        float(scene.emitters.photons.draw(4000, generator).quantile(_DIM_QUANTILE))
        for scene in experiment.scenes.values()
    ]
    return _DIM_FACTOR * min(dimmest)
