"""Gain, baseline and read noise of every pixel from dark and evenly lit movies: mean against variance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pixel_moments import PixelMoments

__all__ = ["DarkCheck", "LightLevel", "PhotonTransfer", "check_dark", "photon_transfer"]

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A gain is rejected if it differs from the mean by this many σ …
_FAR_SIGMA = 6.0
# … and by this fraction of the mean.
_FAR_SHARE = 0.3
# A gain is also rejected if its σ is this many times that of the typical pixel: no light reaches the pixel.
_DIM = 5.0
# Chance that any quiet pixel gives one count in all dark frames, below which one that does is dead.
_ONE_COUNT = 0.01
ROUNDING = 1 / 12
"""Variance added by rounding to integers, ADU²."""


@dataclass(frozen=True)
class LightLevel:
    """One movie of even light, with its dark level subtracted and its frames divided by their common light.

    moments: of these frames, ADU;  light: (n,) of each frame, relative to the first;  full: pixels that were
    saturated in any frame.
    """

    moments: PixelMoments
    light: Image
    full: Mask

    @property
    def shot_share(self) -> float:
        """Factor by which the division increases the variance of the light: mean of 1/light."""
        return float((1 / self.light).mean())

    @property
    def dark_share(self) -> float:
        """Factor by which it increases the variance of the dark signal: mean of 1/light²."""
        return float((1 / self.light**2).mean())

    def line(self, dark_variance: Image) -> tuple[Image, Image]:
        """Mean and variance of the light alone, so that variance = gain · mean; (h, w) ADU and ADU²."""
        # The common light is measured on the same pixels, which removes a small part of their own noise.
        variance = self.moments.variance / (1 - 1 / self.full.size)
        return self.moments.mean * self.shot_share, variance - self.dark_share * dark_variance


@dataclass(frozen=True)
class PhotonTransfer:
    """Results of the movies for each pixel.

    baseline: (h, w) ADU;  gain: (h, w) ADU/e-;  read_noise: (h, w) e- rms;  mean_gain: of the usable pixels;
    spread: relative variation of the gain between pixels, beyond chance;  chance: relative statistical error of
    one pixel's gain;  defects: pixels without an acceptable gain, which get the mean, and those that give one
    count in the dark, which get the typical read noise too;  by_level: mean gain from each movie alone;
    lines: mean (n,) ADU and variance (n,) ADU² of the light alone in each movie, of the pixels that were not
    saturated in it.
    """

    baseline: Image
    gain: Image
    read_noise: Image
    mean_gain: float
    spread: float
    chance: float
    defects: Mask
    by_level: tuple[float, ...]
    lines: tuple[tuple[Image, Image], ...] = ()


def photon_transfer(
    dark: PixelMoments, levels: Sequence[LightLevel], *, whole: bool, gain: float | None = None
) -> PhotonTransfer:
    """Maps from the moments of frames without and with light.

    whole: whether the counts are integers;  gain: ADU/e-, where there are no levels.
    The gain of a pixel is the least-squares slope, through 0, of variance against mean over the levels (Huang
    et al. 2013, Nat. Methods 10:653, Supplementary Note), each level weighted by its precision. With N frames
    its relative error is √(2/N), mostly more than the differences between pixels. Therefore each gain is shrunk
    towards the mean according to the variance beyond chance, which minimizes the error of the map (empirical
    Bayes).
    """
    variance, dead = dark.variance, _dead(dark, whole=whole)
    if levels:
        slope, sigma, usable, by_level = _slopes(variance, dark.count, levels)
        usable &= ~dead
        mean_gain = float(slope[usable].mean())
        chance = float(np.median(sigma[usable]))
        real = max(float(slope[usable].var()) - float((sigma[usable] ** 2).mean()), 0.0)
        # A pixel whose noise is low by chance is not known more precisely.
        kept = real / (real + np.maximum(sigma, chance) ** 2)
        drawn = np.where(usable, mean_gain + kept * (slope - mean_gain), mean_gain)
    elif gain is not None:
        drawn, usable = np.full(variance.shape, gain), ~dead
        mean_gain, chance, real, by_level = gain, 0.0, 0.0, ()
    else:
        raise ValueError("without bright movies the gain must be given")
    noise = np.sqrt(np.maximum(variance - (ROUNDING if whole else 0.0), 0.0)) / drawn
    if dead.any():
        noise[dead] = np.median(noise[~dead])
    spread, chance = real**0.5 / mean_gain, chance / mean_gain
    lines = tuple(_usable_line(level, variance) for level in levels)
    return PhotonTransfer(dark.mean, drawn, noise, mean_gain, spread, chance, ~usable, by_level, lines)


def _dead(dark: PixelMoments, *, whole: bool) -> Mask:
    """Pixels of one count in all dark frames, where one of half the typical noise shows more than one.

    Rounded to whole counts, Gaussian noise of σ stays at one of them for N frames with a chance of at most
    erf(1/(√8 σ))ᴺ: where the typical noise is small for that, or the movie is blank, nothing is told of
    the pixels.
    """
    quiet = (float(np.median(dark.variance)) - (ROUNDING if whole else 0.0)) / 4
    if dark.blank or quiet <= 0:
        return np.zeros_like(dark.still)
    chance = math.erf(1 / math.sqrt(8 * quiet)) ** dark.count if whole else 0.0
    return dark.still & (dark.still.size * chance < _ONE_COUNT)


def _usable_line(level: LightLevel, dark_variance: Image) -> tuple[Image, Image]:
    """Mean and variance of the light of the pixels that were not saturated, (n,) each."""
    mean, variance = level.line(dark_variance)
    return mean[~level.full], variance[~level.full]


def _slopes(
    dark_variance: Image, dark_frames: int, levels: Sequence[LightLevel]
) -> tuple[Image, Image, Mask, tuple[float, ...]]:
    """Gain (h, w) and its σ by weighted least squares; pixels that have one; the mean gain of each level."""
    above, below, noise = (np.zeros(dark_variance.shape) for _ in range(3))
    by_level = []
    for level in levels:
        x, y = level.line(dark_variance)
        # The median over the chip, not the pixel's own: a pixel that is quiet by chance would have more weight.
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
    """Gain of a level: mean of the central 98 % of the pixels' ratios, so that defects have no influence."""
    ratio = (y / np.where(x > 0, x, np.nan))[usable]
    low, high = np.nanquantile(ratio, [0.01, 0.99])
    return float(np.nanmean(ratio[(ratio >= low) & (ratio <= high)]))


@dataclass(frozen=True)
class DarkCheck:
    """Comparison of the maps with dark frames that were not used for them.

    bias: mean residual of the frames, ADU;  scatter: rms residual of the pixels' means, relative to chance (1:
    only chance);  variance_ratio: ratio of their variance to that of the maps, all pixels together.
    """

    bias: float
    scatter: float
    variance_ratio: float


def check_dark(maps_of: PixelMoments, fresh: PixelMoments) -> DarkCheck:
    """Compare fresh dark frames with those that the maps are made from."""
    left = fresh.mean - maps_of.mean
    expected = (maps_of.variance + 1e-12) * (1 / maps_of.count + 1 / fresh.count)
    # The level common to all pixels is the bias; the scatter is that of the pixels around it.
    apart = left - left.mean()
    scatter = float(np.median(np.abs(apart) / np.sqrt(expected)) / 0.6745)
    # Pixels of one count in both have the same variance.
    ratio = np.median((fresh.variance + 1e-12) / (maps_of.variance + 1e-12))
    # The median of a ratio of two χ² variates of n and m degrees of freedom is (1 − 2/(9m))³ / (1 − 2/(9n))³.
    n, m = maps_of.count - 1, fresh.count - 1
    return DarkCheck(float(left.mean()), scatter, float(ratio) * ((1 - 2 / (9 * n)) / (1 - 2 / (9 * m))) ** 3)
