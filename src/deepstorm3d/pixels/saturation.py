"""Where the counts of a movie end: the level at which pixels are full, found from the counts themselves."""

from __future__ import annotations

from torch import Tensor

__all__ = ["plateau"]

# Counts that end in a plateau share the greatest value in so many pixels; below this value they may by chance.
_LEAST_PX, _LEAST_COUNTS = 12, 200
# And more of them have it than lie in this share of the range below it, so many times.
_NEAR, _TIMES = 0.02, 2


def plateau(counts: Tensor) -> float | None:
    """The count at which the pixels of frames are full, None where the counts end as those of noise do.

    counts: whole numbers, any shape.  What would be above the end of the scale lies at it, so the greatest
    count is far more frequent than those just below; without an end it is the rarest of all.
    """
    greatest = float(counts.max()) if counts.numel() else 0.0
    full = int((counts == greatest).sum())
    if greatest <= _LEAST_COUNTS or full < _LEAST_PX:
        return None
    dark = float(counts.flatten()[:: max(1, counts.numel() // 2**20)].median())
    reach = max(1.0, _NEAR * (greatest - dark))
    near = int(((counts < greatest) & (counts >= greatest - reach)).sum())
    # Where most pixels have the greatest value nothing can be told from it.
    return greatest if full >= _TIMES * near and dark < greatest else None
