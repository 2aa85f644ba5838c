"""The Cramér-Rao bound of positions that several channels see at once, each with its share of the light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..experiment.channel_conditions import ChannelConditions, alone_with_all_light, channel_conditions
from ..experiment.conditions import LEAST_BACKGROUND, Conditions
from ..experiment.experiment import Experiment
from ..experiment.light_patch import LIGHT_OF_BOUNDS, patch_for_light
from ..experiment.optics import psf_source
from ..optics.fisher import (
    emitter_information,
    joint_emitter_information,
    joint_position_information,
    position_bounds,
    position_information,
    without_nuisance,
)
from ..optics.psf import on_axis
from ..optics.tabulated import TabulatedPSF
from ..simulation.priors import FixedCount

__all__ = ["ChannelSet", "Light", "channel_sets"]

Light = tuple[float, float]
"""Photons of a molecule, and background photons per pixel."""


@dataclass(frozen=True)
class ChannelSet:
    """Channels that see the same molecules: bounds from the information of all of them together.

    The background is unknown in each channel, and so are the photons of a molecule; where its shares of the
    light are known, one number of photons is.

    name: for the report;  channels: how each channel sees molecules;  psfs: the table of each;
    light_known: whether the shares are.
    """

    name: str
    channels: tuple[ChannelConditions, ...]
    psfs: tuple[TabulatedPSF, ...]
    light_known: bool = False

    @torch.no_grad()
    def alone(self, z_um: NDArray[np.float64], light: Sequence[Light]) -> NDArray[np.float64]:
        """σ of x, y, z (K, depths, 3) nm of one molecule, at the middle of a pixel in each channel.

        z_um: (depths,) in the first channel;  light: K photons and backgrounds of all channels together.
        """
        return np.stack([self._alone(z_um, *each) for each in light])

    def _alone(self, z_um: NDArray[np.float64], photons: float, background: float) -> NDArray[np.float64]:
        z, total = torch.from_numpy(z_um), torch.zeros((), dtype=torch.float64)
        information = emitter_information if self.light_known else position_information
        for channel, psf in zip(self.channels, self.psfs, strict=True):
            bright, floor = channel.as_poisson(photons, background)
            level = torch.ones_like(z)
            here = information(psf, on_axis(channel.depths(z)), bright * level, floor * level)
            total = total + channel.at_the_middle(here, bright / photons)
        return 1000 * position_bounds(without_nuisance(total, 3) if self.light_known else total).numpy()

    @torch.no_grad()
    def together(
        self, there: Conditions, number: int, frames: int, generator: torch.Generator
    ) -> NDArray[np.float64]:
        """σ of x, y, z (frames·number, 3) nm of molecules at random places, all of a frame together."""
        prior = there.prior.with_(count=FixedCount(count=number))
        emitters = prior.draw(frames, there.field, generator)
        found = []
        for index in range(frames):
            xyz = emitters.xyz[emitters.frame == index].double()
            total = self._of_frame(xyz, there.photons, max(there.background, LEAST_BACKGROUND))
            found.append(1000 * position_bounds(total).view(-1, 3))
        return torch.cat(found).numpy()

    def _of_frame(self, xyz: Tensor, photons: float, background: float) -> Tensor:
        """Information (3n, 3n) about the positions (n, 3) µm of the molecules of a frame."""
        total = torch.zeros((), dtype=torch.float64)
        information = joint_emitter_information if self.light_known else joint_position_information
        for channel, psf in zip(self.channels, self.psfs, strict=True):
            bright, floor = channel.as_poisson(photons, background)
            ((_, here),) = information(
                psf,
                channel.positions(xyz),
                xyz.new_full((len(xyz),), bright),
                torch.zeros(len(xyz), dtype=torch.int64),
                xyz.new_full((1,), floor),
                channel.field.size,
            )
            if self.light_known:
                total = total + channel.with_light_into_first(here, xyz, bright / photons)
            else:
                total = total + channel.into_first(here, xyz)
        return without_nuisance(total, 3 * len(xyz)) if self.light_known else total


def channel_sets(experiment: Experiment, scene: str | None, there: Conditions) -> list[ChannelSet]:
    """All channels together, and each of them alone with all of the light; there: conditions in the first.

    Raises InputError where a channel does not fit, naming it.
    """
    channels = channel_conditions(experiment, scene, there)
    psfs = [_table(channel) for channel in channels]
    names = [channel.view.name for channel in channels]
    known = experiment.known_shares is not None
    together = ChannelSet(" + ".join(names), channels, tuple(psfs), known)
    each = [
        ChannelSet(f"{name} alone, all light", (alone_with_all_light(channel),), (psf,))
        for name, channel, psf in zip(names, channels, psfs, strict=True)
    ]
    return [together, *each]


def _table(channel: ChannelConditions) -> TabulatedPSF:
    """The PSF of a channel at one blur, two samples a pixel where it is computed."""
    alone, blur = channel.experiment, (channel.there.blur_px, channel.there.blur_px)
    try:
        source = psf_source(alone)
        patch_px, _ = patch_for_light(alone, source, light=LIGHT_OF_BOUNDS)
        spec = alone.psf.at(0.0, 0.0).with_(patch_px=patch_px)
        return spec.tabulate(alone.microscope, source, channel.there.prior.z_um, blur, finer=True)
    except InputError as error:
        raise InputError(f"channel {channel.view.name}: {error.what}", error.remedy) from error
