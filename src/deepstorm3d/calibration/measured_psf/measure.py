"""The PSF itself from stacks of beads: averaged, brought to even planes, without a model of the optics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...brief import Brief
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.optics import whole_mask
from ...io.movies import Movie
from ...optics.computed import build_psf, computed_psf
from ...optics.masks import PhaseMask
from ...psf_volume import PSFVolume
from ..beads.images import BeadImages, images_on_axis
from ..beads.reading import read_beads
from ..beads.settings import BLUR_OF_MOLECULES, BeadSettings
from ..beads.stacks import BeadPlace
from ..beads.stage_range import travel_for_depths
from .against_model import doubts_against_model
from .average import Averaged, average_beads
from .denoise import without_noise
from .depth_matching import depths_that_look_alike

__all__ = ["MeasuredPSF", "average_psf"]

_FEWEST_PLANES = 4


@dataclass(frozen=True, repr=False)
class MeasuredPSF(Brief):
    """What stacks of beads show of the PSF.

    volume: the PSF in planes of even depth;  places: of the beads;  averaged: how they agree;  warnings: in
    words;  notes: what changed in the experiment, besides its PSF, where one was written.
    """

    volume: PSFVolume = field(repr=False)
    places: tuple[BeadPlace, ...]
    averaged: Averaged = field(repr=False)
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def average_psf(experiment: Experiment, beads: Sequence[Path | Movie], settings: BeadSettings) -> MeasuredPSF:
    """Find beads, register and average them, and take off noise.

    experiment: its camera, its pixel, and the mask that beads are looked for with. Where the objective moved,
    the depth of each slice is that of a molecule that looks as a bead on the coverslip does there, as far as
    the experiment's mask tells (`depths_that_look_alike`): the spherical aberration that grows with depth is
    not in such a stack.
    Raises InputError where `read_beads` or `average_beads` does, and where stacks have other slices than the
    first.
    """
    design = whole_mask(experiment)
    stacks = read_beads(experiment, beads, settings, design)
    images = stacks.images
    position = _positions(images)
    averaged = average_beads(*_by_bead(images, len(position)), noise=images.likelihood.noise.averaged())
    depth = _depths(experiment, settings, position, design, images.side)
    volume = _evenly(averaged.values, depth, experiment.microscope.pixel_um)
    told = doubts_against_model(
        averaged.values,
        position,
        _own_images(experiment, settings, design, images.side),
        experiment.microscope.pixel_um,
    )
    warnings = (*stacks.warnings, *_odd(stacks.places, averaged), *told)
    return MeasuredPSF(volume, stacks.places, averaged, warnings)


def _own_images(
    experiment: Experiment, settings: BeadSettings, design: PhaseMask, side: int
) -> Callable[[Tensor], Tensor]:
    """Images of a bead by the set-up's own PSF, at positions (S,) of the stage."""
    psf = build_psf(computed_psf(experiment.psf).unaberrated, experiment.microscope, design, patch_px=side)
    depth_um = 0.0 if settings.moves == "depth" else settings.depth_um
    return lambda position: images_on_axis(psf, position.float(), settings.moves, depth_um, BLUR_OF_MOLECULES)


def _positions(images: BeadImages) -> Tensor:
    """Positions (S,) of the slices, the same for every bead."""
    position = images.position_um[images.bead == 0]
    for bead in range(1, images.beads):
        own = images.position_um[images.bead == bead]
        if own.shape != position.shape or not torch.allclose(own, position):
            raise InputError(
                "the stacks differ in their slices", "measure each by itself, or record them alike"
            )
    return position


def _by_bead(images: BeadImages, slices: int) -> tuple[Tensor, Tensor | None]:
    """Frames (B, S, h, h) and their weights."""
    shape = (images.beads, slices)
    weight = images.likelihood.weight
    return images.likelihood.frames.unflatten(0, shape), None if weight is None else weight.unflatten(0, shape)


def _depths(
    experiment: Experiment, settings: BeadSettings, position: Tensor, design: PhaseMask, side: int
) -> Tensor:
    """Depth of a molecule that looks as the beads do in each slice, (S,) µm."""
    if settings.moves == "depth":
        return position.double()
    low, high = travel_for_depths(experiment.microscope, (0.0, 1.0), settings.depth_um, "objective")
    guess = settings.depth_um + (experiment.microscope.focus - position.double()) / (high - low)
    spec = computed_psf(experiment.psf).unaberrated
    psf = build_psf(spec, experiment.microscope, design, patch_px=side)
    return depths_that_look_alike(psf, position, settings.depth_um, guess, BLUR_OF_MOLECULES)


def _evenly(values: Tensor, depth: Tensor, pixel_um: float) -> PSFVolume:
    """Planes from shallow to deep in equal steps (by a cubic spline where they were not), without noise."""
    from scipy.interpolate import CubicSpline

    order = depth.argsort()
    depth, values = depth[order], values[order]
    if len(depth) < _FEWEST_PLANES or float(depth.diff().min()) <= 0:
        raise InputError(
            f"{len(depth)} slices at {len(depth.unique())} different positions: a PSF needs at least "
            f"{_FEWEST_PLANES}, each at its own"
        )
    even = np.linspace(float(depth[0]), float(depth[-1]), len(depth))
    if np.abs(even - depth.numpy()).max() > 1e-3 * float(depth.diff().mean()):
        values = torch.from_numpy(CubicSpline(depth.numpy(), values.numpy())(even)).float()
    values = without_noise(values)
    # Where they are fullest the planes hold all light, by convention: nothing tells what lies beyond them.
    values = (values / values.sum((1, 2)).max()).float()
    return PSFVolume(values, pixel_um, float(even[0]), float(even[1] - even[0]))


def _odd(places: Sequence[BeadPlace], averaged: Averaged) -> list[str]:
    return [
        f"{place}: {100 * float(misfit):.0f} % unlike the rest, left out"
        for place, misfit, used in zip(places, averaged.misfit, averaged.used.tolist(), strict=True)
        if not used
    ]
