"""3×3 convolutions with a fifth of the multiplications (Winograd's algorithm), for inference on the CPU."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["WinogradConv2d", "WinogradPair", "can_be_winograd"]

_HAS_NUMBA = importlib.util.find_spec("numba") is not None
# Channels in times channels out: with 32 of each, the transforms take as long as the multiplications that they
# save.
_LEAST_PRODUCTS = 64 * 32
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # of the interpolation; the eighth is infinity
# Most values for each output sample: 64/36 = 1.8 if the tiles fill the image. In a small image with a large
# dilation most of each tile lies outside, and the direct convolution is faster.
_MOST_VALUES = 3.0
_TILES = 80  # about so many at a time: they stay in the cache, and are enough for a fast matrix product
_STRIDE = 65  # places between tiles; with 64, many would share one part of the cache


def can_be_winograd(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that `WinogradConv2d` can do, and faster."""
    return (
        _HAS_NUMBA
        and isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3)
        and layer.stride == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and layer.padding == layer.dilation
        and layer.dilation[0] == layer.dilation[1]
        and layer.in_channels * layer.out_channels >= _LEAST_PRODUCTS
    )


class WinogradConv2d(nn.Module):
    """A trained convolution (`can_be_winograd`), faster: F(6×6, 3×3) of Lavin & Gray, CVPR 2016.

    Tiles of 8×8 samples become 64 values each. Their products with the weights, summed over the channels, give
    6×6 samples: 64 multiplications in place of 324. A dilated convolution is the same on every d-th row and
    column. The result differs by rounding: about 1e-5 of the largest value.

    It computes in single precision also within autocast, and from images in bfloat16.
    direct: the convolution. It also does what the fast form does not: small images, gradients, other types;
    positive: set negative values of the result to 0 (ReLU), while its rows are in the cache.
    """

    weight: Tensor

    def __init__(self, direct: nn.Conv2d, *, positive: bool = False) -> None:
        super().__init__()
        self.direct, self.positive = direct.requires_grad_(False), positive
        kernel = torch.from_numpy(_kernel_transform())
        weight = torch.einsum("ij,ocjk,lk->ilco", kernel, direct.weight.double(), kernel)
        self.register_buffer("weight", weight.reshape(64, *weight.shape[2:]).float(), persistent=False)

    def forward(self, images: Tensor, plus: Tensor | None = None) -> Tensor:
        """images: (B, C, H, W);  plus: (B, D, H, W), added to the result;  returns (B, D, H, W)."""
        height, width = images.shape[-2:]
        known = images.dtype in (torch.float32, torch.bfloat16)
        simple = known and images.device.type == "cpu" and not images.requires_grad
        if not simple or not self.suits(height, width):
            out = self.direct(images)
            out = out if plus is None else out.add_(plus)
            return out.relu_() if self.positive else out
        with torch.autocast("cpu", enabled=False):
            return self._by_tiles(images, None if plus is None else plus.float())

    def _by_tiles(self, images: Tensor, plus: Tensor | None) -> Tensor:
        """See `forward`."""
        height, width = images.shape[-2:]
        if self.direct.dilation[0] > 1:
            images = images.float()  # the rows of a strip lie far apart (`_band`)
        images = images.contiguous(memory_format=torch.channels_last)
        shape = (len(images), self.direct.out_channels, height, width)
        out = torch.empty(shape, memory_format=torch.channels_last)
        if plus is None:
            more = out.new_empty(len(images), height, 0)
        else:
            more = _lines(plus.contiguous(memory_format=torch.channels_last))
        bias = out.new_zeros(shape[1]) if self.direct.bias is None else self.direct.bias
        end = bias.repeat(width).numpy(), self.positive
        for image, added, result in zip(_lines(images), more, _lines(out), strict=True):
            self._convolve(image, result, (end[0], added.numpy(), end[1]))
        return out

    def suits(self, height: int, width: int) -> bool:
        """Whether images of this size, px, are convolved faster by tiles."""
        dilation = self.direct.dilation[0]
        return 64 * _tiles(height, dilation) * _tiles(width, dilation) <= _MOST_VALUES * height * width

    def _convolve(self, image: Tensor, out: Tensor, end: tuple[np.ndarray, np.ndarray, bool]) -> None:
        """Convolve one image (H, W·C) into `out` (H, W·D), some strips at a time.  end: see `from_tiles`."""
        from .winograd_compiled import from_tiles, to_tiles

        _, channels, channels_out = self.weight.shape
        dilation = self.direct.dilation[0]
        across = _tiles(image.shape[1] // channels, dilation)
        strips = _strips(len(image), dilation)
        some = max(1, round(_TILES / across))
        room = torch.empty(some * across * _STRIDE * channels), torch.empty(some * across * 64 * channels_out)
        for part in (strips[first : first + some] for first in range(0, len(strips), some)):
            count = len(part) * across
            tiles = room[0][: count * _STRIDE * channels].view(count, _STRIDE, channels)
            products = room[1][: count * 64 * channels_out].view(64, count, channels_out)
            lines, numbers = _band(image, part)
            to_tiles(lines.numpy(), dilation, numbers, tiles.numpy())
            torch.bmm(tiles[:, :64].transpose(0, 1), self.weight, out=products)
            from_tiles(products.view(8, 8, count, channels_out).numpy(), dilation, part, out.numpy(), *end)


class WinogradPair(nn.Module):
    """A `ResidualPair` that adds its input while the rows of its second result are in the cache."""

    def __init__(self, first: nn.Module, second: WinogradConv2d) -> None:
        super().__init__()
        self.first = first
        self.second = WinogradConv2d(second.direct, positive=True)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W);  returns the same shape."""
        return self.second(self.first(features), features)


def _tiles(size: int, dilation: int) -> int:
    """Tiles along an axis of `size` samples, in all of its `dilation` interleaved parts together."""
    return sum(-(-len(range(first, size, dilation)) // 6) for first in range(min(dilation, size)))


def _strips(height: int, dilation: int) -> np.ndarray:
    """The strips of an image as `to_tiles` takes them: (S, 2) part of the image, number in this part."""
    parts = [range(first, height, dilation) for first in range(min(dilation, height))]
    return np.array([(part.start, number) for part in parts for number in range(-(-len(part) // 6))])


def _band(image: Tensor, strips: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The rows of an image (H, W·C) that some strips need, in float32, and the strips, counted in these rows.

    Of an image in float32 all rows.
    """
    if image.dtype == torch.float32:
        return image, strips
    # A part at a time stays in the cache.
    first = max(0, int(strips[0, 1]) - 1)
    return image[6 * first : 6 * (int(strips[-1, 1]) + 2)].float(), strips - [0, first]


def _lines(images: Tensor) -> Tensor:
    """(B, C, H, W), channels innermost → (B, H, W·C) without a copy."""
    batch, channels, height, width = images.shape
    return images.permute(0, 2, 3, 1).view(batch, height, width * channels)


def _kernel_transform() -> np.ndarray:
    """The (8, 3) transform of three taps, which belongs to the two transforms in `winograd_compiled`.

    The taps become the values of their polynomial at the points, times what those of the samples lack.
    """

    def powers(count: int) -> np.ndarray:
        finite = np.array(_POINTS)[:, None] ** np.arange(count)
        return np.concatenate([finite, np.eye(1, count, count - 1)])

    exact = np.linalg.inv(powers(8)).T
    # In `winograd_compiled` the coefficient of the first sample of v₀, of d₆ of v₁ … v₆ and of d₇ of v₇ is 1.
    scale = np.array([exact[0, 0], *exact[1:7, 6], exact[7, 7]])
    return powers(3) * scale[:, None]
