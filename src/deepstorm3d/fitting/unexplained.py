"""Frames that the image model does not explain: their misfit, and the molecules that are certain anyway."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .frame_model import FrameModel
from .likelihood import Likelihood
from .refine import Refined
from .state import JointState

__all__ = ["FAR", "SureMolecules", "misfit_everywhere", "misfit_of_frames"]

FAR = 3.0
"""A frame or spot with a mean deviance per pixel above this counts as not explained. Noise gives 1; a wrong
camera gain gives the factor by which it is wrong."""

# Rounds of removal. The remaining molecules are fitted again after each, because a molecule can become
# significant once a false neighbour is removed.
_ROUNDS = 3


def misfit_of_frames(likelihood: Likelihood, deviance: Tensor) -> Tensor:
    """Mean deviance of a frame's pixels, (B,): 1 if only noise remains.

    deviance: of each frame, (B,) (`Likelihood.deviance`).
    """
    return deviance / likelihood.pixels.clamp(min=1)


def misfit_everywhere(likelihood: Likelihood, image: Tensor) -> Tensor:
    """Typical misfit over the whole area of each frame, (B,), at least 1.

    It is the median of the squared residual of 4×4-pixel squares divided by its variance, relative to noise. A
    missing molecule changes few squares, a wrong gain or PSF changes all.  image: (B, H, W) expected photons.
    """
    information = likelihood.information(image)
    variance = torch.where(information > 0, 1 / information.clamp(min=1e-12), 0.0)
    residual = torch.where(information > 0, likelihood.score(image) * variance, 0.0)
    total, spread = (functional.avg_pool2d(part[:, None], 4)[:, 0] * 16 for part in (residual, variance))
    # Squares of excluded pixels say nothing.
    square = (total.square() / spread.clamp(min=1e-12)).masked_fill(spread == 0, torch.nan).flatten(1)
    # The median of χ² of one degree of freedom is 0.455.
    return (square.nanmedian(1).values / 0.455).nan_to_num(1.0).clamp(min=1.0)


@dataclass(frozen=True)
class SureMolecules:
    """Keeps, in frames that are not explained, only molecules that exceed the residual around them.

    If the variance of the data is q times that of the noise model, chance changes the deviance q times as much
    (quasi-likelihood: McCullagh & Nelder 1989, ch. 9), so the penalty for a molecule is q times larger.

    model: of the frames;
    price: penalty for one molecule, the decrease of the deviance that it must bring if the model is valid.
    """

    model: FrameModel
    price: float

    def __call__(self, start: Refined, likelihood: Likelihood, far: Tensor) -> Refined:
        """The fit with only the certain molecules.  far: (B,) bool, the frames that are not explained."""
        best, active = start, far.nonzero()[:, 0]
        for _ in range(_ROUNDS):
            if not len(active):
                break
            light, now = likelihood.select(active), best.select(active)
            weak = self._weak(now.state, light)
            frames = now.state.frame[weak].unique()
            fitted = self.model.of_frames(frames).fit(
                now.state.rows(~weak).select(frames), light.select(frames)
            )
            active = active[frames]
            best = best.replaced(active, fitted)
        return best

    def _weak(self, state: JointState, likelihood: Likelihood) -> Tensor:
        """Molecules that are not significant against the residual under their spots: (N,) bool."""
        linear = self.model.linear(state, likelihood)
        sigma = self.model.photon_bounds(state, likelihood)
        significance = (state.photons / sigma.clamp(min=1e-9)).square()
        left = linear.under_spots(likelihood.deviance_image(linear.image), likelihood.weight)
        return (left > FAR) & (significance < self.price * left)
