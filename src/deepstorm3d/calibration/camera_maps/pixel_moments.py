"""Mean and variance of every pixel over frames that are read once, block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pixels.counts import whole_counts

__all__ = ["PixelMoments", "Top"]

Image = NDArray[np.float64]
# A count is taken as saturation if it has this many times more pixels than any of the counts just below it.
_PLATEAU = 3.0
# Number of these counts below it.
_BELOW = 5
# Fraction of pixels of one value in all frames from which a movie is blank.
_BLANK = 0.5
# Fewest pixels at a count that is taken as saturation.
_LEAST = 12


@dataclass
class PixelMoments:
    """Moments of frames (n, h, w), in float64, by Chan, Golub & LeVeque 1983 (Am. Stat. 37:242).

    steps: sum of the squared differences of successive frames; half of their mean is also the variance, but
    without slow changes;  level: mean of each frame.
    """

    size: tuple[int, int]
    count: int = 0
    mean: Image = field(init=False)
    squares: Image = field(init=False)
    steps: float = 0.0
    level: list[float] = field(default_factory=list)
    _last: Image | None = None

    def __post_init__(self) -> None:
        self.mean, self.squares = np.zeros(self.size), np.zeros(self.size)

    def add(self, frames: Image) -> None:
        """Add a block of frames (n, h, w)."""
        mean = frames.mean(0)
        self._join(len(frames), mean, ((frames - mean) ** 2).sum(0))
        self.level += frames.mean((1, 2)).tolist()
        before = frames[:1] if self._last is None else self._last[None]
        self.steps += float(((frames - np.concatenate([before, frames[:-1]])) ** 2).mean((1, 2)).sum())
        self._last = frames[-1].copy()

    def joined(self, other: PixelMoments) -> PixelMoments:
        """Moments of both together, with the other's frames after these."""
        both = PixelMoments(self.size, level=[*self.level, *other.level], steps=self.steps + other.steps)
        for part in (self, other):
            both._join(part.count, part.mean, part.squares)
        return both

    def _join(self, count: int, mean: Image, squares: Image) -> None:
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + squares + apart**2 * (self.count * count / max(total, 1))
        self.mean = self.mean + apart * (count / max(total, 1))
        self.count = total

    @property
    def variance(self) -> Image:
        """Unbiased variance of each pixel over the frames, (h, w)."""
        return self.squares / (self.count - 1)

    @property
    def still(self) -> NDArray[np.bool_]:
        """Pixels (h, w) of one value in all frames, but for what float64 loses in the sums."""
        return self.variance <= 1e-24 * (1 + self.mean**2)

    @property
    def blank(self) -> bool:
        """Whether most pixels are still: that says something about the movie, and nothing about a pixel."""
        return float(self.still.mean()) >= _BLANK

    @property
    def slowness(self) -> float:
        """Variance over all frames relative to that of successive frames: 1 where nothing changes slowly."""
        half = self.steps / (2 * (self.count - 1))
        return float(self.variance.mean()) / half if half > 0 else 1.0


class Top:
    """The largest counts of movies, and the pixels that reach them."""

    def __init__(self, size: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._limit = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
        self._greatest = np.full(size, -np.inf)
        # Pixels at the greatest count and at each of those just below it; of use while all are whole numbers.
        self._pixels, self._whole = np.zeros(_BELOW + 1, np.int64), True

    def add(self, counts: NDArray[Any]) -> None:
        """Add a block of counts (n, h, w)."""
        before = float(self._greatest.max())
        self._greatest = np.maximum(self._greatest, counts.max(0))
        self._whole = self._whole and whole_counts(counts)
        if self._whole:
            greatest = float(self._greatest.max())
            further = int(min(greatest - before, _BELOW + 1))
            kept = np.concatenate([np.zeros(further, np.int64), self._pixels])[: _BELOW + 1]
            under = greatest - counts[counts >= greatest - _BELOW].astype(np.float64)
            self._pixels = kept + np.bincount(under.astype(np.int64), minlength=_BELOW + 1)

    @property
    def end(self) -> float:
        """The count at which pixels saturate: of the type, or where these counts pile up; inf if neither."""
        greatest = float(self._greatest.max())
        if greatest >= self._limit:
            return self._limit
        at, below = int(self._pixels[0]), int(self._pixels[1:].max())
        piled = self._whole and at >= _LEAST and at > _PLATEAU * max(1, below)
        return greatest if piled else np.inf

    @property
    def full(self) -> NDArray[np.bool_]:
        """Pixels (h, w) that reach it in any frame."""
        return self._greatest >= self.end
