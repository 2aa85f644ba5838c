"""The camera's noise from the frames: the line of variance against mean, and what a dark movie adds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError

__all__ = ["DarkLevel", "NoiseLine", "dark_level", "high_pass", "noise_line", "noise_map"]

# Differences taken along each axis: four leave 10⁻³ of a spot that a pixel samples as finely as any that
# the optics can form, and all of the noise.
_ORDER = 4
# Side of the neighbourhood that says how bright a place is, beyond the pixels whose noise is measured.
_AROUND_PX = 13
_BINS = 24
# A slope is believed where its σ is below this share of it, and the brightest bin this many times as far from
# the line's zero as the darkest.
_BELIEVED, _LEAST_SPAN = 0.1, 1.15
# Neighbouring high-passed pixels share noise: so many of them count as one.
_SHARED = 3.0


@dataclass(frozen=True)
class NoiseLine:
    """Variance of the counts of a pixel as a straight line over their mean (photon transfer).

    mean, variance, spread: (K,) of places of like brightness, ADU, ADU² and its σ;  slope: ADU per photo-
    electron times the excess noise factor;  zero: mean count at which the line has no variance, baseline −
    gain·read noise², ADU;  slope_sigma, zero_sigma: one σ;  misfit: χ² per degree of freedom of the line, 1
    for a straight one;  fixed: rms of what stays the same from frame to frame at the pixel scale, ADU;
    saturated: share of pixels at or above the saturation.
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
        """Why the line tells no gain, in words; empty where it does."""
        if not self.slope > 0 or self.slope_sigma > _BELIEVED * self.slope:
            return (
                f"the variance does not rise clearly with the mean (slope {self.slope:.3g} ± "
                f"{self.slope_sigma:.2g} ADU per photon)"
            )
        span = (float(self.mean[-1]) - self.zero) / max(float(self.mean[0]) - self.zero, 1e-9)
        if span < _LEAST_SPAN:
            return f"all places are about equally bright (from 1 to {span:.2f} times the light)"
        return ""


@dataclass(frozen=True)
class DarkLevel:
    """What frames without light say: baseline and read noise, ADU, the latter without rounding."""

    baseline: float
    read_noise_adu: float


def high_pass(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Noise without the image, and the mean count under the filter; frames: (B, H, W), both (B, H−4, W−4).

    The filter is a fourth difference along either axis, of unit norm, so the square of its output has for its
    mean the variance of the counts, averaged with the same weights as the second output is of the counts: a
    straight line of one against the other keeps slope and intercept, whatever the image
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

    counts: (B, H, W) ADU;  saturation: count from which on a pixel says nothing;  whole: whether the file holds
    whole numbers, whose rounding adds 1/12 ADU².  From `pattern_from` frames on, what is the same in all frames
    (a camera's fixed pattern) is left out; where molecules shine in one frame of n only, that lowers the slope
    by 1/n.  Places are put together by how bright the pixels around them are,
    which share no noise with them: otherwise bins of bright places would hold upward fluctuations (Wald
    1940).
    Raises InputError where fewer than 2,000 places are left, as in frames below 13 px.
    """
    if min(counts.shape[1:]) < _AROUND_PX:
        raise InputError(
            f"frames of {counts.shape[2]} × {counts.shape[1]} px are too small to tell the noise: at least "
            f"{_AROUND_PX} px along each side are needed; take a larger region"
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
            f"only {len(place)} places of these frames can be used for the noise, at least 2,000 are needed; "
            "take more frames, a larger region, or a movie that is not saturated"
        )
    means, variances, counted = _binned(place, mean, square)
    if whole:
        variances = variances - 1 / 12
    spread = variances.mean().clamp(min=1e-12) * (2 * _SHARED / counted).sqrt()
    slope, intercept, covariance, misfit = _straight(means, variances, spread)
    for _ in range(3):
        # σ by the line, not by the bin itself: bins that lie low by chance would count for more.
        expected = (slope * means + intercept).clamp(min=0.1 * float(variances.min().clamp(min=1e-6)))
        spread = expected * (2 * _SHARED / counted).sqrt()
        slope, intercept, covariance, misfit = _straight(means, variances, spread)
    zero = -intercept / slope if slope else 0.0
    # Of a ratio, to first order.
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

    slope: of the variance over the mean; that much is taken off, so what is left does not depend on the light.
    """
    noise, mean = high_pass(counts.float())
    variance = (noise.square() - slope * mean).mean(0)
    size = (cells, cells)
    return tuple(functional.adaptive_avg_pool2d(part[None], size)[0] for part in (variance, mean.mean(0)))  # pyright: ignore[reportReturnType]


def dark_level(counts: Tensor, *, whole: bool = True) -> DarkLevel:
    """Baseline and read noise from frames without light, (B, H, W) ADU, at least two.

    Raises InputError for a single frame, and where the frames are not dark: their level changes by more than
    their noise from place to place.
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
            f"their noise is {sigma:.3g} ADU; record them with the shutter closed"
        )
    rounding = 1 / 12 if whole else 0.0
    return DarkLevel(float(frames.mean()), max(float(variance.mean()) - rounding, 0.0) ** 0.5)


def _usable(frames: Tensor, saturation: float) -> tuple[Tensor, float]:
    """Places whose filter sees no saturated pixel, and the share of saturated pixels."""
    full = (frames >= saturation).float()
    clean = functional.max_pool2d(full[:, None], _ORDER + 1, stride=1)[:, 0] == 0
    return clean, float(full.mean())


def _around(frames: Tensor) -> Tensor:
    """Mean of the pixels around each place but not under its filter; NaN where the frame ends before them."""
    inner, outer, side = _ORDER + 1, _AROUND_PX, (_AROUND_PX - _ORDER - 1) // 2
    whole = functional.avg_pool2d(frames[:, None], outer, stride=1)[:, 0] * outer**2
    under = functional.avg_pool2d(frames[:, None], inner, stride=1)[:, 0] * inner**2
    cut = under[:, side:-side, side:-side]
    ring = (whole - cut) / (outer**2 - inner**2)
    return functional.pad(ring, (side,) * 4, value=float("nan"))


def _binned(place: Tensor, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, mean square and number in each of K bins of brightness, in double precision.

    Half of the bins hold equal numbers of places, half equal steps of brightness: the bright ones are few.
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
    """Slope, intercept, their covariance (widened where the line does not fit) and χ² per degree of freedom."""
    matrix = torch.stack([x, torch.ones_like(x)], 1) / sigma[:, None]
    covariance = torch.linalg.pinv(matrix.mT @ matrix, hermitian=True)
    slope, intercept = (covariance @ (matrix.mT @ (y / sigma))).tolist()
    residual = (y - slope * x - intercept) / sigma
    misfit = float(residual.square().sum()) / max(1, len(x) - 2)
    return slope, intercept, covariance * max(1.0, misfit), misfit
