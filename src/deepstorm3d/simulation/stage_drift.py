"""Drift of the stage while a movie is recorded."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..draws import uniform

__all__ = ["smooth_drift"]

_WAVES = 4  # number of sine waves that modulate the steady drift


def smooth_drift(frames: int, reach_um: tuple[float, float, float], generator: torch.Generator) -> Tensor:
    """Displacement of the sample in each frame: (frames, 3) µm, x, y, z; 0 in the first frame.

    The drift is steady with slower and faster parts, and its direction along each axis is random. Along each
    axis the curve has the range `reach_um` between its minimum and maximum, for any number of frames.
    Raises ValueError for a negative reach.
    """
    reach = torch.tensor(reach_um, dtype=torch.float64, device=generator.device)
    if (reach < 0).any():
        raise ValueError(f"the reach of a drift must not be negative, got {reach_um} µm")
    time = torch.linspace(0, 1, frames, dtype=torch.float64, device=generator.device)[:, None]
    curve = time.repeat(1, 3)
    for wave in range(1, _WAVES + 1):
        size = uniform(-0.3, 0.3, (3,), generator).double() / wave
        phase = uniform(0.0, 2 * math.pi, (3,), generator).double()
        curve = curve + size * torch.sin(2 * math.pi * wave * time + phase)
    direction = 1.0 - 2.0 * torch.randint(2, (3,), generator=generator, device=generator.device)
    curve = direction * (curve - curve[:1])
    span = curve.amax(0) - curve.amin(0)
    return (curve * reach / span.clamp(min=1e-12)).float()
