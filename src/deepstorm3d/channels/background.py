"""The background that a channel gets: its share, from where it shows the first channel's field."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..field import Field
from .channel_view import ChannelView

__all__ = ["ChannelBackground"]


class ChannelBackground:
    """Takes a background of all channels, on the first one's frame, into a channel.

    A pixel there collects from another area of the sample where its transform or its pixels are larger. Beyond
    the first channel's frame the background goes on as at its edge (bilinear interpolation).

    view: of the channel;  first: frame of the first channel.
    Raises InputError where the transform has no way back from the channel's frame.
    """

    def __init__(self, view: ChannelView, first: Field) -> None:
        self.share = view.share
        self._grid: Tensor | None = None
        if view.is_first and view.field == first:
            return
        height, width = view.field.size
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
        )
        there = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3) * view.field.pixel_um
        here = view.from_channel(there)
        area = torch.linalg.det(view.jacobian(here)).abs() * (first.pixel_um / view.field.pixel_um) ** 2
        # grid_sample expects −1 and 1 at the centres of the first and the last pixel, and x before y.
        last = here.new_tensor([max(first.width - 1, 1), max(first.height - 1, 1)])
        self._grid = (2 * here[:, :2] / first.pixel_um / last - 1).view(1, height, width, 2)
        self._gain = (self.share / area).view(height, width)

    def __call__(self, background: Tensor) -> Tensor:
        """Photons per pixel here: background (B, H, W) in photons per pixel of the first channel."""
        if self._grid is None:
            return background if self.share == 1 else background * self.share
        grid = self._grid.to(background).expand(len(background), -1, -1, -1)
        seen = functional.grid_sample(
            background[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        return seen[:, 0] * self._gain.to(background)
