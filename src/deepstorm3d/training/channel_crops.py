"""What further channels show of training crops, on the pixels of the first channel, as a network sees it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..camera import Camera
from ..channels import ChannelBackground, ChannelView, Warp
from ..emitters import Emitters
from ..field import Field
from ..optics.psf import PSF
from ..simulation.simulator import Simulator

__all__ = ["ChannelCrops"]

# Pixels around the image of a crop in the channel that are simulated too: the interpolation needs two.
_MARGIN_PX = 4
_GRID = 9  # places along each side of the frame, or of a crop, at which the transform is looked at


class ChannelCrops(nn.Module):
    """Simulates crops of the first channel's frame in the pixels of another one, and warps them back.

    The network thus learns from images with the blur and the correlated noise of the interpolation that it sees
    at work.

    psf, camera, view: of the channel;  frame: of the first channel;  crop: size of a crop in it.
    """

    def __init__(self, psf: PSF, camera: Camera, view: ChannelView, frame: Field, crop: Field) -> None:
        super().__init__()
        self.view, self.frame, self.crop = view, frame, crop
        rooms = [max(0, whole - part) for whole, part in zip(frame.size, crop.size, strict=True)]
        corners = [
            (round(x * rooms[1] / (_GRID - 1)), round(y * rooms[0] / (_GRID - 1)))
            for x in range(_GRID)
            for y in range(_GRID)
        ]
        sides = torch.stack([high - low for low, high in map(self._reach, corners)]).amax(0)
        width, height = (int(side) + 2 * _MARGIN_PX + 1 for side in sides)
        self.simulator = Simulator(psf, camera, Field(height, width, view.field.pixel_um), maps={})

    def at(self, corner: tuple[int, int]) -> ChannelView:
        """The view of a crop: positions in it count from its first pixel, column and row `corner` of the frame.

        In the channel they count from the first pixel that is simulated.
        """
        low, _ = self._reach(corner)
        there = (low - _MARGIN_PX) * self.view.field.pixel_um
        here = torch.tensor(corner, dtype=torch.float64) * self.crop.pixel_um
        return replace(
            self.view, transform=self.view.transform.counted_from(here, there), field=self.simulator.field
        )

    def forward(
        self, emitters: Emitters, background: Tensor, corner: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        """Photons (B, H, W) of this channel on the first one's pixels.

        emitters: of B crops, with the light of all channels;  background: (B, H, W), of all channels;
        corner: column and row of the first pixel of all crops.
        """
        view = self.at(corner)
        light = ChannelBackground(view, self.crop)(background)
        counts = self.simulator(view.to_channel_emitters(emitters), light, generator)
        return Warp(view, self.crop)(self.simulator.to_photons(counts))

    def _reach(self, corner: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """First and last column and row of the channel's pixels that the crop at this corner lies on."""
        x, y = (
            begin + torch.linspace(0, side - 1, _GRID, dtype=torch.float64)
            for begin, side in zip(corner, (self.crop.width, self.crop.height), strict=True)
        )
        y, x = torch.meshgrid(y, x, indexing="ij")
        here = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3) * self.crop.pixel_um
        there = self.view.to_channel(here)[:, :2] / self.view.field.pixel_um
        return there.amin(0).floor(), there.amax(0).ceil()
