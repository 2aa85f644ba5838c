"""What frames are fitted with: the PSF, the background, the bounds of the unknowns and the effort."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..optics.psf import PSF
from .background import SplineBackground
from .likelihood import Likelihood
from .linear import LinearImage, expected_image
from .refine import Bounds, Effort, Refined, refine
from .state import JointState

__all__ = ["FrameModel"]


@dataclass(frozen=True)
class FrameModel:
    """The image model of a set of frames, and how thoroughly it is fitted.

    psf: of the molecules;  surface: of the background;  bounds, effort: see `refine`.
    """

    psf: PSF
    surface: SplineBackground
    bounds: Bounds
    effort: Effort

    def fit(self, state: JointState, likelihood: Likelihood) -> Refined:
        """The most likely state, beginning with this one."""
        if state.refused is not None:
            state = replace(state, refused=torch.zeros_like(state.refused))
        return refine(self.psf, state, likelihood, self.surface, self.bounds, self.effort)

    def linear(self, state: JointState, likelihood: Likelihood) -> LinearImage:
        """The image linearized around a state."""
        return LinearImage(self.psf, state, self.surface, tuple(likelihood.frames.shape))

    def image(self, state: JointState, likelihood: Likelihood) -> Tensor:
        """Expected photons (B, H, W) of a state."""
        return expected_image(self.psf, state, self.surface, tuple(likelihood.frames.shape))

    def of_frames(self, frames: Tensor) -> FrameModel:
        """The model of some of the frames, an index tensor (K,)."""
        return replace(self, surface=self.surface.of_frames(frames))
