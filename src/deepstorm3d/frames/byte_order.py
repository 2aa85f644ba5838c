"""Recognizes counts whose two bytes are swapped: a file read in the wrong byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bytes_seem_swapped"]

# The bytes are called swapped if noise over level is smaller by this factor in the other byte order.
_QUIETER = 2.0
# Number of values of one byte.
_ONE_BYTE = 256
# Fraction of counts with an empty lower byte above which it is not a coincidence.
_OFTEN = 0.5


def bytes_seem_swapped(counts: NDArray[Any]) -> bool:
    """Whether frames (B, H, W) of integers are more plausible with their bytes in the other order.

    The lower byte of a count is mostly noise, and the upper byte follows the image. When they are swapped, the
    noise changes in steps of 256 counts: the difference of neighbouring pixels over the level is then many
    times that of the right order. Counts below 256 have an empty upper byte; swapped, they are multiples of
    256. False for floating-point numbers and single bytes, which have no byte order, and for constant frames.
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
    """Median difference of neighbours along rows over the mean level; robust against a few defective pixels."""
    values = counts.astype(np.float64)
    return float(np.median(np.abs(np.diff(values, axis=-1)))) / max(_level(counts), 1e-12)
