"""Frames without light to measure: black or constant, all saturated, or not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["full_count", "refuse_without_light", "without_light"]

# Fraction of saturated pixels from which the frames are called too bright.
_ALL_FULL = 0.9


def full_count(counts: NDArray[Any], saturation: float) -> float:
    """Count at which a pixel is saturated: from the camera, or the greatest number of the type in the file."""
    if np.issubdtype(counts.dtype, np.integer):
        return min(saturation, float(np.iinfo(counts.dtype).max))
    return saturation


def without_light(counts: NDArray[Any], saturation: float = float("inf")) -> str:
    """Why nothing can be measured in frames (B, H, W) of counts, in words; empty if something can be measured.

    saturation: the camera's greatest count.
    """
    if not counts.size:
        return "there is no frame"
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        bad = counts.size - int(np.isfinite(counts).sum())
        return (
            f"{bad} of {counts.size} pixels are NaN or infinite: give the raw counts of the camera, or leave "
            "such frames out"
        )
    full = float((counts >= full_count(counts, saturation)).mean())
    if full > _ALL_FULL:
        return (
            f"{full:.0%} of the pixels are saturated (counts up to {float(counts.max()):g}): lower the "
            "exposure or the gain, or correct camera.saturation"
        )
    low, high = float(counts.min()), float(counts.max())
    if low == high:
        what = "black" if low == 0 else "constant"
        return (
            f"the frames are {what}: all pixels of {len(counts)} frames have the count {low:g}; was the "
            "shutter open, and is this the right file?"
        )
    return ""


def refuse_without_light(counts: NDArray[Any], saturation: float, source: object) -> None:
    """Raises InputError naming the source where `without_light` finds a reason."""
    if reason := without_light(counts, saturation):
        raise InputError(f"{source}: {reason}")
