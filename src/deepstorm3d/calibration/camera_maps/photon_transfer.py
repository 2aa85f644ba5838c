"""Gain, baseline and read noise of every pixel from dark and evenly lit movies: mean against variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pixel_moments import PixelMoments

__all__ = ["DarkCheck", "LightLevel", "PhotonTransfer", "check_dark", "photon_transfer"]

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A pixel whose gain differs by so many σ and such a share of the mean gives no believable one.
_FAR_SIGMA, _FAR_SHARE = 6.0, 0.3
# Nor does one whose gain is so many times less certain than the typical pixel's: no light reaches it.
_DIM = 5.0
ROUNDING = 1 / 12
"""Variance that whole numbers add, ADU²."""


@dataclass(frozen=True)
class LightLevel:
    """One movie of even light, its dark level taken off and its frames divided by their common light.

    moments: of the frames so made, ADU;  light: (n,) of each frame, as a share of the first;  full: pixels that
    were saturated in some frame.
    """

    moments: PixelMoments
    light: Image
    full: Mask

    @property
    def shot_share(self) -> float:
        """By how much the division raises the variance of the light: mean of 1/light."""
        return float((1 / self.light).mean())

    @property
    def dark_share(self) -> float:
        """By how much it raises that of the dark: mean of 1/light²."""
        return float((1 / self.light**2).mean())

    def line(self, dark_variance: Image) -> tuple[Image, Image]:
        """Mean and variance of the light alone, so that variance = gain · mean; (h, w) ADU and ADU²."""
        # The common light is taken from the same pixels, which so lose a little of their own noise.
        variance = self.moments.variance / (1 - 1 / self.full.size)
        return self.moments.mean * self.shot_share, variance - self.dark_share * dark_variance


@dataclass(frozen=True)
class PhotonTransfer:
    """What the movies say of the pixels.

    baseline: (h, w) ADU;  gain: (h, w) ADU/e-;  read_noise: (h, w) e- rms;  mean_gain: of the usable pixels;
    spread: of the gain from pixel to pixel beyond chance, as a share of it;  chance: statistical error of one
    pixel's gain, as a share;  defects: pixels without a believable gain, which have the mean;  by_level: mean
    gain that each movie gives by itself.
    """

    baseline: Image
    gain: Image
    read_noise: Image
    mean_gain: float
    spread: float
    chance: float
    defects: Mask
    by_level: tuple[float, ...]


def photon_transfer(
    dark: PixelMoments, levels: Sequence[LightLevel], *, whole: bool, gain: float | None = None
) -> PhotonTransfer:
    """Maps from the moments of frames without and with light.

    whole: whether the counts are whole numbers;  gain: ADU/e-, where there are no levels.
    The gain of a pixel is the least-squares slope, through 0, of variance against mean over the levels (Huang
    et al. 2013, Nat. Methods 10:653, Supplementary Note), each level counted by how well it is known. N frames
    leave it uncertain by √(2/N), mostly more than pixels differ: what is known of their differences (the
    variance beyond chance) draws each towards the mean, which makes the map's error least (empirical Bayes).
    """
    variance = dark.variance
    if levels:
        slope, sigma, usable, by_level = _slopes(variance, dark.count, levels)
        mean_gain = float(slope[usable].mean())
        chance = float(np.median(sigma[usable]))
        real = max(float(slope[usable].var()) - float((sigma[usable] ** 2).mean()), 0.0)
        # A pixel that is quiet by chance is not better known for it.
        kept = real / (real + np.maximum(sigma, chance) ** 2)
        drawn = np.where(usable, mean_gain + kept * (slope - mean_gain), mean_gain)
    elif gain is not None:
        drawn, usable = np.full(variance.shape, gain), np.ones(variance.shape, bool)
        mean_gain, chance, real, by_level = gain, 0.0, 0.0, ()
    else:
        raise ValueError("without bright movies the gain must be given")
    noise = np.sqrt(np.maximum(variance - (ROUNDING if whole else 0.0), 0.0)) / drawn
    return PhotonTransfer(
        dark.mean, drawn, noise, mean_gain, real**0.5 / mean_gain, chance / mean_gain, ~usable, by_level
    )


def _slopes(
    dark_variance: Image, dark_frames: int, levels: Sequence[LightLevel]
) -> tuple[Image, Image, Mask, tuple[float, ...]]:
    """Gain (h, w) and its σ by weighted least squares; pixels that have one; the mean gain of each level."""
    above, below, noise = (np.zeros(dark_variance.shape) for _ in range(3))
    by_level = []
    for level in levels:
        x, y = level.line(dark_variance)
        # Of the whole chip, not of the pixel: a pixel that seems quiet by chance would count for more.
        typical = float(np.median(level.moments.variance))
        weight = np.where(level.full, 0.0, (level.moments.count - 1) / typical**2)
        above, below = above + weight * x * y, below + weight * x**2
        error = 2 * level.moments.variance**2 / (level.moments.count - 1)
        error = error + 2 * (level.dark_share * dark_variance) ** 2 / (dark_frames - 1)
        noise = noise + (weight * x) ** 2 * error
        by_level.append(_ratio(x, y, ~level.full))
    lit = below > 0
    safe = np.where(lit, below, 1.0)
    slope, sigma = above / safe, np.sqrt(noise) / safe
    middle, typical = float(np.median(slope[lit])), float(np.median(sigma[lit]))
    known = lit & (sigma < _DIM * typical)
    believable = known & (np.abs(slope - middle) < max(_FAR_SIGMA * typical, _FAR_SHARE * middle))
    return slope, sigma, believable, tuple(by_level)


def _ratio(x: Image, y: Image, usable: Mask) -> float:
    """Gain of a level: mean of the middle 98 % of the pixels' ratios, so that defects do not count."""
    ratio = (y / np.where(x > 0, x, np.nan))[usable]
    low, high = np.nanquantile(ratio, [0.01, 0.99])
    return float(np.nanmean(ratio[(ratio >= low) & (ratio <= high)]))


@dataclass(frozen=True)
class DarkCheck:
    """What maps say of dark frames that they were not made from.

    bias: mean of what is left of the frames, ADU;  scatter: rms of what is left of the pixels' means, over what
    chance gives (1: nothing else);  variance_ratio: of their variance to that of the maps, all pixels together.
    """

    bias: float
    scatter: float
    variance_ratio: float


def check_dark(maps_of: PixelMoments, fresh: PixelMoments) -> DarkCheck:
    """Fresh dark frames against those that the maps are made from."""
    left = fresh.mean - maps_of.mean
    expected = (maps_of.variance + 1e-12) * (1 / maps_of.count + 1 / fresh.count)
    # One level that all pixels share is the bias; the scatter is of the pixels around it.
    apart = left - left.mean()
    scatter = float(np.median(np.abs(apart) / np.sqrt(expected)) / 0.6745)
    ratio = np.median(fresh.variance / np.maximum(maps_of.variance, 1e-12))
    # The median of a ratio of two χ² variates of n and m degrees of freedom is (1 − 2/(9m))³ / (1 − 2/(9n))³.
    n, m = maps_of.count - 1, fresh.count - 1
    return DarkCheck(float(left.mean()), scatter, float(ratio) * ((1 - 2 / (9 * n)) / (1 - 2 / (9 * m))) ** 3)
