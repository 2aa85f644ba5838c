"""How well a model image explains a camera frame: correlation and Poisson deviance."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["correlation", "deviance_per_pixel"]


def correlation(frame: Tensor, model: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Pearson correlation of the pixel values of two images; independent of scale and offset.

    frame, model: (..., H, W);  pixels: (..., H, W) or (H, W) bool, the pixels that are used (None: all);
    returns (...), −1 to 1, and 0 where one of the images is constant.
    Raises ValueError where no pixel is used.
    """
    frame, model, weight, count = _prepare(frame, model, pixels)
    a = (frame - _mean(frame, weight, count)[..., None, None]) * weight
    b = (model - _mean(model, weight, count)[..., None, None]) * weight
    covariance = (a * b).sum(dim=(-2, -1))
    spread = a.square().sum(dim=(-2, -1)).sqrt() * b.square().sum(dim=(-2, -1)).sqrt()
    # Rounding gives a constant image a standard deviation of about 1e-16 of its values, which counts as 0.
    scale = (frame.abs().amax(dim=(-2, -1)) * model.abs().amax(dim=(-2, -1))) * count
    varies = spread > 1e-12 * scale
    return torch.where(varies, covariance / torch.where(varies, spread, 1.0), 0.0).clamp(-1.0, 1.0)


def deviance_per_pixel(frame_photons: Tensor, model_photons: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Poisson deviance per pixel: about 1 where the model explains the frame down to its shot noise.

    ``2 · mean(μ − n + n log(n / μ))``, with n the measured and μ the expected photons; the value 1 for a good
    model is valid above a few photons per pixel.

    frame_photons: (..., H, W), values below 0 count as 0;  model_photons: (..., H, W), limited to at least
    1e-6; pixels: bool, the pixels that are used (None: all);  returns (...).
    Raises ValueError where no pixel is used.
    """
    seen, expected, weight, count = _prepare(frame_photons, model_photons, pixels)
    seen, expected = seen.clamp(min=0.0), expected.clamp(min=1e-6)
    deviance = 2.0 * (expected - seen + torch.xlogy(seen, seen / expected))
    return _mean(deviance, weight, count)


def _prepare(frame: Tensor, model: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both images in double precision (sums of squares over a million pixels), weights, number of pixels."""
    if frame.shape[-2:] != model.shape[-2:]:
        raise ValueError(f"frame is {tuple(frame.shape[-2:])} px, model image {tuple(model.shape[-2:])} px")
    frame, model = torch.broadcast_tensors(frame.double(), model.double())
    if pixels is None:
        pixels = torch.ones(frame.shape[-2:], dtype=torch.bool, device=frame.device)
    weight = pixels.to(torch.bool).expand_as(frame)
    count = weight.sum(dim=(-2, -1)).double()
    if bool((count == 0).any()):
        raise ValueError("no pixel counts: the pixel mask is empty for at least one image")
    # Masked pixels may contain anything, NaN included, so they are set to 0 before any arithmetic.
    return frame.where(weight, 0.0), model.where(weight, 0.0), weight.double(), count


def _mean(image: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    return (image * weight).sum(dim=(-2, -1)) / count
