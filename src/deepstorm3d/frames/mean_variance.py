"""Camera noise measured from the frames: the line of variance against mean, and the dark level."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, repr=False)
class NoiseLine(Brief):
    """Variance of the counts of a pixel as a straight line over their mean (photon transfer).

    mean, variance, spread: (K,) for pixels of similar brightness, ADU, ADU² and its σ;  slope: ADU per photo-
    electron times the excess noise factor;  zero: mean count at which the line has no variance, baseline −
    gain·read noise², ADU;  slope_sigma, zero_sigma: one σ;  misfit: χ² per degree of freedom of the line, 1
    for a straight one;  fixed: rms of the pixel-scale pattern that is the same in all frames, ADU;
    saturated: fraction of pixels at or above the saturation.
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

    @property
    def trouble(self) -> str:
        """Why the line does not give a gain, in words; empty where it does."""
        if not self.slope > 0 or self.slope_sigma > _BELIEVED * self.slope:
            return (
                f"the variance does not rise clearly with the mean (slope {self.slope:.3g} ± "
                f"{self.slope_sigma:.2g} ADU per photon)"
            )
        span = (float(self.mean[-1]) - self.zero) / max(float(self.mean[0]) - self.zero, 1e-9)
        if span < _LEAST_SPAN:
            return f"the frames are about equally bright everywhere (from 1 to {span:.2f} times the light)"
        return ""


@dataclass(frozen=True)
class DarkLevel:
    """Values from frames without light: baseline and read noise, ADU, the latter without rounding."""

    baseline: float
    read_noise_adu: float


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
    in all frames (fixed pattern of a camera) is subtracted; where a molecule is bright in one frame of n only,
    that lowers the slope by 1/n.  Positions are sorted into bins by the brightness of the pixels around them,
    which share no noise with them: otherwise the bright bins would collect upward fluctuations (Wald 1940).
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
    if total >= pattern_from:
        fixed = noise.mean(0)
        noise = (noise - fixed) / (1 - 1 / total) ** 0.5
    usable, saturated = _usable(frames, saturation)
    place = _around(frames)
    usable = usable & place.isfinite()
    square, mean, place = noise.square()[usable], mean[usable], place[usable]
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
    zero = -intercept / slope if slope else 0.0
    # Error propagation of a ratio, to first order.
    gradient = means.new_tensor([intercept / slope**2, -1 / slope]) if slope else means.new_zeros(2)
    pattern = float(fixed.square().mean()) - float(square.mean()) / total if total >= pattern_from else 0.0
    return NoiseLine(
        mean=means,
        variance=variances,
        spread=spread,
        slope=slope,
        zero=zero,
        slope_sigma=float(covariance[0, 0].sqrt()),
        zero_sigma=float((gradient @ covariance @ gradient).sqrt()),
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
    return DarkLevel(float(frames.mean()), max(float(variance.mean()) - rounding, 0.0) ** 0.5)


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


def _straight(x: Tensor, y: Tensor, sigma: Tensor) -> tuple[float, float, Tensor, float]:
    """Slope, intercept, their covariance (scaled up if the fit is poor), and χ² per degree of freedom."""
    matrix = torch.stack([x, torch.ones_like(x)], 1) / sigma[:, None]
    covariance = torch.linalg.pinv(matrix.mT @ matrix, hermitian=True)
    slope, intercept = (covariance @ (matrix.mT @ (y / sigma))).tolist()
    residual = (y - slope * x - intercept) / sigma
    misfit = float(residual.square().sum()) / max(1, len(x) - 2)
    return slope, intercept, covariance * max(1.0, misfit), misfit
