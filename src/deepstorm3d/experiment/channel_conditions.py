"""How each channel sees molecules, for bounds of all channels together: its light, noise and frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..channels import ChannelView
from ..field import Field
from .channel_views import channel_views
from .conditions import Conditions, scene_conditions
from .experiment import Experiment

__all__ = ["ChannelConditions", "alone_with_all_light", "channel_conditions", "through_jacobians"]


@dataclass(frozen=True)
class ChannelConditions:
    """One channel, and the part of its frame that shows the molecules of the first one's field.

    experiment: the one-channel experiment;  view: where it sees molecules, and its share of their light;
    there: its conditions, with the light of all channels;  first: field of the first channel's molecules;
    field: part of this channel's frame that shows it;  origin_um: centre of that part's first pixel.
    """

    experiment: Experiment
    view: ChannelView
    there: Conditions
    first: Field
    field: Field
    origin_um: tuple[float, float]

    def as_poisson(self, photons: float, background: float) -> tuple[float, float]:
        """Photons and background per pixel here, of those of all channels together, as of a Poisson image."""
        share = self.view.share
        middle = torch.tensor([[*self._centre, 0.0]], dtype=torch.float64)
        area = float(torch.linalg.det(self.view.jacobian(middle)).abs())
        area *= (self.first.pixel_um / self.field.pixel_um) ** 2
        return self.there.as_poisson(photons * share, background * share / area)

    def depths(self, z: Tensor) -> Tensor:
        """Depths at which this channel sees molecules at z (N,) µm of the first."""
        return z + self.view.depth_offset_um if self.view.depth_offset_um else z

    def positions(self, xyz: Tensor) -> Tensor:
        """Positions of the first channel, (N, 3) µm, from the first pixel of this channel's part."""
        there = self.view.to_channel(xyz)
        return there if self.origin_um == (0, 0) else there - there.new_tensor([*self.origin_um, 0.0])

    def into_first(self, information: Tensor, xyz: Tensor) -> Tensor:
        """Information about n positions here (3n, 3n), as about those of the first channel: Jᵀ F J."""
        return through_jacobians(information, self.view.jacobian(xyz).to(information))

    def with_light_into_first(self, information: Tensor, xyz: Tensor, light: float) -> Tensor:
        """The same of positions, then photons here, (4n, 4n), as about positions of the first and all photons.

        light: photons here for each of all.
        """
        places = self.view.jacobian(xyz).to(information)
        slope = torch.block_diag(*places, light * torch.eye(len(xyz), dtype=information.dtype))
        return slope.mT @ information @ slope

    def at_the_middle(self, information: Tensor, light: float = 1.0) -> Tensor:
        """The same for (N, 3, 3), each of a molecule alone, at the middle of the field, or (N, 4, 4) with its
        photons."""
        middle = torch.tensor([[*self._centre, 0.0]], dtype=torch.float64)
        slope = torch.eye(information.shape[-1], dtype=information.dtype)
        slope[:3, :3] = self.view.jacobian(middle)[0]
        slope[3:] *= light
        return slope.mT @ information @ slope

    @property
    def _centre(self) -> tuple[float, float]:
        height, width = self.first.size
        return (width - 1) / 2 * self.first.pixel_um, (height - 1) / 2 * self.first.pixel_um


def through_jacobians(information: Tensor, slopes: Tensor) -> Tensor:
    """Jᵀ F J of (3n, 3n) with a Jacobian (n, 3, 3) for each position."""
    n = len(slopes)
    blocks = information.view(n, 3, n, 3)
    return torch.einsum("aij,aibk,bkl->ajbl", slopes, blocks, slopes).reshape(3 * n, 3 * n)


def channel_conditions(
    experiment: Experiment, scene: str | None, first: Conditions
) -> tuple[ChannelConditions, ...]:
    """How each channel sees the molecules of a scene; first: conditions in the first channel.

    Raises InputError where a transform or the scene does not fit.
    """
    channels = []
    for number, view in enumerate(channel_views(experiment)):
        alone = experiment.of_channel(number)
        there = (
            first
            if number == 0
            else scene_conditions(alone, alone.scene(scene), first.photons, first.background)
        )
        field, origin = _part(view, first.field)
        channels.append(ChannelConditions(alone, view, there, first.field, field, origin))
    return tuple(channels)


def alone_with_all_light(channel: ChannelConditions) -> ChannelConditions:
    """The channel as if it got all of the light."""
    return replace(channel, view=replace(channel.view, share=1.0))


def _part(view: ChannelView, first: Field) -> tuple[Field, tuple[float, float]]:
    """The smallest part of a channel's frame that shows the first one's field, and its first pixel, µm."""
    if view.is_first:
        return first, (0.0, 0.0)
    right, bottom = (first.width - 1) * first.pixel_um, (first.height - 1) * first.pixel_um
    corners = torch.tensor([[x, y, 0.0] for x in (0.0, right) for y in (0.0, bottom)], dtype=torch.float64)
    places = view.to_channel(corners)[:, :2] / view.field.pixel_um
    left, top = (_clip(math.floor(value), side) for value, side in _ends(places.amin(0), view.field))
    last_x, last_y = (_clip(math.ceil(value), side) for value, side in _ends(places.amax(0), view.field))
    part = replace(view.field, height=last_y - top + 1, width=last_x - left + 1)
    return part, (left * view.field.pixel_um, top * view.field.pixel_um)


def _ends(place: Tensor, field: Field) -> Sequence[tuple[float, int]]:
    return list(zip(place.tolist(), (field.width, field.height), strict=True))


def _clip(value: int, side: int) -> int:
    return min(max(value, 0), side - 1)
