"""The rotated super-Gaussian: a smooth bump with a flat top, the light of a nucleus over a field."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .draws import uniform

__all__ = ["random_super_gaussian", "rescale", "super_gaussian"]


def super_gaussian(size: tuple[int, int], centre: Tensor, widths: Tensor, angle: Tensor) -> Tensor:
    """exp(−q²) with q = u²/(2 wu²) + v²/(2 wv²), (u, v) the offset from the centre turned by `angle`.

    size: (H, W) px;  centre: (B, 2) px from the first pixel, x then y;  widths: (B, 2) px, wu then wv;
    angle: (B,) rad, from x towards y;  returns (B, H, W), 0 to 1.
    """
    height, width = size
    x = torch.arange(width, device=centre.device, dtype=centre.dtype) - centre[:, 0, None, None]
    y = torch.arange(height, device=centre.device, dtype=centre.dtype)[:, None] - centre[:, 1, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u = (cos * x + sin * y) / widths[:, 0, None, None]
    v = (cos * y - sin * x) / widths[:, 1, None, None]
    return torch.exp(-(((u**2 + v**2) / 2) ** 2))


def rescale(shape: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Each image stretched so that its least pixel is `low` and its greatest `high`.

    shape: (B, H, W);  low, high: (B,);  returns (B, H, W), `low` everywhere where an image is flat.
    """
    least, most = shape.amin((1, 2), keepdim=True), shape.amax((1, 2), keepdim=True)
    fraction = (shape - least) / (most - least).clamp(min=torch.finfo(shape.dtype).tiny)
    return torch.lerp(low[:, None, None], high[:, None, None], fraction)


def random_super_gaussian(frames: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Super-Gaussians of random place, widths and angle, on the generator's device.

    Centre within ±10 px of the middle of the frame, widths a fifth to two fifths of the frame's,
    angle ±π/4.  size: (H, W) px;  returns (frames, H, W), 0 to 1.
    """
    height, width = size
    sides = torch.tensor([width, height], dtype=torch.float32, device=generator.device)
    centre = (sides - 1) / 2 + uniform(-10.0, 10.0, (frames, 2), generator)
    widths = uniform(sides / 5, sides * 2 / 5, (frames, 2), generator)
    angle = uniform(-math.pi / 4, math.pi / 4, (frames,), generator)
    return super_gaussian(size, centre, widths, angle)
