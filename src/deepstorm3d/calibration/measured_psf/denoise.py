"""Averaged planes without most of their noise: a Wiener filter over the frequencies of the stack.

Noise that stays in the planes is worse than it looks. Between planes and pixels the spline averages it: every
molecule fits a little better there, in all of its thousands of pixels at once, and is drawn to such places.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["without_noise"]

# Cycles per pixel, in the diagonals, beyond which optics and blur leave hardly any light: there is the noise.
_DARK = 0.55


def without_noise(planes: Tensor) -> Tensor:
    """Planes (Z, h, h) of one PSF at even depths, float64, with each frequency damped by its noise.

    The stack is taken apart into cosines along the depth and waves across the image. Those of one cosine and
    one length of wave share a gain, 1 − noise/power (Wiener), at least 0; the noise is taken to be white, its
    power that of the fast cosines in the corners of the spectrum.
    """
    from scipy.fft import dct, idct

    count, side, _ = planes.shape
    along = torch.from_numpy(dct(planes.double().numpy(), axis=0, norm="ortho"))
    spectrum = torch.fft.fft2(along, norm="ortho")
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency).flatten()
    power = spectrum.abs().square().flatten(1)
    noise = power[count // 2 :, radius > _DARK].mean()
    ring = (radius * side).round().long()
    rings = int(ring.max()) + 1
    held = torch.bincount(ring, minlength=rings)
    mean = torch.zeros(count, rings, dtype=torch.float64).index_add_(1, ring, power) / held.clamp(min=1)
    gain = (1 - noise / mean.clamp(min=1e-300)).clamp(min=0)[:, ring].view_as(along)
    damped = torch.fft.ifft2(spectrum * gain, norm="ortho").real
    return torch.from_numpy(idct(damped.numpy(), axis=0, norm="ortho"))
