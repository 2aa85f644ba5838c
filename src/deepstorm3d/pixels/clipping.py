"""Frames whose background was subtracted and clipped: the noise that is hidden below the lowest count."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["clipped_noise"]

# Frames count as clipped if at least this fraction of the pixels surrounded by the lowest count also have it.
# With shot noise alone the fraction is that high only at one photon per pixel or less.
_SHARE = 1 / 3
_FEWEST = 30  # smallest number of pixels beside the lowest count from which the noise is estimated
_MEDIAN = 0.6745  # median of the absolute values of normal noise, in standard deviations


def clipped_noise(counts: Tensor) -> float:
    """σ of the noise hidden in pixels at the lowest count, in counts; 0 if the frames were not clipped.

    counts: (T, H, W).  If the background was subtracted and values below 0 (or a threshold) were set to 0,
    the noise of dark pixels can no longer be measured. A pixel at the lowest count then only shows that its
    signal was below the smallest visible one. That limit is estimated from the pixels above the lowest count
    that have a neighbour with it: they are the upper half of normal noise cut in its middle, or lie just above
    the threshold.
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
