"""The fit that follows, or replaces, the network, built from an experiment."""

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
"""Source of the candidates: the network; matching pursuit from an empty list; single-emitter fits."""

# Side of the patch during the search, px: the tails of a spot take time and contain little information.
_CORE_PX = 61
_BEYOND_UM = 0.2  # distance to which molecules are fitted beyond the depth range, µm
_SAME_BLUR_PX = 0.1  # range of blurs in the experiment below which blur is not fitted, px
_DIM_QUANTILE = 0.01  # quantile of the experiment's photons that stands for its dimmest molecules
_DIM_FACTOR = 0.5  # molecules dimmer than this fraction of that quantile are improbable
# The highest density in a frame is the larger of two limits: _DENSER times that of the experiment's densest
# frames, and one molecule for each _VALUES_EACH independent values of the image.
_DENSER = 2.0
_VALUES_EACH = 40  # eight for each of a molecule's five unknowns
_PURSUIT_ROUNDS = 20  # rounds of adding molecules to an empty list, more than after a network


def build_fit(
    experiment: Experiment, source: Any, method: Method, device: torch.device
) -> JointFit | SingleFit:
    """Build the fit for a method, with tables of the experiment's PSF on a device.

    source: mask or planes from which the PSF is computed (`psf_source`);

    Raises InputError if mask, planes or patch do not fit the microscope.
    """
    low, high = experiment.z_um
    # Below the coverslip too: molecules on it scatter to both sides, and a wrong focus shifts all depths.
    first, last = experiment.psf.depths_um(source)
    z_um = (max(low - _BEYOND_UM, first), min(high + _BEYOND_UM, last))
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
        most_per_um2=highest_density(experiment),
        rounds=_PURSUIT_ROUNDS if method == "pursuit" else JointFit.rounds,
    )


def highest_density(experiment: Experiment) -> float:
    """Highest plausible density in a frame of this experiment, molecules/µm².

    An image formed with numerical aperture NA has π·(2·NA/λ)² independent values per unit area (Goodman,
    Introduction to Fourier Optics, sec. 6), but not more than pixels.
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
        float(scene.emitters.photons_in_frame(4000, generator).quantile(_DIM_QUANTILE))
        for scene in experiment.scenes.values()
    ]
    return _DIM_FACTOR * min(dimmest)
