"""Noise of a pixel as a function of its brightness, measured in the frames and at least the camera's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..noise import SHOT_NOISE, Noise
from .prediction import PixelPredictor

__all__ = ["NoiseLaw", "brightness", "noise_law"]

_CLASSES = 12  # number of brightness classes in which the noise is measured
_FEWEST = 100  # smallest number of pixels in a class
_BRIGHT = 0.02  # classes brighter than this fraction of the brightness range are used for the slope
_MEDIAN = 0.4549  # median of χ² with one degree of freedom
_SAMPLE = 2**17  # pixels that are used, approximately; at least one frame


@dataclass(frozen=True)
class NoiseLaw:
    """Variance of a pixel: a + g·(brightness − dark), photons², at least that of the camera's own noise.

    dark: brightness of the darkest areas, photons;  at_dark: a;  slope: g;  least: noise of the camera
    according to its description.
    """

    dark: float
    at_dark: float
    slope: float
    least: Noise = SHOT_NOISE

    def variance(self, bright: Tensor) -> Tensor:
        """Variance, photons², for brightnesses of any shape."""
        seen = self.at_dark + self.slope * (bright - self.dark).clamp(min=0)
        # The variance is at least 1, because below one photon the brightness does not determine it.
        return torch.maximum(seen, (self.least.excess * bright + self.least.read_variance).clamp(min=1.0))


def brightness(frames: Tensor) -> Tensor:
    """Mean of the eight pixels around each, as far as they are inside the frame: (B, H, W)."""
    sums = functional.avg_pool2d(frames[:, None], 3, stride=1, padding=1)[:, 0] * 9 - frames
    one = torch.ones_like(frames[:1, None])
    count = functional.avg_pool2d(one, 3, stride=1, padding=1)[:, 0] * 9 - 1
    return sums / count.clamp(min=1)


def _sound_brightness(frames: Tensor) -> Tensor:
    """Median of the eight pixels around each, so that a hot pixel does not make its neighbours seem bright."""
    wide = functional.pad(frames[:, None], (1,) * 4, mode="replicate")[:, 0]
    height, width = frames.shape[1:]
    around = [wide[:, i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return torch.stack(around).median(0).values


def noise_law(frames: Tensor, predictor: PixelPredictor, least: Noise) -> NoiseLaw:
    """Measure the noise law of frames (B, H, W) of photons from deviations of pixels from their predictions.

    It uses medians in classes of similar brightness, which molecules and a few defects do not change. The slope
    is the median over the bright classes, because in the brightest ones sharp spots can look like noise.
    """
    frames = frames[:: max(1, frames.numel() // _SAMPLE)]
    usable = predictor.usable.expand_as(frames)
    bright = _sound_brightness(frames)[usable]
    square = ((frames - predictor(frames)).square() / predictor.spread)[usable]
    if not len(bright):
        return NoiseLaw(0.0, 0.0, 0.0, least)
    order = bright.argsort()
    size = max(_FEWEST, len(order) // _CLASSES)
    # The last class contains only the brightest pixels, which may be much brighter than the others.
    rows = [*order.tensor_split(max(1, len(order) // size)), order[-_FEWEST:]]
    levels = torch.stack([bright[each].median() for each in rows]).double()
    variances = torch.stack([square[each].median() / _MEDIAN for each in rows]).double()
    bright = levels > levels[0] + (levels[-1] - levels[0]) * _BRIGHT
    rise = (variances[bright] - variances[0]) / (levels[bright] - levels[0])
    slope = max(0.0, float(rise.median())) if len(rise) else 0.0
    return NoiseLaw(float(levels[0]), float(variances[0]), slope, least)
