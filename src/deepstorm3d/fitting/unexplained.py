"""Frames that the image model does not explain: how far they are from it, and what is sure all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage
from .refine import Refined
from .state import JointState

__all__ = ["FAR", "SureMolecules", "misfit_everywhere", "misfit_of_frames"]

FAR = 3.0
"""Mean deviance of a pixel from which a frame, or a spot in it, counts as not explained: noise gives 1, a gain
that is wrong by a factor that factor."""

# Each time the molecules that are left are fitted again; what was weak beside a false one may stand now.
_ROUNDS = 3


def misfit_of_frames(likelihood: Likelihood, deviance: Tensor) -> Tensor:
    """Mean deviance of a frame's pixels, (B,): 1 where nothing but noise is left.

    deviance: of each frame, (B,) (`Likelihood.deviance`).
    """
    return deviance / likelihood.pixels.clamp(min=1)


def misfit_everywhere(likelihood: Likelihood, image: Tensor) -> Tensor:
    """How far the model misses the data all over each frame, (B,), at least 1.

    Median of the squared residual of squares of 4×4 pixels over its variance, against that of noise: a missing
    molecule spoils few of them, a wrong gain or PSF all.  image: (B, H, W) expected photons.
    """
    information = likelihood.information(image)
    variance = torch.where(information > 0, 1 / information.clamp(min=1e-12), 0.0)
    residual = torch.where(information > 0, likelihood.score(image) * variance, 0.0)
    total, spread = (functional.avg_pool2d(part[:, None], 4)[:, 0] * 16 for part in (residual, variance))
    square = (total.square() / spread.clamp(min=1e-12)).flatten(1)
    # The median of χ² of one degree of freedom is 0.455.
    return (square.median(1).values / 0.455).clamp(min=1.0)


@dataclass(frozen=True)
class SureMolecules:
    """Leaves in frames that are not explained only the molecules that stand out of what is left around them.

    Where the data scatter q times as much as the noise model says, chance reaches q times the deviance
    (quasi-likelihood: McCullagh & Nelder 1989, ch. 9), so a molecule must bring q prices.

    fit: refines a state of frames jointly;  linearize: the image around a state;
    price: decrease of the deviance that a molecule must bring where the model holds.
    """

    fit: Callable[[JointState, Likelihood], Refined]
    linearize: Callable[[JointState, Likelihood], LinearImage]
    price: float

    def __call__(self, start: Refined, likelihood: Likelihood, far: Tensor) -> Refined:
        """The fit without the others.  far: (B,) bool, the frames that are not explained."""
        best, active = start, far.nonzero()[:, 0]
        for _ in range(_ROUNDS):
            if not len(active):
                break
            light, now = likelihood.select(active), best.select(active)
            weak = self._weak(now.state, light)
            frames = now.state.frame[weak].unique()
            fitted = self.fit(now.state.rows(~weak).select(frames), light.select(frames))
            active = active[frames]
            best = best.replaced(active, fitted)
        return best

    def _weak(self, state: JointState, likelihood: Likelihood) -> Tensor:
        """Molecules whose light what is left unexplained under their spots could be as well: (N,) bool."""
        linear = self.linearize(state, likelihood)
        sigma, _ = joint_bounds(linear, likelihood.information(linear.image))
        significance = (state.photons / sigma[:, 3].clamp(min=1e-9)).square()
        left = linear.under_spots(likelihood.deviance_image(linear.image), likelihood.weight)
        return (left > FAR) & (significance < self.price * left)
