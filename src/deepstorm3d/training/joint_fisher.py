"""Mask design for several channels: minimise the bound from the information of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..experiment.channel_conditions import ChannelConditions
from ..optics.fisher import joint_position_information, position_bounds, position_information
from ..optics.psf import PSF, on_axis
from .fisher import DEPTHS, Crowd

__all__ = ["ChannelsAlone", "ChannelsCrowd"]


@dataclass(frozen=True)
class ChannelsAlone:
    """Mean over depth of σx + σy + σz of one molecule that all channels see; as `Alone`.

    Its photons and its background are unknown in each channel.
    channels: how each channel sees it;  photons, background: of all channels together;  z_um: depth range, µm.
    """

    channels: tuple[ChannelConditions, ...]
    photons: float
    background: float
    z_um: tuple[float, float]

    def __call__(self, psfs: Sequence[PSF], generator: torch.Generator) -> Tensor:
        """See `FisherCriterion`; this criterion draws no random molecules."""
        z = torch.linspace(*self.z_um, DEPTHS, device=generator.device)
        level = torch.ones_like(z)
        total = torch.zeros(len(z), 3, 3, dtype=torch.float64, device=z.device)
        for channel, psf in zip(self.channels, psfs, strict=True):
            bright, floor = channel.as_poisson(self.photons, self.background)
            blur_px = channel.there.blur_px * level
            here = position_information(psf, on_axis(channel.depths(z)), bright * level, floor * level, blur_px)
            total = total + channel.at_the_middle(here)
        return 1000 * position_bounds(total).sum(1).mean()


@dataclass(frozen=True)
class ChannelsCrowd:
    """Geometric mean of σx + σy + σz over molecules at random positions that all channels see; as `Crowd`.

    crowd: draws the molecules, in the first channel;  others as of `ChannelsAlone`.
    """

    crowd: Crowd
    channels: tuple[ChannelConditions, ...]
    photons: float
    background: float

    def __call__(self, psfs: Sequence[PSF], generator: torch.Generator) -> Tensor:
        """See `FisherCriterion`."""
        drawn, inside = self.crowd.draw(generator)
        frames = self.crowd.frames
        totals: dict[int, Tensor] = {}
        rows: list[Tensor] = [torch.empty(0)] * frames
        level = torch.ones_like(drawn.photons)
        for channel, psf in zip(self.channels, psfs, strict=True):
            bright, floor = channel.as_poisson(self.photons, self.background)
            parts = joint_position_information(
                psf,
                channel.positions(drawn.xyz),
                bright * level,
                drawn.frame,
                drawn.xyz.new_full((frames,), floor),
                channel.field.size,
                channel.there.blur_px * level,
            )
            for number, (mine, here) in enumerate(parts):
                seen = channel.into_first(here, drawn.xyz[mine])
                totals[number] = totals[number] + seen if number in totals else seen
                rows[number] = mine
        found = [
            position_bounds(totals[number]).view(-1, 3).sum(1)[inside[rows[number]]]
            for number in totals
            if len(rows[number])
        ]
        return 1000 * torch.cat(found).log().mean().exp()
