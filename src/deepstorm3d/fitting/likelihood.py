"""Likelihood of a frame, given the expected photons in each pixel: Poisson, sCMOS and EMCCD in one form."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..noise import SHOT_NOISE, Noise

__all__ = ["Likelihood"]

_FLOOR = 1e-3  # smallest expected value of a pixel, photons; lower values are set to it
_NEGATIVE = 2.0  # a count below minus this times its mean says no more than one there; as in `kernels.scene`


class Likelihood:
    """Likelihood of B frames whose pixels have the variance excess·mean + read variance.

    Shot noise alone is Poisson. Gaussian read noise is added as in Huang et al. 2013: n + σ² is nearly
    Poisson with the mean μ + σ². The gain process of an EMCCD doubles the variance (excess 2), so counts
    over the excess are nearly Poisson (Mortensen et al. 2010). In general n' = n/F + v/F² is taken as
    Poisson with the mean μ' = μ/F + v/F², which has the right variance, (F·μ + v)/F².

    Read noise in dim pixels makes n' negative, where the Poisson law has no value but its score, n'/μ' − 1,
    still has the mean 0 and the right variance (quasi-likelihood: McCullagh & Nelder 1989, ch. 9): setting such
    counts to 0 would make the background too bright. The deviance there is the integral of the score from
    μ' = 0, and n' counts as at least −2 μ', so that a wrong baseline does not outweigh everything else.

    frames: (B, H, W) photons;  noise: F and v, photons², one value or one for each pixel;
    weight: (B, H, W) in 0 … 1, 0 excludes a pixel;  known: (B, H, W) photons added to every model (of molecules
    that a fit does not change), or None.
    """

    def __init__(
        self,
        frames: Tensor,
        noise: Noise = SHOT_NOISE,
        weight: Tensor | None = None,
        known: Tensor | None = None,
    ) -> None:
        self.frames, self.noise = frames, noise
        self.weight, self.known = weight, known
        self._offset = torch.as_tensor(noise.read_variance).to(frames) / noise.excess**2
        self._counts = frames / noise.excess + self._offset
        # Without read noise a count below 0 is none that light can cause.
        read = noise.read_variance
        self._is_signed = isinstance(read, Tensor) or read > 0
        if not self._is_signed:
            self._counts = self._counts.clamp(min=0)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pixels(self) -> Tensor:
        """Number of pixels used in each frame (sum of weights): (B,)."""
        if self.weight is None:
            return self.frames.new_full((len(self),), float(self.frames[0].numel() if len(self) else 0))
        return self.weight.sum((1, 2))

    @property
    def shifted_counts(self) -> Tensor:
        """The counts n' that are taken as Poisson, (B, H, W)."""
        return self._counts

    def base(self) -> Tensor:
        """Part of the mean μ' that no model changes, (B, H, W): known photons and read noise."""
        base = self._offset.expand_as(self.frames).contiguous()
        return base if self.known is None else base + self.known / self.noise.excess

    def select(self, frames: Tensor) -> Likelihood:
        """The likelihood of some of the frames, an index tensor (K,) or a mask (B,)."""
        if len(self) == 1 and len(frames) == 1 and frames.dtype != torch.bool:
            return self  # compiled code fits frame by frame
        part = copy.copy(self)
        part.frames, part._counts = self.frames[frames], self._counts[frames]
        part.weight = None if self.weight is None else self.weight[frames]
        part.known = None if self.known is None else self.known[frames]
        part.noise = self.noise.of_frames(frames)
        part._offset = self._offset[frames] if self._offset.dim() == 3 else self._offset
        return part

    def deviance_image(self, model: Tensor) -> Tensor:
        """Deviance of each pixel: 2·[μ' − n' + n'·log(n'/μ')], about 1 on average where the model is right.

        Of negative n', with at least −2 μ' for n', it is 2·[μ' − n' + n'·log(−n'/(2 μ'))].
        """
        mean = self._mean(model)
        image = self._deviance(mean, self._counts / mean)
        return image if self.weight is None else image * self.weight

    def deviance(self, model: Tensor) -> Tensor:
        """Deviance of each frame: twice its log-likelihood ratio to a perfect fit, (B,) float64."""
        return self.deviance_image(model).sum((1, 2), dtype=torch.float64)

    def expansion(self, model: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`deviance` (B,), `score` and `information` (B, H, W) of a model, in fewer operations."""
        mean, excess = self._mean(model), self.noise.excess
        ratio = self._counts / mean
        parts = [self._deviance(mean, ratio), (self._limited(ratio) - 1) / excess, 1 / (mean * excess**2)]
        if self.weight is not None:
            parts = [part * self.weight for part in parts]
        return parts[0].sum((1, 2), dtype=torch.float64), parts[1], parts[2]

    def expected_deviance(self, model: Tensor) -> Tensor:
        """Expected deviance if the model is true, (B,): about 1 for each pixel, slightly more at low counts."""
        mean = self._mean(model)
        # Poisson moments to second order in 1/μ; the series is not valid below two counts.
        extra = (1 / (6 * mean) + 1 / (6 * mean.square())).clamp(max=0.15)
        pixels = 1 + extra
        return (pixels if self.weight is None else pixels * self.weight).sum((1, 2), dtype=torch.float64)

    def score(self, model: Tensor) -> Tensor:
        """Derivative of the log-likelihood with respect to the expected photons: (B, H, W), (n'/μ' − 1)/F."""
        score = (self._limited(self._counts / self._mean(model)) - 1) / self.noise.excess
        return score if self.weight is None else score * self.weight

    def information(self, model: Tensor) -> Tensor:
        """Fisher information of each pixel about its expected photons: (B, H, W), 1/(F·μ + v)."""
        information = 1 / (self._mean(model) * self.noise.excess**2)
        return information if self.weight is None else information * self.weight

    def _limited(self, ratio: Tensor) -> Tensor:
        """n'/μ' as it counts."""
        return ratio.clamp(min=-_NEGATIVE) if self._is_signed else ratio

    def _deviance(self, mean: Tensor, ratio: Tensor) -> Tensor:
        """See `deviance_image`, without weights.  ratio: n'/μ'."""
        counts = self._counts
        if self._is_signed:
            counts = torch.maximum(counts, -_NEGATIVE * mean)
            ratio = torch.maximum(ratio, ratio.clamp(min=-_NEGATIVE) / -_NEGATIVE)
        return 2 * (mean - counts + torch.xlogy(counts, ratio))

    def _mean(self, model: Tensor) -> Tensor:
        if self.known is not None:
            model = model + self.known
        return (model / self.noise.excess + self._offset).clamp(min=_FLOOR)
