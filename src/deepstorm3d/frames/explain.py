"""How well a model image explains a camera frame: correlation and Poisson deviance."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["correlation", "deviance_per_pixel"]


def correlation(frame: Tensor, model: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Pearson correlation of the pixel values of two images; scale and offset do not matter.

    frame, model: (..., H, W);  pixels: (..., H, W) or (H, W) bool, the pixels that count (None: all);
    returns (...), −1 to 1, and 0 where one of the images is constant.
    Raises ValueError where no pixel counts.
    """
    frame, model, weight, count = _prepare(frame, model, pixels)
    a = (frame - _mean(frame, weight, count)[..., None, None]) * weight
    b = (model - _mean(model, weight, count)[..., None, None]) * weight
    covariance = (a * b).sum(dim=(-2, -1))
    spread = a.square().sum(dim=(-2, -1)).sqrt() * b.square().sum(dim=(-2, -1)).sqrt()
    # Rounding leaves a constant image a spread of about 1e-16 of its values; that is no spread.
    scale = (frame.abs().amax(dim=(-2, -1)) * model.abs().amax(dim=(-2, -1))) * count
    varies = spread > 1e-12 * scale
    return torch.where(varies, covariance / torch.where(varies, spread, 1.0), 0.0).clamp(-1.0, 1.0)


def deviance_per_pixel(frame_photons: Tensor, model_photons: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Poisson deviance per pixel: about 1 where the model explains the frame down to its shot noise.

    ``2 · mean(μ − n + n log(n / μ))``, n the photons seen and μ those expected; the reference of 1
    holds above a few photons per pixel.

    frame_photons: (..., H, W), below 0 counts as 0;  model_photons: (..., H, W), kept above 1e-6;
    pixels: bool, the pixels that count (None: all);  returns (...).
    Raises ValueError where no pixel counts.
    """
    seen, expected, weight, count = _prepare(frame_photons, model_photons, pixels)
    seen, expected = seen.clamp(min=0.0), expected.clamp(min=1e-6)
    deviance = 2.0 * (expected - seen + torch.xlogy(seen, seen / expected))
    return _mean(deviance, weight, count)


def _prepare(frame: Tensor, model: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both images in double precision (sums of squares over a million pixels), weights, pixels counted."""
    if frame.shape[-2:] != model.shape[-2:]:
        raise ValueError(f"frame is {tuple(frame.shape[-2:])} px, model image {tuple(model.shape[-2:])} px")
    frame, model = torch.broadcast_tensors(frame.double(), model.double())
    if pixels is None:
        pixels = torch.ones(frame.shape[-2:], dtype=torch.bool, device=frame.device)
    weight = pixels.to(torch.bool).expand_as(frame)
    count = weight.sum(dim=(-2, -1)).double()
    if bool((count == 0).any()):
        raise ValueError("no pixel counts: the pixel mask is empty for at least one image")
    # Masked pixels may hold anything, NaN included: blank them before any arithmetic.
    return frame.where(weight, 0.0), model.where(weight, 0.0), weight.double(), count


def _mean(image: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    return (image * weight).sum(dim=(-2, -1)) / count
