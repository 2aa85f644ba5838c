"""Frames for tests of pixels: sums of the sharpest spots anywhere on a level, with shot noise."""

from __future__ import annotations

import torch
from torch import Tensor

from deepstorm3d.pixels.prediction import FinestSpot

SPOT = FinestSpot(wavelength=0.6, na=1.45, pixel_um=0.11)


def spots(size: int, places: Tensor, photons: Tensor, spot: FinestSpot = SPOT) -> Tensor:
    """Expected photons (size, size) of Airy discs in focus, point sampled: sharper than any real image.

    places: (N, 2) px, row and column;  photons: (N,) in the brightest pixel.
    """
    line = torch.arange(size, dtype=torch.float64)
    down, right = line[:, None] - places[:, :1, None], line - places[:, 1:, None]
    v = 2 * torch.pi * spot.na / spot.wavelength * spot.pixel_um * torch.hypot(down, right)
    airy = (2 * torch.special.bessel_j1(v.clamp(min=1e-6)) / v.clamp(min=1e-6)).square()
    return (airy * photons[:, None, None]).sum(0)


def movie(
    frames: int, size: int = 40, *, level: float = 60.0, molecules: int = 12, peak: float = 800.0, seed: int = 0
) -> Tensor:
    """Photons (frames, size, size): other molecules in every frame, in focus, up to the borders."""
    generator = torch.Generator().manual_seed(seed)
    shown = []
    for _ in range(frames):
        places = torch.rand(molecules, 2, generator=generator, dtype=torch.float64) * size
        bright = peak * (0.3 + torch.rand(molecules, generator=generator, dtype=torch.float64))
        shown.append(spots(size, places, bright) + level)
    return torch.poisson(torch.stack(shown).float(), generator=generator)
