"""Histograms of the pixel values of several sets of frames, over the same bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError

__all__ = ["PixelHistogram", "pixel_histograms"]

# Bins of a histogram.
_BINS = 100
# Percentiles between which the bins lie: single hot pixels would make all others one bin.
_ENDS = [0.01, 99.99]


@dataclass(frozen=True)
class PixelHistogram:
    """Pixel values of one set of frames.

    share: (100,) of its pixels in each bin;  median, deviation: of all its values.
    """

    share: NDArray[np.float64]
    median: float
    deviation: float


def pixel_histograms(
    frames: Mapping[str, Tensor | NDArray[Any]],
) -> tuple[NDArray[np.float64], dict[str, PixelHistogram]]:
    """Edges (101,) of the bins that all share, and the histogram of each set.

    frames: by name, of any shape, all in the same unit; values that are not finite are left out.
    Raises InputError where a set has no finite value.
    """
    values = {}
    for name, each in frames.items():
        flat = torch.as_tensor(each).detach().cpu().double().numpy().ravel()
        values[name] = flat[np.isfinite(flat)]
        if len(values[name]) == 0:
            raise InputError(f"the {name} frames have no finite pixel value; there is nothing to compare")
    ends = [np.percentile(each, _ENDS) for each in values.values()]
    low, high = min(pair[0] for pair in ends), max(pair[1] for pair in ends)
    edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    return edges, {
        name: PixelHistogram(
            np.histogram(each, bins=edges)[0] / len(each), float(np.median(each)), float(each.std())
        )
        for name, each in values.items()
    }
