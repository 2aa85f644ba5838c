"""How noisy a pixel is, by how bright it is: read off the frames, never below the camera's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..noise import SHOT_NOISE, Noise
from .prediction import PixelPredictor

__all__ = ["NoiseLaw", "brightness", "noise_law"]

# Classes of brightness in which the noise is measured, and the fewest pixels of one.
_CLASSES, _FEWEST = 12, 100
# Classes tell the slope from this share of the range of brightness on.
_BRIGHT = 0.02
# Median of χ² of one degree of freedom.
_MEDIAN = 0.4549
# Of the frames so many pixels are looked at, or one frame.
_SAMPLE = 2**17


@dataclass(frozen=True)
class NoiseLaw:
    """Variance of a pixel: a + g·(brightness − dark), photons², at least that of the camera's own noise.

    dark: brightness of the darkest places;  at_dark: a;  slope: g;  least: noise of the
    camera as it was described.
    """

    dark: float
    at_dark: float
    slope: float
    least: Noise = SHOT_NOISE

    def variance(self, bright: Tensor) -> Tensor:
        """For brightnesses of any shape."""
        seen = self.at_dark + self.slope * (bright - self.dark).clamp(min=0)
        # A photon is the least that can be seen: below one a count says nothing of the spread of others.
        return torch.maximum(seen, (self.least.excess * bright + self.least.read_variance).clamp(min=1.0))


def brightness(frames: Tensor) -> Tensor:
    """Mean of the eight pixels around each, of those that the frame has: (B, H, W)."""
    sums = functional.avg_pool2d(frames[:, None], 3, stride=1, padding=1)[:, 0] * 9 - frames
    one = torch.ones_like(frames[:1, None])
    count = functional.avg_pool2d(one, 3, stride=1, padding=1)[:, 0] * 9 - 1
    return sums / count.clamp(min=1)


def _sound_brightness(frames: Tensor) -> Tensor:
    """Median of the eight pixels around each: one that is hot does not make its neighbours seem bright."""
    wide = functional.pad(frames[:, None], (1,) * 4, mode="replicate")[:, 0]
    height, width = frames.shape[1:]
    around = [wide[:, i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return torch.stack(around).median(0).values


def noise_law(frames: Tensor, predictor: PixelPredictor, least: Noise) -> NoiseLaw:
    """The law of frames (B, H, W) of photons, from how far pixels lie off their predictions.

    Medians in classes of like brightness: neither molecules nor a few defects reach them.  The slope is that of
    most of the classes that are bright enough to tell it: in the brightest sharp spots may pass for noise.
    """
    frames = frames[:: max(1, frames.numel() // _SAMPLE)]
    usable = predictor.usable.expand_as(frames)
    bright = _sound_brightness(frames)[usable]
    square = ((frames - predictor(frames)).square() / predictor.spread)[usable]
    if not len(bright):
        return NoiseLaw(0.0, 0.0, 0.0, least)
    order = bright.argsort()
    size = max(_FEWEST, len(order) // _CLASSES)
    # A last class of the brightest few: they may be much brighter than the twelfth below them.
    rows = [*order.tensor_split(max(1, len(order) // size)), order[-_FEWEST:]]
    levels = torch.stack([bright[each].median() for each in rows]).double()
    variances = torch.stack([square[each].median() / _MEDIAN for each in rows]).double()
    bright = levels > levels[0] + (levels[-1] - levels[0]) * _BRIGHT
    rise = (variances[bright] - variances[0]) / (levels[bright] - levels[0])
    slope = max(0.0, float(rise.median())) if len(rise) else 0.0
    return NoiseLaw(float(levels[0]), float(variances[0]), slope, least)
