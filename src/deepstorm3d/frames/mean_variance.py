"""Camera noise measured from the frames: the line of variance against mean, and the dark level."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..brief import Brief
from ..errors import InputError

__all__ = ["DarkLevel", "NoiseLine", "dark_level", "high_pass", "noise_line", "noise_map"]

# Number of differences along each axis: four reduce a spot to 10⁻³ of its amplitude if the pixels sample it as
# finely as the diffraction limit requires, and keep all of the noise.
_ORDER = 4
# Side of the neighbourhood that gives the brightness at a pixel, without the pixels whose noise is measured,
# px.
_AROUND_PX = 13
# Bins of brightness.
_BINS = 24
# Largest relative σ of a slope that is accepted.
_BELIEVED = 0.1
# Least ratio of the distances of the brightest and the darkest bin from the zero of the line.
_LEAST_SPAN = 1.15
# Number of high-passed pixels that count as one, because neighbours share noise.
_SHARED = 3.0
# The same over all bins together, which share noise with one another: sum of the squared autocorrelation of the
# filter. It is what a line through a point without light depends on.
_SHARED_BY_ALL = 6.9


@dataclass(frozen=True, repr=False)
class NoiseLine(Brief):
    """Variance of the counts of a pixel as a straight line over their mean (photon transfer).

    mean, variance, spread: (K,) for pixels of similar brightness, ADU, ADU² and its σ;  slope: ADU per photo-
    electron times the excess noise factor;  zero: mean count at which the line has no variance, baseline −
    gain·read noise², ADU;  slope_sigma, zero_sigma: one σ;  misfit: χ² per degree of freedom of the line, 1
    for a straight one;  fixed: rms of the pixel-scale pattern that is the same in all frames, ADU;
    saturated: fraction of pixels at or above the saturation;  dark: the point without light that the line goes
    through too, None where it is of the movie alone.
    """

    mean: Tensor
    variance: Tensor
    spread: Tensor
    slope: float
    zero: float
    slope_sigma: float
    zero_sigma: float
    misfit: float
    fixed: float
    saturated: float
    dark: DarkLevel | None = None

    @property
    def trouble(self) -> str:
        """Why the line does not give a gain, in words; empty where it does."""
        if not self.slope > 0 or self.slope_sigma > _BELIEVED * self.slope:
            return (
                f"the variance does not rise clearly with the mean (slope {self.slope:.3g} ± "
                f"{self.slope_sigma:.2g} ADU per photon)"
            )
        if self.dark is not None:
            return ""
        span = (float(self.mean[-1]) - self.zero) / max(float(self.mean[0]) - self.zero, 1e-9)
        if span < _LEAST_SPAN:
            return f"the frames are about equally bright everywhere (from 1 to {span:.2f} times the light)"
        return ""

    def through(self, dark: DarkLevel) -> NoiseLine:
        """The line of the same frames and of a dark movie, whose mean and variance are one point more.

        Without it the slope and the zero are told apart by the brightness alone, which in frames of few
        molecules is about the same everywhere; the dark point tells the zero, and all light the slope.
        """
        mean, variance = self.mean - dark.baseline, self.variance - dark.read_noise_adu**2
        x, y = torch.cat([mean.new_zeros(1), mean]), torch.cat([variance.new_zeros(1), variance])
        floor = 0.1 * float(self.variance.min().clamp(min=1e-6))
        relative = self.spread / (self.slope * (self.mean - self.zero)).clamp(min=floor)

        def fitted(slope: float, spread: Tensor) -> tuple[float, float, Tensor, float]:
            lone = math.hypot(dark.variance_sigma, slope * dark.baseline_sigma)
            return _straight(
                x, y, torch.cat([spread.new_tensor([max(lone, 1e-4 * float(spread.min()))]), spread])
            )

        spread = self.spread
        slope, intercept, covariance, misfit = fitted(self.slope, spread)
        for _ in range(3):
            spread = relative * (slope * mean + intercept + dark.read_noise_adu**2).clamp(min=floor)
            slope, intercept, covariance, misfit = fitted(slope, spread)
        covariance = covariance * (_SHARED_BY_ALL / _SHARED)
        level = intercept + dark.read_noise_adu**2
        zero, zero_sigma = _zero(slope, level, covariance)
        return replace(
            self,
            spread=spread,
            slope=slope,
            zero=dark.baseline + zero,
            slope_sigma=float(covariance[0, 0].sqrt()),
            zero_sigma=zero_sigma,
            misfit=misfit,
            dark=dark,
        )


@dataclass(frozen=True)
class DarkLevel:
    """Values from frames without light: baseline and read noise, ADU, the latter without rounding.

    baseline_sigma, variance_sigma: one σ of the baseline, ADU, and of the square of the read noise, ADU².
    """

    baseline: float
    read_noise_adu: float
    baseline_sigma: float = 0.0
    variance_sigma: float = 0.0


def high_pass(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Noise without the image, and the mean count under the filter; frames: (B, H, W), both (B, H−4, W−4).

    The filter is a fourth difference along both axes, of unit norm. The mean of the square of its output is the
    variance of the counts, averaged with the same weights as the counts in the second output: a straight line
    of one against the other keeps its slope and intercept, for any image
    (Immerkær, Comput. Vis. Image Underst. 64:300, 1996, with a steeper filter).  Optics pass nothing at the
    corners of the spectrum of a camera with pixels below λ/(2 NA) (Heintzmann et al., arXiv 1611.05654).
    """
    kernel = frames.new_ones(1)
    for _ in range(_ORDER):
        ahead, behind = (functional.pad(kernel, side) for side in ((0, 1), (1, 0)))
        kernel = ahead - behind
    both = torch.outer(kernel, kernel) / kernel.square().sum()
    noise = functional.conv2d(frames[:, None], both[None, None])[:, 0]
    mean = functional.conv2d(frames[:, None], both.square()[None, None])[:, 0]
    return noise, mean


def noise_line(
    counts: Tensor, *, saturation: float = float("inf"), whole: bool = True, pattern_from: int = 4
) -> NoiseLine:
    """Fit the line of variance against mean.

    counts: (B, H, W) ADU;  saturation: count from which a pixel is not used;  whole: whether the file contains
    integers, whose rounding adds 1/12 ADU².  With `pattern_from` frames or more, the pattern that is the same
    in all frames (fixed pattern of a camera) is subtracted.  Positions are sorted into bins by the brightness
    of the pixels around them, which share no noise with them: otherwise the bright bins would collect upward
    fluctuations (Wald 1940).
    Raises InputError where fewer than 2,000 positions are left, as in frames below 13 px.
    """
    if min(counts.shape[1:]) < _AROUND_PX:
        raise InputError(
            f"frames of {counts.shape[2]} × {counts.shape[1]} px are too small to measure the noise: at least "
            f"{_AROUND_PX} px along each side are needed",
            "use a larger region",
        )
    frames = counts.float()
    noise, mean = high_pass(frames)
    fixed, total = torch.zeros_like(noise[0]), len(frames)
    squares = noise.square()
    if total >= pattern_from:
        fixed = noise.mean(0)
        squares = (noise - fixed).square()
        # Subtracting the mean takes 2/n of a frame's own variance and brings 1/n of the mean of all frames.
        squares = (squares - squares.mean(0) / (total - 1)) / (1 - 2 / total)
    usable, saturated = _usable(frames, saturation)
    place = _around(frames)
    usable = usable & place.isfinite()
    square, mean, place = squares[usable], mean[usable], place[usable]
    if len(place) < 2000:
        raise InputError(
            f"only {len(place)} pixels of these frames can be used to measure the noise, at least 2,000 are "
            "needed",
            "use more frames, a larger region, or a movie that is not saturated",
        )
    means, variances, counted = _binned(place, mean, square)
    if whole:
        variances = variances - 1 / 12
    spread = variances.mean().clamp(min=1e-12) * (2 * _SHARED / counted).sqrt()
    slope, intercept, covariance, misfit = _straight(means, variances, spread)
    for _ in range(3):
        # σ from the line, not from the bin itself: otherwise bins that are low by chance would have more
        # weight.
        expected = (slope * means + intercept).clamp(min=0.1 * float(variances.min().clamp(min=1e-6)))
        spread = expected * (2 * _SHARED / counted).sqrt()
        slope, intercept, covariance, misfit = _straight(means, variances, spread)
    zero, zero_sigma = _zero(slope, intercept, covariance)
    pattern = float(fixed.square().mean()) - float(square.mean()) / total if total >= pattern_from else 0.0
    return NoiseLine(
        mean=means,
        variance=variances,
        spread=spread,
        slope=slope,
        zero=zero,
        slope_sigma=float(covariance[0, 0].sqrt()),
        zero_sigma=zero_sigma,
        misfit=misfit,
        fixed=max(pattern, 0.0) ** 0.5,
        saturated=saturated,
    )


def noise_map(counts: Tensor, cells: int = 8, *, slope: float = 0.0) -> tuple[Tensor, Tensor]:
    """Variance and mean of the counts in cells of the field, over all frames: (cells, cells) each.

    slope: of the variance over the mean; its part is subtracted, so that the result is independent of the
    light.
    """
    noise, mean = high_pass(counts.float())
    variance = (noise.square() - slope * mean).mean(0)
    size = (cells, cells)
    return tuple(functional.adaptive_avg_pool2d(part[None], size)[0] for part in (variance, mean.mean(0)))  # pyright: ignore[reportReturnType]


def dark_level(counts: Tensor, *, whole: bool = True) -> DarkLevel:
    """Baseline and read noise from frames without light, (B, H, W) ADU, at least two.

    Raises InputError for a single frame, and where the frames are not dark: their level changes over the field
    by more than their noise.
    """
    if len(counts) < 2:
        raise InputError("a dark movie needs at least 2 frames: their differences are the read noise")
    frames = counts.float()
    variance = frames.var(0)
    level = functional.avg_pool2d(frames.mean(0)[None, None], min(8, *frames.shape[1:]))
    sigma = float(variance.mean().sqrt())
    if level.numel() > 1 and float(level.std()) > max(2 * sigma, 1.0):
        raise InputError(
            f"this is not dark: the level changes by {float(level.std()):.3g} ADU rms over the field, "
            f"their noise is {sigma:.3g} ADU",
            "record them with the shutter closed",
        )
    rounding = 1 / 12 if whole else 0.0
    # Levels of whole frames and of whole pixels: a baseline that drifts, and pixels unlike each other, are told
    # less well. Noise below the step of a count leaves a level that is known to that step alone.
    of_frames = float(frames.mean((1, 2)).std()) / len(frames) ** 0.5
    step = rounding**0.5 if float(variance.mean()) < rounding else 0.0
    of_pixels = float(variance.std()) / variance.numel() ** 0.5 if variance.numel() > 1 else 0.0
    read_noise = max(float(variance.mean()) - rounding, 0.0) ** 0.5
    return DarkLevel(float(frames.mean()), read_noise, math.hypot(of_frames, step), max(of_pixels, step**2))


def _usable(frames: Tensor, saturation: float) -> tuple[Tensor, float]:
    """Positions where the filter contains no saturated pixel, and the fraction of saturated pixels."""
    full = (frames >= saturation).float()
    clean = functional.max_pool2d(full[:, None], _ORDER + 1, stride=1)[:, 0] == 0
    return clean, float(full.mean())


def _around(frames: Tensor) -> Tensor:
    """Mean of the pixels around each position, without those of its filter; NaN near the edges of the frame."""
    inner, outer, side = _ORDER + 1, _AROUND_PX, (_AROUND_PX - _ORDER - 1) // 2
    whole = functional.avg_pool2d(frames[:, None], outer, stride=1)[:, 0] * outer**2
    under = functional.avg_pool2d(frames[:, None], inner, stride=1)[:, 0] * inner**2
    cut = under[:, side:-side, side:-side]
    ring = (whole - cut) / (outer**2 - inner**2)
    return functional.pad(ring, (side,) * 4, value=float("nan"))


def _binned(place: Tensor, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, mean square and number in each of K bins of brightness, in double precision.

    Half of the bins have equal numbers of pixels, half equal steps of brightness, because bright ones are few.
    """
    sample = place[:: max(1, len(place) // 2_000_000)]
    low, high = sample.quantile(sample.new_tensor([0.001, 0.9995]))
    steps = torch.linspace(float(low), float(high), _BINS // 2 + 1)[1:-1].to(place)
    edges = torch.cat([sample.quantile(torch.linspace(0, 1, _BINS // 2 + 1)[1:-1].to(place)), steps])
    bins = torch.bucketize(place, edges.sort().values)
    counted = torch.bincount(bins, minlength=len(edges) + 1).double()
    means, squares = (
        torch.bincount(bins, values.double(), minlength=len(counted)) / counted.clamp(min=1)
        for values in (mean, square)
    )
    enough = counted >= 100
    order = means[enough].argsort()
    return means[enough][order], squares[enough][order], counted[enough][order]


def _zero(slope: float, intercept: float, covariance: Tensor) -> tuple[float, float]:
    """Where a line is 0, and its σ by error propagation of a ratio, to first order."""
    if not slope:
        return 0.0, 0.0
    gradient = covariance.new_tensor([intercept / slope**2, -1 / slope])
    return -intercept / slope, float((gradient @ covariance @ gradient).sqrt())


def _straight(x: Tensor, y: Tensor, sigma: Tensor) -> tuple[float, float, Tensor, float]:
    """Slope, intercept, their covariance (scaled up if the fit is poor), and χ² per degree of freedom."""
    matrix = torch.stack([x, torch.ones_like(x)], 1) / sigma[:, None]
    covariance = torch.linalg.pinv(matrix.mT @ matrix, hermitian=True)
    slope, intercept = (covariance @ (matrix.mT @ (y / sigma))).tolist()
    residual = (y - slope * x - intercept) / sigma
    misfit = float(residual.square().sum()) / max(1, len(x) - 2)
    return slope, intercept, covariance * max(1.0, misfit), misfit
