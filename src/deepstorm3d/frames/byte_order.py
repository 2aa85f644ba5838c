"""Counts whose two bytes were exchanged: a file read in the wrong byte order, told from its numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bytes_seem_swapped"]

# Noise over level is this much smaller in the other byte order, or the order is believed.
_QUIETER = 2.0
# Counts with an empty lower byte; more of them than this are no chance.
_ONE_BYTE, _OFTEN = 256, 0.5


def bytes_seem_swapped(counts: NDArray[Any]) -> bool:
    """Whether frames (B, H, W) of whole numbers make more sense with their bytes in the other order.

    The lower byte of a count is little more than noise, and the upper one follows the image. Exchanged, the
    noise jumps by 256 counts: the difference of neighbouring pixels over the level is then many times that of
    the right order. Counts below 256 have an empty upper byte; exchanged, they are multiples of 256.
    False for floating-point numbers and single bytes, which have no order, and for constant frames.
    """
    if counts.dtype.kind not in "iu" or counts.dtype.itemsize == 1 or not counts.size:
        return False
    if counts.min() == counts.max():
        return False
    swapped = counts.byteswap()
    if _level(swapped) >= _level(counts):
        return False
    some = counts[counts != 0]
    if float((some % _ONE_BYTE == 0).mean()) > _OFTEN:
        return True
    here, there = _roughness(counts), _roughness(swapped)
    return there > 0 and here > _QUIETER * there


def _level(counts: NDArray[Any]) -> float:
    return float(np.abs(counts.astype(np.float64)).mean())


def _roughness(counts: NDArray[Any]) -> float:
    """Median difference of neighbours along rows over the mean level; a few defective pixels do not matter."""
    values = counts.astype(np.float64)
    return float(np.median(np.abs(np.diff(values, axis=-1)))) / max(_level(counts), 1e-12)
