"""A known mask in a set-up: its experiment, its best focus, and how far a molecule stands out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..experiment.channel import Channel
from ..experiment.channel_conditions import channel_conditions
from ..experiment.conditions import LEAST_BACKGROUND, scene_conditions
from ..experiment.experiment import Experiment
from ..experiment.optics import psf_source
from ..optics.computed import computed_psf
from ..optics.fisher import joint_position_information, position_bounds, position_information
from ..optics.masks import MaskSpec, ZeroMask
from ..optics.psf import PSF, on_axis
from ..optics.tabulated import TabulatedPSF
from ..simulation.priors import Scene

__all__ = ["BORDER_PX", "best_focus", "gain_of", "joint_bound", "sketched", "spot_of", "through"]

BORDER_PX = 6.0
"""Distance from the edge of a frame within which molecules are neighbours only, px."""
# Mask pixels across the aperture: the known masks are smooth, and this is two to four times as fast.
_MASK_PX = 80
# Samples of the pupil for each of them.
_OVERSAMPLING = 2
# Depths at which one molecule is looked at.
_DEPTHS = 9
# Focal planes that are tried over the depth range.
_PLANES = 12
# Farthest focal plane as a multiple of the depth: a steep ray focuses deeper by the indices' mismatch.
_FARTHEST = 1.7


def sketched(experiment: Experiment, scene: Scene, frame_px: int) -> Experiment:
    """The experiment with one channel and this scene alone, and mask pixels as coarse as smooth masks allow.

    Raises InputError for a PSF that has no mask.
    """
    microscope, optics = experiment.microscope, computed_psf(experiment.psf)
    pitch = max(microscope.mask_pitch, 2 * microscope.aperture_radius / _MASK_PX)
    coarse, optics = microscope.with_(mask_pitch=pitch), optics.with_(pupil_oversampling=_OVERSAMPLING)
    room = int(coarse.image_period_px * _OVERSAMPLING / 2) - 2 * TabulatedPSF.margin_px
    return experiment.with_(
        microscope=coarse,
        mask=ZeroMask(),
        psf=optics.with_(patch_px=min(optics.patch_px, room - 1 + room % 2)),
        frame_px=(frame_px, frame_px),
        scenes={"sample": scene},
        channels={},
        dyes={},
    )


def through(experiment: Experiment, masks: Sequence[MaskSpec], focus: float) -> Experiment:
    """The experiment with a mask in each channel, the light divided evenly, all at one focus, µm."""
    further = {
        f"channel{number}": Channel(light=1 / len(masks), light_known=True, mask=mask)
        for number, mask in enumerate(masks[1:], 2)
    }
    microscope = experiment.microscope.with_(focus=focus)
    return experiment.with_(mask=masks[0], channels=further, microscope=microscope)


@torch.no_grad()
def best_focus(experiment: Experiment, masks: Sequence[MaskSpec]) -> tuple[float, float]:
    """The nominal focal plane, µm, of the least mean bound σx + σy + σz of one molecule, and that bound, nm."""
    low, high = experiment.z_um
    step = (_FARTHEST * high - low) / (_PLANES - 1)
    planes = [low + step * number for number in range(_PLANES)]
    bounds = [_bound_alone(through(experiment, masks, focus)) for focus in planes]
    middle = planes[min(range(_PLANES), key=bounds.__getitem__)]
    for _ in range(2):
        step /= 3
        planes = [middle - step, middle, middle + step]
        bounds = [_bound_alone(through(experiment, masks, focus)) for focus in planes]
        middle = planes[min(range(3), key=bounds.__getitem__)]
    return middle, min(bounds)


def _bound_alone(experiment: Experiment) -> float:
    """Mean over depths of the bound σx + σy + σz of one molecule in all channels, nm."""
    total = torch.zeros(_DEPTHS, 3, 3, dtype=torch.float64)
    for psf, z, blur, photons, background in _channels(experiment):
        total += position_information(psf, on_axis(z), photons, background, blur)
    return float(1000 * position_bounds(total).sum(1).mean())


@torch.no_grad()
def gain_of(experiment: Experiment, density: float) -> float:
    """How far a molecule stands out, in deviance: mean over depths of Σ (N·t)²/(N·t + b), of all channels.

    density: molecules per µm², whose mean light is part of the background.
    """
    area = experiment.microscope.pixel_um**2
    total = torch.zeros(_DEPTHS, dtype=torch.float64)
    for psf, z, blur, photons, background in _channels(experiment):
        signal = photons[:, None, None] * psf(on_axis(z), blur).values
        level = background + density * area * photons
        total += (signal.square() / (signal + level[:, None, None])).sum((1, 2))
    return float(total.mean())


@torch.no_grad()
def spot_of(experiment: Experiment) -> float:
    """Area of a spot, (Σ t)²/Σ t² of the image t, µm²: mean over depths, the largest of the channels."""
    area = experiment.microscope.pixel_um**2
    spots = []
    for psf, z, blur, _, _ in _channels(experiment):
        images = psf(on_axis(z), blur).values
        spots.append(float((images.sum((1, 2)).square() / images.square().sum((1, 2))).mean()) * area)
    return max(spots)


@torch.no_grad()
def joint_bound(
    experiment: Experiment, psfs: Sequence[PSF], frames: int, generator: torch.Generator
) -> tuple[float, float]:
    """Median joint bound of molecules at random places, all of a frame together: lateral and axial, nm.

    Those nearer to the edge than `BORDER_PX` are neighbours only, and so are those outside of the frame.
    psfs: of each channel;  frames: number drawn.
    """
    there = scene_conditions(experiment, experiment.scene(), None, None)
    channels = channel_conditions(experiment, None, there)
    drawn, sigmas = experiment.scene().emitters.draw(frames, there.field, generator), []
    for number in range(frames):
        xyz = drawn.xyz[drawn.frame == number].double()
        total = torch.zeros(3 * len(xyz), 3 * len(xyz), dtype=torch.float64)
        for channel, psf in zip(channels, psfs, strict=True):
            bright, floor = channel.as_poisson(there.photons, max(there.background, LEAST_BACKGROUND))
            light, frame = bright * torch.ones_like(xyz[:, 0]), torch.zeros(len(xyz), dtype=torch.int64)
            level = xyz.new_full((1,), floor)
            for _, here in joint_position_information(psf, xyz, light, frame, level, there.field.size):
                total += here
        sigma = 1000 * position_bounds(total).view(-1, 3)
        place = xyz[:, :2] / there.field.pixel_um
        last = place.new_tensor([there.field.width, there.field.height]) - 1 - BORDER_PX
        sigmas.append(sigma[((place >= BORDER_PX) & (place <= last)).all(1)])
    x, y, z = torch.cat(sigmas).median(0).values.tolist()
    return math.hypot(x, y), z


def _channels(experiment: Experiment) -> list[tuple[Any, Tensor, Tensor, Tensor, Tensor]]:
    """Of each channel: exact PSF, depths, blurs, photons and background of a Poisson image."""
    there = scene_conditions(experiment, experiment.scene(), None, None)
    z = torch.linspace(*experiment.z_um, _DEPTHS, dtype=torch.float64)
    level = torch.ones_like(z)
    found = []
    for channel in channel_conditions(experiment, None, there):
        alone = channel.experiment
        bright, floor = channel.as_poisson(there.photons, there.background)
        blur = (there.blur_px, there.blur_px)
        psf = alone.psf.images(alone.microscope, psf_source(alone), patch_px=alone.psf.patch_px, blur_px=blur)
        found.append((psf, z, there.blur_px * level, bright * level, floor * level))
    return found
