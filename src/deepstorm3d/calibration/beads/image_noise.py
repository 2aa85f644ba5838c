"""The noise of images of beads measured from the images, for stacks that are not raw counts.

Stacks are often published with their background subtracted and clipped at zero, scaled, averaged, or with an
unknown gain. Their noise is then measured: the line of variance against mean in the bright parts. Divided by
its slope, the values have the statistics of photons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...fitting.likelihood import Likelihood
from ...frames.mean_variance import high_pass
from ...noise import Noise
from ...pixels.clipping import clipped_noise

__all__ = ["NoiseKind", "OwnNoise", "own_noise"]

NoiseKind = Literal["camera", "measured", "none"]
"""Whose noise the images have: the camera's, a noise measured from them, or almost none."""

# Range of measured over predicted noise in the bright parts for which the camera's noise is used.
_FACTORS = (0.4, 2.5)
# Fraction of pixels with the lowest value above which the dark parts were clipped.
_CLIPPED = 0.3
# Quantile of the mean above which a pixel belongs to the bright parts.
_BRIGHT = 0.85
# Number of bins for the bright parts.
_BINS = 8
# Least noise that is assumed, as a fraction of the brightest pixels: no model of the optics is more accurate.
_LEAST = 0.003
# The same for clipped images, in which dimmer light is lost.
_LEAST_CLIPPED = 0.01
# Median of the square of a standard normal.
_MEDIAN = 0.4549


@dataclass(frozen=True)
class OwnNoise:
    """Images with their noise.

    likelihood: of the images;  kind: whose noise;  factor: measured over predicted noise in the bright parts,
    as variance;  clipped: fraction of pixels that have the lowest value.
    """

    likelihood: Likelihood
    kind: NoiseKind
    factor: float
    clipped: float

    def warnings(self) -> list[str]:
        """What was found and its consequences, for the user."""
        if self.kind == "camera":
            return []
        cut = f"{100 * self.clipped:.0f} % of their pixels have the lowest value"
        clipped = f", and {cut}: the background was subtracted and clipped" if self.clipped > _CLIPPED else ""
        if self.kind == "none":
            return [
                f"these images of beads have hardly any noise (averaged, filtered or computed{clipped}): judge "
                "the agreement by the correlation and the residual, not by a deviance or a bound; "
                "give raw counts of the camera if you can"
            ]
        if _FACTORS[0] < self.factor < _FACTORS[1]:
            return [
                f"of these images of beads {cut}: their background was subtracted and clipped, if there was "
                "any, and the dark parts have no noise with which a deviance could be compared. The noise of "
                "the bright parts is used; give raw counts of the camera if you can"
            ]
        return [
            f"the noise of these images of beads is {self.factor**0.5:.3g} times what the camera of the "
            f"experiment gives{clipped}: camera.gain, camera.baseline or the kind of the camera is wrong, or "
            "the stack is not raw. The noise measured in the images is used instead, and the number of photons "
            "is the one that corresponds to it"
        ]


def own_noise(images: Likelihood) -> OwnNoise:
    """The images with the camera's noise if it agrees, else with their own, in units that correspond to it.

    images: of beads, (N, h, w) photons according to the camera, with its noise.
    """
    mean, square = _places(images)
    frames = images.frames
    # The values of masked pixels may be below the lowest value.
    seen = frames.flatten() if images.weight is None else frames[images.weight > 0]
    if not len(seen):
        return OwnNoise(images, "camera", 1.0, 0.0)
    clipped = float((seen == seen.min()).float().mean())
    level = float(seen.median())
    peak = max(float(_quantile(seen, 0.999)) - level, 1e-12)
    if len(mean) < 10 * _BINS:
        return OwnNoise(images, "camera", 1.0, clipped)
    slope, intercept, factor = _line(mean, square, images)
    if _FACTORS[0] < factor < _FACTORS[1] and clipped < _CLIPPED:
        return OwnNoise(images, "camera", factor, clipped)
    least = _LEAST_CLIPPED if clipped > _CLIPPED else _LEAST
    unit = max(slope, _LEAST**2 * peak)
    kind: NoiseKind = "measured" if slope > _LEAST**2 * peak else "none"
    # Below the threshold of the clipping nothing is known.
    hidden = clipped_noise(frames if images.weight is None else frames.where(images.weight > 0, seen.min()))
    variance = max(intercept, (least * peak) ** 2, hidden**2) / unit**2
    scaled = Likelihood(frames / unit, Noise(read_variance=variance), images.weight)
    return OwnNoise(scaled, kind, factor, clipped)


def _places(images: Likelihood) -> tuple[Tensor, Tensor]:
    """Mean, and square of the high-passed image, where all pixels of the filter are valid: (P,), (P,)."""
    noise, mean = high_pass(images.frames)
    if images.weight is None:
        return mean.flatten(), noise.square().flatten()
    reach = images.frames.shape[-1] - noise.shape[-1] + 1
    free = functional.max_pool2d((images.weight < 1).float()[:, None], reach, stride=1)[:, 0] == 0
    return mean[free], noise.square()[free]


def _line(mean: Tensor, square: Tensor, images: Likelihood) -> tuple[float, float, float]:
    """Slope and intercept of variance over mean in the bright parts, neither below 0, and the variance there
    over the camera's."""
    rows = mean.argsort()[int(_BRIGHT * len(mean)) :].tensor_split(_BINS)
    level = torch.stack([mean[each].mean() for each in rows]).double()
    variance = torch.stack([square[each].median() for each in rows]).double() / _MEDIAN
    predicted = images.noise.variance(level)
    factor = float((variance / predicted.clamp(min=1e-12)).median())
    # Each bin is weighted by its own variance, which is predicted by the line in a few iterations.
    expected = variance.clamp(min=1e-12 + 0.01 * float(variance.mean()))
    slope = intercept = 0.0
    for _ in range(4):
        terms = torch.stack([level, torch.ones_like(level)], 1) / expected[:, None]
        slope, intercept = torch.linalg.lstsq(terms, (variance / expected)[:, None]).solution[:, 0].tolist()
        if intercept < 0:
            own = terms[:, 0]
            intercept, slope = 0.0, float((own * variance / expected).sum() / own.square().sum())
        expected = (slope * level + intercept).clamp(min=1e-12 + 0.1 * float(variance.mean()))
    return max(slope, 0.0), intercept, factor


def _quantile(values: Tensor, share: float) -> Tensor:
    return values.kthvalue(max(1, int(share * len(values)))).values
