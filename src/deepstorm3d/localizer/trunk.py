"""The convolutional trunk of the coarse and the mixture network: most of its work at half resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FEATURES", "ResidualPair", "Trunk", "bytes_per_pixel", "conv_block", "padded"]

FEATURES = 64
"""Number of features that the trunk returns."""

_MULTIPLE = 2  # frames are padded to a multiple of this many pixels, because the trunk halves the resolution


def padded(images: Tensor) -> Tensor:
    """Pad images (B, C, H, W) to even height and width by repeating the last row or column."""
    height, width = images.shape[-2:]
    fill = [0, -width % _MULTIPLE, 0, -height % _MULTIPLE]
    return functional.pad(images, fill, mode="replicate") if any(fill) else images


def conv_block(channels_in: int, channels_out: int, *, dilation: int = 1, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch norm and ReLU; the frame's size is kept (stride 1) or halved (stride 2)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def bytes_per_pixel(channels: int, skip: int, outputs: int) -> float:
    """Memory on the processor for a pixel of one frame, bytes, in single precision: a third more than the
    features that are there at a time, where most are (tests/localizer/test_localizer_memory.py measures it).

    channels, skip: of the trunk;  outputs: values a pixel of the head, of which three copies are made.
    """
    joined = 4 * skip + FEATURES  # detail and context, both of them again together, and what they are joined to
    pairs = skip + 3 * channels / 4
    return 4 / 3 * 4 * max(joined, pairs, FEATURES + 3 * outputs)


class ResidualPair(nn.Module):
    """Two dilated convolutions (Yu & Koltun 2016) with a residual connection (He et al. 2016)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )
        # The pair is initialised as the identity, so that deep stacks train at a high rate from the first step.
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.second(self.first(features)))


class Trunk(nn.Module):
    """Maps a normalised frame, alone or with other images of the same area, to features at camera resolution.

    An engineered PSF spreads a molecule over 30 to 60 pixels. The dilations give each output a receptive
    field of about 150 camera pixels at a quarter of the cost of full resolution. A skip connection at full
    resolution keeps the sub-pixel detail.

    channels: features at half resolution;  skip: features at full resolution;
    dilations: one for each residual pair;  images: number of images of the area.
    forward: (B, images, H, W) -> (B, `FEATURES`, H, W), H and W even.
    """

    def __init__(
        self,
        channels: int = 80,
        skip: int = 32,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1),
        images: int = 1,
    ) -> None:
        super().__init__()
        self.entry = conv_block(images, skip)
        self.down = conv_block(skip, channels, stride=2)
        self.pairs = nn.Sequential(*[ResidualPair(channels, dilation) for dilation in dilations])
        self.up = nn.Sequential(nn.Conv2d(channels, 4 * skip, 1), nn.PixelShuffle(2))
        self.join = conv_block(2 * skip, FEATURES)

    def forward(self, frames: Tensor) -> Tensor:
        detail = self.entry(frames)
        context = self.up(self.pairs(self.down(detail)))
        return self.join(torch.cat([detail, context], 1))
