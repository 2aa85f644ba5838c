"""Noise as images of beads have it, where it is not that of the camera: of stacks that were not kept raw.

Stacks are often passed on with their background taken off and clipped at zero, scaled, averaged, or with a gain
that nobody knows. Their noise is then read from the images: the line of variance against mean in their bright
parts. Divided by its slope, values count as photons do, whatever they were before.
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
"""Whose noise the images have: the camera's, one read from them, or none to speak of."""

# Noise over the camera's, in the bright parts, that may still be the camera's.
_FACTORS = (0.4, 2.5)
# Share of pixels with the least value of all, from which the dark was clipped.
_CLIPPED = 0.3
# Bright parts: the upper part of the pixels by their mean, and the bins into which they are put.
_BRIGHT, _BINS = 0.85, 8
# Least noise that is assumed, as a share of the brightest pixels: no model of the optics is better, and what is
# dimmer has been lost where the dark was clipped.
_LEAST, _LEAST_CLIPPED = 0.003, 0.01
# Median of the square of a standard normal.
_MEDIAN = 0.4549


@dataclass(frozen=True)
class OwnNoise:
    """Images whose noise is known.

    likelihood: of the images;  kind: whose noise;  factor: noise in the bright parts over the camera's, in
    variance;  clipped: share of pixels that have the least value.
    """

    likelihood: Likelihood
    kind: NoiseKind
    factor: float
    clipped: float

    def warnings(self) -> list[str]:
        """What was found and what it means, for the user."""
        if self.kind == "camera":
            return []
        cut = f"{100 * self.clipped:.0f} % of their pixels have the least value of all"
        clipped = f", and {cut}: the background was taken off and clipped" if self.clipped > _CLIPPED else ""
        if self.kind == "none":
            return [
                f"these images of beads have hardly any noise (averaged, filtered or computed{clipped}): the "
                "correlation and what is left tell how well they are explained, no deviance or bound does; "
                "give raw counts of the camera if you can"
            ]
        if _FACTORS[0] < self.factor < _FACTORS[1]:
            return [
                f"of these images of beads {cut}: their background was taken off and clipped, if there was "
                "any, and the dark holds no noise that a deviance could be compared with. The noise of the "
                "bright parts is used; give raw counts of the camera if you can"
            ]
        return [
            f"the noise of these images of beads is {self.factor**0.5:.3g} times what the camera of the "
            f"experiment gives{clipped}: camera.gain, camera.baseline or the kind of the camera is wrong, or "
            "the stack is not raw. The noise measured in the images is used instead, and photons are those "
            "that it stands for"
        ]


def own_noise(images: Likelihood) -> OwnNoise:
    """The images with the camera's noise where they have that, else with their own, in a unit that fits it.

    images: of beads, (N, h, w) photons as the camera is said to count them, with its noise.
    """
    mean, square = _places(images)
    frames = images.frames
    # What stands in for pixels that do not count may lie below the least value.
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
    # Below the threshold of those who clipped nothing is known.
    hidden = clipped_noise(frames if images.weight is None else frames.where(images.weight > 0, seen.min()))
    variance = max(intercept, (least * peak) ** 2, hidden**2) / unit**2
    scaled = Likelihood(frames / unit, Noise(read_variance=variance), images.weight)
    return OwnNoise(scaled, kind, factor, clipped)


def _places(images: Likelihood) -> tuple[Tensor, Tensor]:
    """Mean, and square of the high-passed image, of every place whose pixels all count: (P,), (P,)."""
    noise, mean = high_pass(images.frames)
    if images.weight is None:
        return mean.flatten(), noise.square().flatten()
    reach = images.frames.shape[-1] - noise.shape[-1] + 1
    free = functional.max_pool2d((images.weight < 1).float()[:, None], reach, stride=1)[:, 0] == 0
    return mean[free], noise.square()[free]


def _line(mean: Tensor, square: Tensor, images: Likelihood) -> tuple[float, float, float]:
    """Slope and intercept of variance over mean in the bright places, neither below 0, and the variance there
    over the camera's."""
    rows = mean.argsort()[int(_BRIGHT * len(mean)) :].tensor_split(_BINS)
    level = torch.stack([mean[each].mean() for each in rows]).double()
    variance = torch.stack([square[each].median() for each in rows]).double() / _MEDIAN
    predicted = images.noise.variance(level)
    factor = float((variance / predicted.clamp(min=1e-12)).median())
    # Each bin with the weight of its own variance: a few rounds, as that is what the line says.
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
