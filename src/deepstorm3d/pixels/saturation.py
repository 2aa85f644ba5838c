"""The saturation level of a movie, found from its counts."""

from __future__ import annotations

from torch import Tensor

__all__ = ["plateau"]

_LEAST_PX = 12  # smallest number of pixels with the maximum count that is taken as saturation
_LEAST_COUNTS = 200  # smallest maximum count that is taken as saturation; lower ones occur often by chance
_NEAR = 0.02  # range below the maximum with which its frequency is compared, as a fraction of the whole range
_EXCESS = 2  # smallest ratio of the pixels at the maximum to those in that range


def plateau(counts: Tensor) -> float | None:
    """The count at which the pixels saturate; None if the frames show no saturation.

    counts: whole numbers, any shape.  All signals above the end of the scale have its count, so the maximum
    count is much more frequent than those just below it. Without saturation it is the rarest.
    """
    greatest = float(counts.max()) if counts.numel() else 0.0
    full = int((counts == greatest).sum())
    if greatest <= _LEAST_COUNTS or full < _LEAST_PX:
        return None
    dark = float(counts.flatten()[:: max(1, counts.numel() // 2**20)].median())
    reach = max(1.0, _NEAR * (greatest - dark))
    near = int(((counts < greatest) & (counts >= greatest - reach)).sum())
    # If most pixels have the maximum count, the test is not possible.
    return greatest if full >= _EXCESS * near and dark < greatest else None
