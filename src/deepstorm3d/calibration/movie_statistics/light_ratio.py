"""How the light of two channels compares: that of the field that both show rises and falls in both together."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...channels import Transform
from ...field import Field

__all__ = ["FrameLight", "common_pixels", "light_ratio"]

# Fewest frames from which a ratio is found.
_FEWEST = 12
# Correlation of the two channels, noise taken off, below which they do not show the same molecules.
_LEAST_CORRELATION = 0.8


class FrameLight(NamedTuple):
    """Light of frames (B,), photons of their chosen pixels together, and the variance of the noise in it."""

    light: NDArray[np.float64]
    noise: float


def light_ratio(first: FrameLight, second: FrameLight) -> float | None:
    """Light of the second channel over that of the first, frame by frame of one recording.

    The light of a frame is a level, which the channels need not share, and that of its molecules, which goes
    the same way in both. Differences of successive frames have no level; the ratio is the direction in which
    they scatter together once the variance of their noise is taken off (Deming's regression, known noise).
    None where the frames are few or not as many, or do not go together.
    """
    if len(first.light) != len(second.light) or len(first.light) < _FEWEST:
        return None
    steps = np.diff(np.stack([first.light, second.light]), axis=1)
    scatter = steps @ steps.T / steps.shape[1]
    own, other = scatter[0, 0] - 2 * first.noise, scatter[1, 1] - 2 * second.noise
    both = float(scatter[0, 1])
    if own <= 0 or other <= 0 or both < _LEAST_CORRELATION * math.sqrt(own * other):
        return None
    return float((other - own + math.sqrt((other - own) ** 2 + 4 * both**2)) / (2 * both))


def common_pixels(first: Field, second: Field, transform: Transform) -> tuple[Tensor, Tensor]:
    """The pixels of two channels' frames, (H, W) bool each, whose centres the other channel shows too.

    first, second: the frames;  transform: from the first channel's µm to the second's.
    """
    there, far = transform.inverse_where(_centres(second))
    shown = second.inside(transform.apply(_centres(first))), first.inside(there) & ~far
    return shown[0].view(first.size), shown[1].view(second.size)


def _centres(field: Field) -> Tensor:
    """Centres (H·W, 2) µm of the pixels of a frame."""
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in field.size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1) * field.pixel_um
