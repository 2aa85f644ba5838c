"""Frames of a channel on the pixels of the first one, for networks that see all channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..field import Field
from .channel_view import ChannelView

__all__ = ["Warp"]


class Warp:
    """Resamples frames of a channel where the first channel's pixels lie in it.

    By cubic convolution of 4×4 pixels (Keys 1981, with a = −3/4); beyond the channel's frame its edge goes on.
    The noise of neighbouring pixels is correlated afterwards, so this is for networks only: fits take frames as
    they were recorded.

    view: of the channel;  first: frame of the first channel, or a part of it, from whose first pixel the view's
    positions count.
    """

    def __init__(self, view: ChannelView, first: Field) -> None:
        self._grid: Tensor | None = None
        if view.is_first and view.field == first:
            return
        y, x = torch.meshgrid(
            torch.arange(first.height, dtype=torch.float64),
            torch.arange(first.width, dtype=torch.float64),
            indexing="ij",
        )
        here = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3) * first.pixel_um
        there = view.to_channel(here)[:, :2] / view.field.pixel_um
        # grid_sample expects −1 and 1 at the centres of the first and the last pixel, and x before y.
        last = there.new_tensor([max(view.field.width - 1, 1), max(view.field.height - 1, 1)])
        self._grid = (2 * there / last - 1).view(1, first.height, first.width, 2)

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (B, H', W') of the channel as (B, H, W) on the first channel's pixels."""
        if self._grid is None:
            return frames
        grid = self._grid.to(frames).expand(len(frames), -1, -1, -1)
        seen = functional.grid_sample(
            frames[:, None], grid, mode="bicubic", padding_mode="border", align_corners=True
        )
        return seen[:, 0]
