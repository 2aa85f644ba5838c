"""Frames whose background was taken off and clipped: how much noise is hidden below the least count."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["clipped_noise"]

# Where pixels are surrounded by the least count, at least this share of them has it too if frames were clipped:
# shot noise leaves so many only where a pixel has a photon or less.
_SHARE = 1 / 3
# Fewer pixels beside the least count tell nothing.
_FEWEST = 30
# Median of the absolute values of normal noise over its standard deviation.
_MEDIAN = 0.6745


def clipped_noise(counts: Tensor) -> float:
    """Noise that a pixel at the least count may hide, counts; 0 where counts do not end below.

    counts: (T, H, W).  Whoever takes the background off and sets to 0 what is below it, or below a threshold,
    leaves no noise in the dark to be measured.  A pixel with the least count then says only that its light was
    less than what can be seen.  What can be seen is told by the pixels with more than the least count that have
    one with it beside them: for normal noise cut in its middle they are its upper half, and for a threshold
    they lie just above it.
    """
    if not counts.numel():
        return 0.0
    least = float(counts.min())
    at_least = (counts == least).float()[:, None]
    beside = functional.avg_pool2d(at_least, 3, stride=1, padding=1, count_include_pad=False)
    dark = beside[:, 0] * 9 - at_least[:, 0] >= 5
    if not bool(dark.any()) or float(at_least[:, 0][dark].mean()) < _SHARE:
        return 0.0
    seen = counts[(counts > least) & (beside[:, 0] > 0)]
    return float((seen - least).median()) / _MEDIAN if len(seen) >= _FEWEST else 0.0
