"""Levenberg-Marquardt with Fisher scoring on many frames at a time, each with its explicit Fisher matrix.

In PyTorch for any PSF and device, what `kernels.climb` is in compiled code for one frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..watch import advance
from .damping import AS_EXPECTED, DAMPED
from .linear import LinearImage
from .matrices import Order, damped_steps, fisher_matrices
from .state import LONGEST_BLUR_PX, LONGEST_UM, JointState

if TYPE_CHECKING:
    from ..optics.psf import PSF
    from .background import SplineBackground
    from .likelihood import Likelihood
    from .refine import Bounds, Effort

__all__ = ["climb"]


def climb(
    psf: PSF,
    start: JointState,
    likelihood: Likelihood,
    surface: SplineBackground,
    bounds: Bounds,
    effort: Effort,
    order: Order,
) -> tuple[JointState, Tensor, Tensor]:
    """The state after the fit of every frame, its deviance (B,) and whether it converged (B,).

    order: of the unknowns of these frames;  the others as in `refine`.
    """
    frames = _Frames(psf, start, likelihood, surface, bounds, order)
    damping = torch.full((start.frames,), 1e-3, dtype=torch.float64, device=start.frame.device)
    end, settled = _climbed(frames, frames.beginning(), damping, effort, effort.iterations)
    return frames.state(end.places, end.coefficients), end.deviance, settled


@dataclass(frozen=True)
class _Point:
    """A state of B frames, and the likelihood around it to second order.

    places: (N, p) unknowns of the molecules;  coefficients: (B, k, l);  deviance: (B,) float64;
    gradient: (B, n) and matrix: (B, n, n), the Fisher information, 0 for unknowns that are held at a bound.
    """

    places: Tensor
    coefficients: Tensor
    deviance: Tensor
    gradient: Tensor
    matrix: Tensor

    def select(self, frames: Tensor, rows: Tensor) -> _Point:
        """Some frames (K,) with their molecules, rows (M,)."""
        rest = (self.coefficients, self.deviance, self.gradient, self.matrix)
        return _Point(self.places[rows], *(each[frames] for each in rest))

    def where(self, better: Tensor, frame: Tensor, other: _Point) -> _Point:
        """The other point in the frames `better`, (B,) bool;  frame: (N,) of each molecule."""
        every = better[:, None, None]
        return _Point(
            places=torch.where(better[frame, None], other.places, self.places),
            coefficients=torch.where(every, other.coefficients, self.coefficients),
            deviance=torch.where(better, other.deviance, self.deviance),
            gradient=torch.where(every[:, 0], other.gradient, self.gradient),
            matrix=torch.where(every, other.matrix, self.matrix),
        )


class _Frames:
    """Frames that climb together; arguments are those of `climb`."""

    def __init__(
        self,
        psf: PSF,
        start: JointState,
        likelihood: Likelihood,
        surface: SplineBackground,
        bounds: Bounds,
        order: Order,
    ) -> None:
        self.psf, self.start, self.likelihood, self.surface = psf, start, likelihood, surface
        self.bounds, self.order = bounds, order
        free = (-torch.inf, torch.inf)
        ranges = [free, free, bounds.z_um, (bounds.photons, torch.inf), bounds.blur_px]
        low, high = zip(*ranges, strict=True)
        longest = (*LONGEST_UM, torch.inf, LONGEST_BLUR_PX)
        self._low, self._high, self._longest = start.xyz.new_tensor([low, high, longest])[:, : order.each]

    def select(self, frames: Tensor, rows: Tensor) -> _Frames:
        """Some frames (K,), in increasing order, with their molecules, rows (M,)."""
        light, surface = self.likelihood.select(frames), self.surface.of_frames(frames)
        order = self.order.select(frames, self.start.frame, rows)
        return _Frames(self.psf, self.start.select(frames), light, surface, self.bounds, order)

    def beginning(self) -> _Point:
        """The state that the frames start from."""
        start = self.start
        blur = [] if start.blur_px is None else [start.blur_px[:, None]]
        return self.at(torch.cat([start.xyz, start.photons[:, None], *blur], 1), start.coefficients)

    def state(self, places: Tensor, coefficients: Tensor) -> JointState:
        """Molecules (N, p) and backgrounds as a state."""
        blur = None if self.start.blur_px is None else places[:, 4]
        return replace(
            self.start, xyz=places[:, :3], photons=places[:, 3], blur_px=blur, coefficients=coefficients
        )

    def at(self, places: Tensor, coefficients: Tensor) -> _Point:
        """The likelihood around molecules (N, p) and backgrounds."""
        light, shape = self.likelihood, tuple(self.likelihood.frames.shape)
        image = LinearImage(self.psf, self.state(places, coefficients), self.surface, shape)
        deviance, score, information = light.expansion(image.image)
        gradient = image.pull(score)
        # Unknowns at a bound whose gradient points beyond it are held (projected Newton, Bertsekas 1982).
        held = torch.where(gradient.molecules < 0, places <= self._low, places >= self._high)
        image.hold(held)
        gradient = self.order.vector(gradient.molecules.masked_fill(held, 0), gradient.background)
        matrix = fisher_matrices(image, information, self.order)
        return _Point(places, coefficients, deviance, gradient, matrix)

    def after_step(self, here: _Point, damping: Tensor) -> tuple[_Point, Tensor]:
        """The point after a damped step, and twice the gain that a quadratic likelihood would have, (B,)."""
        step = damped_steps(here.matrix, here.gradient, damping)
        molecules, background = self.order.unknowns(step)
        moved = here.places + torch.clamp(molecules, -self._longest, self._longest)
        # A molecule loses at most two thirds of its photons in one step: a bad step cannot remove it.
        moved[:, 3] = moved[:, 3].maximum(here.places[:, 3] / 3)
        there = self.at(moved.clamp(self._low, self._high), here.coefficients + background)
        return there, (step * here.gradient).sum(1)


def _climbed(
    frames: _Frames, here: _Point, damping: Tensor, effort: Effort, iterations: int
) -> tuple[_Point, Tensor]:
    """The point after at most so many steps, and which frames have converged, (B,) bool."""
    settled, frame = torch.zeros_like(damping, dtype=torch.bool), frames.start.frame
    for done in range(1, iterations + 1):
        advance(effort.watch)
        there, hoped = frames.after_step(here, damping)
        gain = here.deviance - there.deviance
        better = (gain > 0) & ~settled
        here = here.where(better, frame, there)
        less = torch.where(gain > AS_EXPECTED * hoped, damping / 6, damping)
        damping = torch.where(better, less, (damping * 10).clamp(min=DAMPED)).clamp(1e-5, 1e6)
        settled = settled | (torch.where(better, gain, hoped) < effort.settled) | (damping > 1e3)
        left = (~settled).nonzero()[:, 0]
        if not len(left):
            break
        if 2 * len(left) <= len(settled):
            # The other frames, more than half of them, are not computed any more.
            rows = (~settled)[frame].nonzero()[:, 0]
            part = frames.select(left, rows), here.select(left, rows), damping[left]
            end, late = _climbed(*part, effort, iterations - done)
            here = replace(
                here,
                places=here.places.index_copy(0, rows, end.places),
                coefficients=here.coefficients.index_copy(0, left, end.coefficients),
                deviance=here.deviance.index_copy(0, left, end.deviance),
            )
            return here, settled.index_copy(0, left, late)
    return here, settled
