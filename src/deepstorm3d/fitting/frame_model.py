"""What frames are fitted with: the PSF, the background, the bounds of the unknowns and the effort."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..optics.psf import PSF
from . import compiled
from .background import SplineBackground
from .changes import APART_UM
from .information import joint_bounds
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
    # The last state, its likelihood and background, and what was computed for it: several steps ask in turn.
    _linear: list[Any] = field(default_factory=list, repr=False, compare=False)
    _image: list[Any] = field(default_factory=list, repr=False, compare=False)

    def fit(
        self,
        state: JointState,
        likelihood: Likelihood,
        steps: int | None = None,
        *,
        photon_sigma: bool = False,
    ) -> Refined:
        """The most likely state, beginning with this one.

        steps: largest number (None: as the effort says);  photon_sigma: whether it is wanted (`Effort`).
        """
        if state.refused is not None:
            state = state.anew()
        most = self.effort.iterations if steps is None else steps
        effort = replace(self.effort, iterations=most, photon_sigma=photon_sigma)
        return refine(self.psf, state, likelihood, self.surface, self.bounds, effort)

    def linear(self, state: JointState, likelihood: Likelihood) -> LinearImage:
        """The image linearized around a state."""
        asked = [state, likelihood, self.surface]
        if not _same(asked, self._linear):
            image = LinearImage(self.psf, state, self.surface, tuple(likelihood.frames.shape))
            if not image.is_compiled:
                return image  # of many frames: too large to be kept
            self._linear[:] = [*asked, image]
        return self._linear[-1]

    def image(self, state: JointState, likelihood: Likelihood) -> Tensor:
        """Expected photons (B, H, W) of a state."""
        asked = [state, likelihood, self.surface]
        if not _same(asked, self._image):
            image = expected_image(self.psf, state, self.surface, tuple(likelihood.frames.shape))
            self._image[:] = [*asked, image]
        return self._image[-1]

    def deviance(self, image: Tensor, likelihood: Likelihood) -> Tensor:
        """`Likelihood.deviance` of an image (B, H, W): (B,) float64."""
        if compiled.can_compile(self.psf, image):
            return compiled.deviance(likelihood, image)
        return likelihood.deviance(image)

    def photon_bounds(self, state: JointState, likelihood: Likelihood, rows: Tensor | None = None) -> Tensor:
        """σ of the photons of each molecule, with all other unknowns free: (N,).

        rows: (K,), only of these, (K,); unknowns of molecules far from all of them may be taken as known.
        """
        image = self.image(state, likelihood)
        if compiled.can_compile(self.psf, state.xyz):
            near = torch.arange(len(state)) if rows is None else _around(state, rows)
            information = likelihood.information(image)
            found = compiled.photon_bounds(self.psf, state.rows(near), information, self.surface)
            if found is not None:
                place = slice(None) if rows is None else torch.searchsorted(near, rows)
                return found[place].to(state.photons)
        linear = self.linear(state, likelihood)
        found = joint_bounds(linear, likelihood.information(linear.image))[0][:, 3].to(state.photons)
        return found if rows is None else found[rows]

    def with_surface(self, surface: SplineBackground) -> FrameModel:
        """The same with another background; what was computed for this one is kept apart."""
        return replace(self, surface=surface, _linear=[], _image=[])

    def same_image(self, state: JointState, other: JointState, likelihood: Likelihood) -> None:
        """Remember that the image of `state` is that of another one."""
        if _same([other, likelihood, self.surface], self._image):
            self._image[0] = state

    def of_frames(self, frames: Tensor) -> FrameModel:
        """The model of some of the frames, an index tensor (K,)."""
        return replace(self, surface=self.surface.of_frames(frames))


def _same(asked: list[Any], kept: list[Any]) -> bool:
    """Whether what is kept was computed for exactly these objects, which never change."""
    return len(kept) > len(asked) and all(one is other for one, other in zip(asked, kept, strict=False))


def _around(state: JointState, rows: Tensor) -> Tensor:
    """Rows of the molecules nearer than a spot to any of `rows` (K,), themselves among them: increasing."""
    place, centre = state.xyz[:, :2], state.xyz[rows, :2]
    near = torch.cdist(place, centre, compute_mode="donot_use_mm_for_euclid_dist") < APART_UM
    return (near & (state.frame[:, None] == state.frame[rows])).any(1).nonzero()[:, 0]
