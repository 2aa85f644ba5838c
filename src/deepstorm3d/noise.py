"""How much the value of a pixel varies around its mean: shot noise, excess noise and read noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["SHOT_NOISE", "Noise"]


@dataclass(frozen=True)
class Noise:
    """Noise whose variance is excess · mean + read variance.

    excess: factor on the shot noise, 1 without a multiplying register, 2 with one (Hirsch et al. 2013);
    read_variance: photons², a number, or one for each pixel (H, W), or for each pixel of each frame (B, H, W).
    """

    excess: float = 1.0
    read_variance: float | Tensor = 0.0

    def variance(self, mean: Tensor) -> Tensor:
        """Variance of pixels (photons²) whose mean is `mean` photons; a mean below 0 counts as 0."""
        return self.excess * mean.clamp(min=0) + self.read_variance

    @property
    def mean_read_variance(self) -> float:
        """Read variance, photons²; of a map, its mean."""
        if isinstance(self.read_variance, Tensor):
            return float(self.read_variance.mean())
        return self.read_variance

    @property
    def is_shot_noise_alone(self) -> bool:
        """Whether there is nothing but the Poisson noise of the light."""
        return self.excess == 1.0 and not bool(torch.as_tensor(self.read_variance).any())

    def averaged(self) -> Noise:
        """The same with one read variance for all pixels."""
        return replace(self, read_variance=self.mean_read_variance)

    def at_least_shot_noise(self) -> Noise:
        """The same with a read variance of at least 0."""
        if isinstance(self.read_variance, Tensor):
            return replace(self, read_variance=self.read_variance.clamp(min=0))
        return replace(self, read_variance=max(0.0, self.read_variance))

    def with_more(self, read_variance: float) -> Noise:
        """The same with that much more read variance, photons²."""
        return replace(self, read_variance=self.read_variance + read_variance)

    def of_sum(self, frames: int) -> Noise:
        """Noise of the sum of so many frames."""
        return replace(self, read_variance=self.read_variance * frames)

    def part(self, rows: slice, columns: slice) -> Noise:
        """Noise of a part of the pixels."""
        if isinstance(self.read_variance, Tensor):
            return replace(self, read_variance=self.read_variance[..., rows, columns])
        return self

    def of_frames(self, frames: Tensor) -> Noise:
        """Noise of some of the frames, an index tensor (K,) or a mask (B,)."""
        if isinstance(self.read_variance, Tensor) and self.read_variance.dim() == 3:
            return replace(self, read_variance=self.read_variance[frames])
        return self

    def __str__(self) -> str:
        """The noise beside that of the light: "noise without light 1.63 photons rms"."""
        variance = self.mean_read_variance
        words = [f"noise without light {variance**0.5:.3g} photons rms"] if variance > 0 else []
        words += [f"excess noise factor {self.excess:g}"] if self.excess > 1 else []
        return ", ".join(words) or "no noise without light"


SHOT_NOISE = Noise()
"""The Poisson noise of the light and nothing else."""
