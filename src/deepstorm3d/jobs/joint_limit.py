"""The Cramér-Rao bound of positions that several channels see at once, each with its share of the light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..experiment.channel_conditions import ChannelConditions, alone_with_all_light, channel_conditions
from ..experiment.conditions import LEAST_BACKGROUND, Conditions
from ..experiment.experiment import Experiment, psf_source
from ..experiment.light_patch import patch_for_light
from ..optics.fisher import joint_position_information, position_bounds, position_information
from ..optics.psf import on_axis
from ..optics.tabulated import TabulatedPSF
from ..simulation.priors import FixedCount

__all__ = ["ChannelSet", "channel_sets"]


@dataclass(frozen=True)
class ChannelSet:
    """Channels that see the same molecules: bounds from the information of all of them together.

    The photons of a molecule are unknown in each channel, and so is each background: the division of the light
    is not taken as known.

    name: for the report;  channels: how each channel sees molecules;  psfs: the table of each.
    """

    name: str
    channels: tuple[ChannelConditions, ...]
    psfs: tuple[TabulatedPSF, ...]

    @torch.no_grad()
    def alone(self, z_um: NDArray[np.float64], photons: float, background: float) -> NDArray[np.float64]:
        """σ of x, y, z (depths, 3) nm of one molecule, at the middle of a pixel in each channel.

        z_um: (depths,) in the first channel;  photons, background: of all channels together.
        """
        z = torch.from_numpy(z_um)
        total = torch.zeros(len(z), 3, 3, dtype=torch.float64)
        for channel, psf in zip(self.channels, self.psfs, strict=True):
            bright, floor = channel.as_poisson(photons, background)
            level = torch.ones_like(z)
            here = position_information(psf, on_axis(channel.depths(z)), bright * level, floor * level)
            total += channel.at_the_middle(here)
        return 1000 * position_bounds(total).numpy()

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
            total = torch.zeros(3 * len(xyz), 3 * len(xyz), dtype=torch.float64)
            for channel, psf in zip(self.channels, self.psfs, strict=True):
                bright, floor = channel.as_poisson(there.photons, max(there.background, LEAST_BACKGROUND))
                level = torch.ones_like(xyz[:, 0])
                ((_, here),) = joint_position_information(
                    psf,
                    channel.positions(xyz),
                    bright * level,
                    torch.zeros(len(xyz), dtype=torch.int64),
                    xyz.new_full((1,), floor),
                    channel.field.size,
                )
                total += channel.into_first(here, xyz)
            found.append(1000 * position_bounds(total).view(-1, 3))
        return torch.cat(found).numpy()


def channel_sets(experiment: Experiment, scene: str | None, there: Conditions) -> list[ChannelSet]:
    """All channels together, and each of them alone with all of the light; there: conditions in the first.

    Raises InputError where a channel does not fit, naming it.
    """
    channels = channel_conditions(experiment, scene, there)
    psfs = [_table(channel) for channel in channels]
    names = [channel.view.name for channel in channels]
    together = ChannelSet(" + ".join(names), channels, tuple(psfs))
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
        spec = alone.psf.at(0.0, 0.0).with_(patch_px=patch_for_light(alone, source)[0])
        return spec.tabulate(alone.microscope, source, channel.there.prior.z_um, blur, finer=True)
    except InputError as error:
        raise InputError(f"channel {channel.view.name}: {error.what}", error.remedy) from error
