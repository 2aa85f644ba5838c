"""Estimate of a recording in several channels: one scene for all, and the share of the light that each gets.

A movie alone tells the light of its molecules per area well, and less well how it is made up of a density and
of photons. The molecules of all channels are the same, so the density is the mean of what the channels say, and
the light of the field that they share rises and falls together: that gives the shares (`light_ratio`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...brief import Brief
from ...errors import InputError
from ...experiment.channel import Channel
from ...experiment.experiment import Experiment
from ...field import Field
from ...localizing.excerpt import Excerpt
from ...watch import SILENT, Named, Watcher
from .estimate import Estimate, result_of
from .experiment import changes, estimated_experiment
from .light_ratio import common_pixels, light_ratio
from .scene_match import SceneGuess
from .settings import EstimateSettings
from .stages import Guessed, guess_of_movie

__all__ = ["ChannelsEstimate", "estimate_channels"]

# Factor between the densities of two channels from which on it is told.
_OTHER_DENSITY = 1.5
# Difference of the shares of light and of background of a channel from which on it is told.
_OTHER_BACKGROUND = 0.1
# Digits of a share.
_DIGITS = 3


@dataclass(frozen=True, repr=False)
class ChannelsEstimate(Brief):
    """What the movies of several channels say of their set-up.

    experiment: complete, with its channels;  changes: key, old and new value of each that changed;  alone: of
    each channel, frames simulated with the numbers of all beside the real ones (`Estimate`), and what was seen
    of its camera;  density: molecules/µm² of the first channel;  photons, background: of all channels together,
    a molecule and a pixel of the first channel;  light, levels: share of each channel of the molecules' light
    and of the background;  densities: what each channel says of the density;  warnings: in words.
    """

    experiment: Experiment = field(repr=False)
    changes: list[tuple[str, Any, Any]]
    alone: tuple[Estimate, ...] = field(repr=False)
    density: float
    photons: float
    background: float
    light: tuple[float, ...]
    levels: tuple[float, ...]
    densities: tuple[float, ...]
    warnings: list[str]

    @property
    def notes(self) -> list[str]:
        """What was seen of each channel, in words."""
        names = self.experiment.channel_names
        return [f"{name}: {note}" for name, each in zip(names, self.alone, strict=True) for note in each.notes]


def estimate_channels(
    excerpts: Sequence[Excerpt],
    experiment: Experiment,
    settings: Sequence[EstimateSettings],
    *,
    watch: Watcher = SILENT,
) -> ChannelsEstimate:
    """Estimate an experiment with channels from a sample of the frames of each.

    excerpts: the movie of each channel, in order;  experiment: the set-up; optics, transforms and depth range
    are taken as true;  settings: of each channel, their scene and seed alike.
    Raises InputError where movies and channels are not as many, and as `estimate`.
    """
    names = experiment.channel_names
    if len(excerpts) != len(names) or len(names) < 2:
        raise InputError(
            f"the experiment '{experiment.name}' has {len(names)} channels ({', '.join(names)}), there are "
            f"{len(excerpts)} movies",
            "give a movie of each channel, in their order",
        )
    guessed = []
    for number, (excerpt, each) in enumerate(zip(excerpts, settings, strict=True)):
        here = Named(watch, names[number])
        guessed.append(guess_of_movie(excerpt, experiment.of_channel(number), each, watch=here))
    areas = _areas(experiment, guessed)
    ratios = [1.0, *_ratios(experiment, guessed)]
    whole, told = _together([each.found.guess for each in guessed], areas, _weights(guessed), ratios)
    final = _experiment(experiment, settings[0], guessed, whole, told)
    numbers = _divided(whole, told.light, areas)
    alone = tuple(
        result_of(each.with_numbers(own), setting)
        for each, own, setting in zip(guessed, numbers, settings, strict=True)
    )
    warnings = [f"{name}: {text}" for name, each in zip(names, alone, strict=True) for text in each.warnings]
    return ChannelsEstimate(
        final,
        changes(experiment.to_mapping(), final.to_mapping()),
        alone,
        whole.density,
        whole.photons,
        whole.background,
        told.light,
        told.levels,
        told.densities,
        [*warnings, *_doubts(names, told)],
    )


@dataclass(frozen=True)
class _Shares:
    """Of each channel: share of the light and of the background, and its density, per first channel's µm²."""

    light: tuple[float, ...]
    levels: tuple[float, ...]
    densities: tuple[float, ...]


@dataclass(frozen=True)
class _Area:
    """Of a channel: its own µm² for one of the first channel, and the area of its pixel in first pixels."""

    um2: float
    pixels: float


def _areas(experiment: Experiment, guessed: Sequence[Guessed]) -> list[_Area]:
    """By each channel's transform, in the middle of the first channel's frames."""
    pixel_um = experiment.microscope.pixel_um
    height, width = guessed[0].size
    middle = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], dtype=torch.float64) * pixel_um
    areas = [_Area(1.0, 1.0)]
    for name, channel in experiment.channels.items():
        transform = channel.read_transform(name).transform
        um2 = float(torch.linalg.det(transform.jacobian(middle)[0]).abs())
        own_um = channel.microscope_of(experiment.microscope).pixel_um
        areas.append(_Area(um2, (own_um / pixel_um) ** 2 / um2))
    return areas


def _ratios(experiment: Experiment, guessed: Sequence[Guessed]) -> list[float | None]:
    """Light of each further channel over the first one's, in the field that both show; None: not known."""
    first, ratios = Field(*guessed[0].size, experiment.microscope.pixel_um), []
    for (name, channel), there in zip(experiment.channels.items(), guessed[1:], strict=True):
        second = Field(*there.size, channel.microscope_of(experiment.microscope).pixel_um)
        here, own = common_pixels(first, second, channel.read_transform(name).transform)
        ratios.append(light_ratio(guessed[0].light_of_frames(here), there.light_of_frames(own)))
    return ratios


def _weights(guessed: Sequence[Guessed]) -> list[float]:
    """How much the density of each channel counts: 1/σ², all alike where a σ is not known."""
    sigmas = [each.found.light.sigma[0] for each in guessed]
    if not all(math.isfinite(sigma) and sigma > 0 for sigma in sigmas):
        return [1.0] * len(sigmas)
    return [sigma**-2 for sigma in sigmas]


def _together(
    numbers: Sequence[SceneGuess],
    areas: Sequence[_Area],
    weights: Sequence[float],
    ratios: Sequence[float | None],
) -> tuple[SceneGuess, _Shares]:
    """One scene in the first channel's units, with the light of all channels, and what each has of it.

    ratios: of each channel's light to the first one's; where one is not known, the scenes of the channels tell.
    """
    densities = [each.density * area.um2 for each, area in zip(numbers, areas, strict=True)]
    light = [density * each.photons for density, each in zip(densities, numbers, strict=True)]
    levels = [each.background / area.pixels for each, area in zip(numbers, areas, strict=True)]
    logs = sum(weight * math.log(max(d, 1e-12)) for weight, d in zip(weights, densities, strict=True))
    density = math.exp(logs / sum(weights))
    known = [ratio for ratio in ratios if ratio is not None]
    of_light = _parts(known if len(known) == len(ratios) else light)
    of_levels = _parts(levels)
    whole = replace(
        numbers[0],
        density=density,
        photons=sum(light) / density,
        photon_spread=sum(s * each.photon_spread for s, each in zip(of_light, numbers, strict=True)),
        background=sum(levels),
        floor=sum(each.floor / area.pixels for each, area in zip(numbers, areas, strict=True)),
        background_spread=sum(
            each.background_spread / area.pixels for each, area in zip(numbers, areas, strict=True)
        ),
    )
    return whole, _Shares(of_light, of_levels, tuple(densities))


def _parts(values: Sequence[float]) -> tuple[float, ...]:
    total = sum(values)
    return tuple(value / total if total > 0 else 1 / len(values) for value in values)


def _divided(whole: SceneGuess, light: Sequence[float], areas: Sequence[_Area]) -> list[SceneGuess]:
    """The scene as each channel sees it: the experiment divides light and background by the same shares."""
    return [
        replace(
            whole,
            density=whole.density / area.um2,
            photons=whole.photons * share,
            background=whole.background * share * area.pixels,
            floor=whole.floor * share * area.pixels,
            background_spread=whole.background_spread * share * area.pixels,
        )
        for share, area in zip(light, areas, strict=True)
    ]


def _experiment(
    experiment: Experiment,
    settings: EstimateSettings,
    guessed: Sequence[Guessed],
    whole: SceneGuess,
    told: _Shares,
) -> Experiment:
    """The experiment with the scene of all channels, and each channel's share and camera."""
    cameras = [
        estimated_experiment(
            experiment.of_channel(number), settings.scene, each.scene, each.found.guess, each.camera
        ).camera
        for number, each in enumerate(guessed)
    ]
    channels = {}
    for number, (name, channel) in enumerate(experiment.channels.items(), 1):
        as_first = channel.camera is None and cameras[number] == cameras[0]
        changed: dict[str, Any] = {
            "light": round(told.light[number], _DIGITS),
            "camera": None if as_first else cameras[number],
        }
        if _has_transform(channel):
            # A transform is of whole frames.
            changed["frame_px"] = guessed[number].size
        channels[name] = channel.with_(**changed)
    moved = any(map(_has_transform, experiment.channels.values()))
    sized = experiment.with_(frame_px=guessed[0].size, channels={}) if moved else experiment.with_(channels={})
    made = estimated_experiment(sized, settings.scene, guessed[0].scene, whole, guessed[0].camera)
    return made.with_(camera=cameras[0], channels=channels)


def _has_transform(channel: Channel) -> bool:
    return bool(channel.transform) or channel.coefficients is not None


def _doubts(names: Sequence[str], told: _Shares) -> list[str]:
    """Where the channels contradict each other."""
    said = []
    most, least = max(told.densities), min(told.densities)
    if most > _OTHER_DENSITY * least:
        each = ", ".join(f"{d:.3g} ({name})" for name, d in zip(names, told.densities, strict=True))
        said.append(
            f"the channels do not have the same density, {each} molecules/µm²: are the movies of one "
            "recording, and is the PSF of each right?"
        )
    for name, light, level in list(zip(names, told.light, told.levels, strict=True))[1:]:
        if abs(light - level) > _OTHER_BACKGROUND:
            said.append(
                f"{name} has {light:.0%} of the molecules' light and {level:.0%} of the background; an "
                "experiment divides both alike, by the light: its background is then too "
                f"{'low' if level > light else 'high'} in {name}"
            )
    return said
