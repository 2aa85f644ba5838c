"""The convolutional trunk of the coarse and the mixture network: most of its work at half resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FEATURES", "Trunk", "conv_block", "padded"]

FEATURES = 64
"""Features that the trunk returns."""


# Pixels to which a frame's sides are filled up: the trunk halves the resolution once.
_MULTIPLE = 2


def padded(images: Tensor) -> Tensor:
    """Images (B, C, H, W) with the last row or column repeated where a side is odd, as the trunk needs."""
    height, width = images.shape[-2:]
    fill = [0, -width % _MULTIPLE, 0, -height % _MULTIPLE]
    return functional.pad(images, fill, mode="replicate") if any(fill) else images


def conv_block(channels_in: int, channels_out: int, *, dilation: int = 1, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch norm, ReLU; keeps the frame's size (or halves it with stride 2)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ResidualPair(nn.Module):
    """Two dilated convolutions with a bypass (He et al. 2016), dilated as in Yu & Koltun 2016."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )
        # Starts as the identity: deep stacks then train at a high rate from the first step.
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.second(self.first(features)))


class Trunk(nn.Module):
    """From a normalised frame to features at camera resolution.

    An engineered PSF spreads a molecule over 30 to 60 pixels: the dilations give each output a view
    of about 150 camera pixels at a quarter of the cost of full resolution; a bypass at full
    resolution keeps the sub-pixel detail.

    channels: features at half resolution;  skip: features at full resolution;
    dilations: one residual pair each.
    forward: (B, 1, H, W) -> (B, `FEATURES`, H, W), H and W even.
    """

    def __init__(
        self,
        channels: int = 80,
        skip: int = 32,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1),
    ) -> None:
        super().__init__()
        self.entry = conv_block(1, skip)
        self.down = conv_block(skip, channels, stride=2)
        self.pairs = nn.Sequential(*[ResidualPair(channels, dilation) for dilation in dilations])
        self.up = nn.Sequential(nn.Conv2d(channels, 4 * skip, 1), nn.PixelShuffle(2))
        self.join = conv_block(2 * skip, FEATURES)

    def forward(self, frames: Tensor) -> Tensor:
        detail = self.entry(frames)
        context = self.up(self.pairs(self.down(detail)))
        return self.join(torch.cat([detail, context], 1))
