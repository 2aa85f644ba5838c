"""The image of many molecules on a smooth background, and its derivatives with respect to all unknowns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..optics.assembly import Assembly
from ..optics.psf import PSF
from . import compiled
from .background import SplineBackground
from .likelihood import Likelihood
from .state import JointState

__all__ = ["LinearImage", "Unknowns", "expected_image"]


@dataclass(frozen=True)
class Unknowns:
    """A vector of all fitted unknowns.

    molecules: (N, p) in x, y, z (µm), photons (, blur);  background: (B, k, l) coefficients.
    """

    molecules: Tensor
    background: Tensor

    def plus(self, other: Unknowns, length: Tensor, frame: Tensor) -> Unknowns:
        """Return self + length·other with one length (B,) for each frame."""
        return Unknowns(
            self.molecules + length[frame, None] * other.molecules,
            self.background + length[:, None, None] * other.background,
        )

    def dot(self, other: Unknowns, frame: Tensor) -> Tensor:
        """Inner product for each frame: (B,)."""
        sums = (self.background * other.background).sum((1, 2))
        return sums.index_add(0, frame, (self.molecules * other.molecules).sum(1))


def expected_image(psf: PSF, state: JointState, background: SplineBackground, shape: tuple[int, ...]) -> Tensor:
    """Expected photons (B, H, W) of a state."""
    if compiled.can_compile(psf, state.xyz):
        return compiled.expected(psf, state, background)
    patches = psf(state.xyz, state.blur_px)
    size = (patches.values.shape[1], patches.values.shape[2])
    assembly = Assembly(state.in_frames(patches.corner), state.frame, size, shape)
    image = assembly.add(assembly.inside(patches.values * state.photons[:, None, None]))
    return image + background.surface(state.coefficients)


class LinearImage:
    """The expected image, linearized around a state.

    psf, background: of the image model;  shape: (B, H, W) of the frames.
    """

    def __init__(
        self,
        psf: PSF,
        state: JointState,
        background: SplineBackground,
        shape: tuple[int, ...],
    ) -> None:
        self.frame, self.background = state.frame, background
        self.is_compiled = compiled.can_compile(psf, state.xyz)
        """Whether compiled code can compute with this image."""
        if self.is_compiled:
            corner, jacobian = compiled.linearized(psf, state, shape)
            self.assembly = Assembly(corner, state.frame, (jacobian.shape[2], jacobian.shape[3]), shape)
        else:
            self.assembly, jacobian = _linearized(psf, state, shape)
        self.jacobian = jacobian.flatten(2)
        image = self.assembly.add(jacobian[:, 3] * state.photons[:, None, None])
        self.image = image + background.surface(state.coefficients)

    def hold(self, fixed: Tensor) -> None:
        """Fix some unknowns of the molecules, (N, p) bool: their derivatives become 0."""
        self.jacobian.masked_fill_(fixed[:, :, None], 0)

    def push(self, step: Unknowns) -> Tensor:
        """Change of the image (B, H, W) for a small change of the unknowns."""
        patches = torch.bmm(step.molecules[:, None], self.jacobian)
        return self.assembly.add(patches) + self.background.surface(step.background)

    def pull(self, frames: Tensor) -> Unknowns:
        """The adjoint of `push`: the derivative of Σ frames·image with respect to all unknowns."""
        cut = self.assembly.cut(frames).flatten(1)
        return Unknowns(torch.bmm(self.jacobian, cut[:, :, None])[..., 0], self.background.adjoint(frames))

    def blocks(self, information: Tensor) -> Tensor:
        """Fisher information of each molecule alone: (N, p, p), for pixel informations (B, H, W)."""
        weighted = self.jacobian * self.assembly.cut(information).flatten(1)[:, None]
        return torch.bmm(weighted, self.jacobian.mT)

    def gradient(self, likelihood: Likelihood) -> Unknowns:
        """Derivative of the log-likelihood with respect to all unknowns."""
        return self.pull(likelihood.score(self.image))

    def under_spots(self, frames: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean of frames (B, H, W) under each molecule's spot, weighted with its PSF: (N,).

        weight: (B, H, W) of the pixels, 0 for excluded pixels (`frames` must be 0 there).
        """
        spots = self.jacobian[:, 3]
        counted = spots if weight is None else spots * self.assembly.cut(weight).flatten(1)
        return (spots * self.assembly.cut(frames).flatten(1)).sum(1) / counted.sum(1).clamp(min=1e-9)

    def background_cross(self, weighted: Tensor) -> Tensor:
        """Sum over pixels of patches (N, p, h·w) times each spline of the background: (N, p, k·l)."""
        rows, columns = self.background.under(*self.assembly.pixels(), self.frame)
        patches = weighted.view(*weighted.shape[:2], *self.assembly.patch)
        return (rows.mT[:, None] @ patches @ columns[:, None]).flatten(2)


def _linearized(psf: PSF, state: JointState, shape: tuple[int, ...]) -> tuple[Assembly, Tensor]:
    """Places of patches, and derivatives (N, p, h, w) in x, y, z, photons (, blur), 0 outside the frame."""
    patches, slopes = psf.derivatives(state.xyz, state.blur_px, in_blur=state.blur_px is not None)
    size = (patches.values.shape[1], patches.values.shape[2])
    assembly = Assembly(state.in_frames(patches.corner), state.frame, size, shape)
    jacobian = torch.cat([slopes[:, :3], patches.values[:, None], slopes[:, 3:]], 1)
    # In place: the derivatives are the largest arrays of a fit, and new memory is slow.
    for others in (jacobian[:, :3], jacobian[:, 4:]):
        others *= state.photons[:, None, None, None]
    return assembly, assembly.blank_outside(jacobian)
