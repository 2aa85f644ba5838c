"""Joint refinement: maximum-likelihood values of all molecules and the background of every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import UNKNOWN_SIGMA_UM
from ..optics.psf import PSF
from ..watch import SILENT, Watcher, advance
from . import compiled
from .background import SplineBackground
from .climb import climb
from .likelihood import Likelihood
from .linear import LinearImage, Unknowns, expected_image
from .matrices import Order
from .newton import newton_step
from .state import LONGEST_BLUR_PX, LONGEST_UM, JointState

__all__ = ["Bounds", "Effort", "Refined", "refine", "refine_together"]

# Distance from an end of the range of depths below which the end holds a depth: rounding, µm.
_AT_END_UM = 1e-5


@dataclass(frozen=True)
class Bounds:
    """Allowed range of the unknowns: depth (µm), blur (px), smallest number of photons."""

    z_um: tuple[float, float]
    blur_px: tuple[float, float] = (0.0, 10.0)
    photons: float = 1.0

    @property
    def one_depth(self) -> bool:
        """Whether the range of depths has no width: nothing is fitted there, and its ends tell nothing."""
        return self.z_um[1] - self.z_um[0] <= 2 * _AT_END_UM

    def at_ends(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Which depths (N,) µm the lower and the upper end of the range hold: (N,) bool each."""
        low, high = self.z_um
        return z <= low + _AT_END_UM, z >= high - _AT_END_UM

    def stated(self, xyz: Tensor, sigma: Tensor) -> Tensor:
        """σ (N, 3) to state of positions (N, 3) with these bounds (N, ≥ 3): a held depth is not known."""
        if self.one_depth:
            return sigma[:, :3]
        low, high = self.at_ends(xyz[:, 2])
        held = torch.stack([torch.zeros_like(low), torch.zeros_like(low), low | high], 1)
        return torch.where(held, UNKNOWN_SIGMA_UM, sigma[:, :3])


@dataclass(frozen=True)
class Effort:
    """Stopping rules of a refinement.

    iterations: largest number of steps;  settled: a frame has converged when a step lowers its deviance by less
    than this (1: a shift by one σ);  tolerance: of the linear equations in each step (`newton_step`);
    watch: is called repeatedly, also within a step, and can end the work (Interrupted);
    photon_sigma: whether σ of the photons is wanted too, where it costs little.
    """

    iterations: int = 60
    settled: float = 0.05
    tolerance: float = 0.05
    watch: Watcher = SILENT
    photon_sigma: bool = False


@dataclass(frozen=True)
class Refined:
    """Result of a refinement.

    state: of B frames;  deviance: of each frame, (B,) float64;  settled: whether its fit converged, (B,) bool;
    photon_sigma: (N,) of the photons, from the matrix of the last step, NaN: not known; None: of none.
    """

    state: JointState
    deviance: Tensor
    settled: Tensor
    photon_sigma: Tensor | None = None

    def select(self, frames: Tensor) -> Refined:
        """Some of the frames; frames: increasing index (K,)."""
        if len(frames) == len(self.deviance):
            return self
        return Refined(self.state.select(frames), self.deviance[frames], self.settled[frames])

    def better(self, trial: Refined, frames: Tensor, cost: Callable[[Refined], Tensor]) -> Refined:
        """Take those of `frames` (increasing index, K) from `trial` that have a lower cost there."""
        kept = (cost(trial) < cost(self.select(frames))).nonzero()[:, 0]
        return self.replaced(frames[kept], trial.select(kept))

    def replaced(self, frames: Tensor, part: Refined) -> Refined:
        """Take some frames (increasing index, K) from `part`, a fit of K frames."""
        deviance, settled = self.deviance.clone(), self.settled.clone()
        deviance[frames], settled[frames] = part.deviance, part.settled
        # Compiled code fits one frame at a time: of several, none is known.
        known = {0: self.photon_sigma, len(deviance): part.photon_sigma}.get(len(frames))
        return Refined(self.state.replace_frames(frames, part.state), deviance, settled, known)


# Deviance of a pixel above which a frame is fitted again by conjugate gradients. Where the model is far below
# the data (many molecules still missing), exact steps are too long; those of unfinished equations go on.
_FAR = 3.0
_THOROUGH = Effort()


@torch.no_grad()
def refine(
    psf: PSF,
    start: JointState,
    likelihood: Likelihood,
    background: SplineBackground,
    bounds: Bounds,
    effort: Effort = _THOROUGH,
) -> Refined:
    """Levenberg-Marquardt on the likelihood with Fisher scoring, compiled where that is possible (`climb`).

    Minimises the deviance over position, photons (and blur, if the state has one) of every molecule and the
    coefficients of every background. Each frame accepts a step only if its own deviance falls, and has
    its own damping (Marquardt 1963; Laurence & Chromy 2010 for the Poisson likelihood), so the deviance of a
    frame never increases. Converged frames are not computed further.

    start: state of B frames;  likelihood: of the same frames.
    """
    if compiled.can_compile(psf, start.xyz):
        if not compiled.is_small(start):
            return refine_together(psf, start, likelihood, background, bounds, effort)
        fitted = Refined(*compiled.climbed(psf, start, likelihood, background, bounds, effort))
    else:
        order = Order.of(start.frame, 4 if start.blur_px is None else 5, start.coefficients)
        if not order.is_small(likelihood.frames[0].numel() if len(likelihood) else 0):
            return refine_together(psf, start, likelihood, background, bounds, effort)
        fitted = Refined(*climb(psf, start, likelihood, background, bounds, effort, order))
    far = (fitted.deviance > _FAR * likelihood.pixels.clamp(min=1)).nonzero()[:, 0]
    if not len(far):
        return fitted
    light = likelihood.select(far)
    other = refine_together(psf, start.select(far), light, background.of_frames(far), bounds, effort)
    return fitted.better(other, far, lambda each: each.deviance)


@torch.no_grad()
def refine_together(
    psf: PSF,
    start: JointState,
    likelihood: Likelihood,
    background: SplineBackground,
    bounds: Bounds,
    effort: Effort = _THOROUGH,
) -> Refined:
    """`refine` by conjugate gradients: no matrix is formed, however large a frame is."""
    shape = tuple(likelihood.frames.shape)
    image = expected_image(psf, start, background, shape)
    deviance = likelihood.deviance(image)
    whole = start
    finished = torch.zeros_like(deviance, dtype=torch.bool)
    active = torch.arange(shape[0], device=start.frame.device)
    damping = torch.full_like(deviance, 1e-3, dtype=start.xyz.dtype)
    for _ in range(effort.iterations):
        advance(effort.watch)
        part, light = whole.select(active), likelihood.select(active)
        surface = background.of_frames(active)
        linear = LinearImage(psf, part, surface, tuple(light.frames.shape))
        gradient = linear.gradient(light)
        fixed = _at_bounds(part, gradient, bounds)
        linear.hold(fixed)
        gradient = replace(gradient, molecules=gradient.molecules.masked_fill(fixed, 0))
        information = light.information(linear.image)
        step, predicted = newton_step(
            linear, information, gradient, damping[active], tolerance=effort.tolerance, watch=effort.watch
        )
        trial = _moved(part, step, bounds)
        tried = light.deviance(expected_image(psf, trial, surface, tuple(light.frames.shape)))
        gain = deviance[active] - tried
        better = gain > 0
        whole = whole.replace_frames(active, _choose(better, trial, part))
        deviance[active] = torch.where(better, tried, deviance[active])
        damping[active] = torch.where(better, damping[active] / 6, damping[active] * 10).clamp(1e-5, 1e6)
        still = better & (gain < effort.settled)
        done = still | (~better & ((2 * predicted < effort.settled) | (damping[active] > 1e3)))
        finished[active] = done
        active = active[~done]
        if not len(active):
            break
    return Refined(whole, deviance, finished)


def _at_bounds(state: JointState, gradient: Unknowns, bounds: Bounds) -> Tensor:
    """Unknowns at a bound whose gradient points beyond it: (N, p) bool.

    They are fixed in the step: they cannot move as the step assumes, which would make it wrong for the whole
    frame (projected Newton, Bertsekas 1982).
    """
    pull = gradient.molecules
    at_bound = torch.zeros_like(pull, dtype=torch.bool)
    limits = [(2, state.xyz[:, 2], *bounds.z_um), (3, state.photons, bounds.photons, torch.inf)]
    if state.blur_px is not None:
        limits.append((4, state.blur_px, *bounds.blur_px))
    for column, value, low, high in limits:
        down, up = pull[:, column] < 0, pull[:, column] > 0
        at_bound[:, column] = ((value <= low) & down) | ((value >= high) & up)
    return at_bound


def _moved(state: JointState, step: Unknowns, bounds: Bounds) -> JointState:
    """The state after a step that is limited in length and kept within the bounds."""
    longest = state.xyz.new_tensor(LONGEST_UM)
    xyz = state.xyz + step.molecules[:, :3].clamp(-longest, longest)
    xyz = torch.cat([xyz[:, :2], xyz[:, 2:].clamp(*bounds.z_um)], 1)
    # A molecule loses at most two thirds of its photons in one step, so that a bad step cannot remove it.
    photons = torch.maximum(state.photons + step.molecules[:, 3], state.photons / 3).clamp(min=bounds.photons)
    blur = state.blur_px
    if blur is not None:
        blur = (blur + step.molecules[:, 4].clamp(-LONGEST_BLUR_PX, LONGEST_BLUR_PX)).clamp(*bounds.blur_px)
    return replace(
        state, xyz=xyz, photons=photons, blur_px=blur, coefficients=state.coefficients + step.background
    )


def _choose(better: Tensor, trial: JointState, part: JointState) -> JointState:
    """Take the trial in frames where it is better, and the previous state in the others."""
    row = better[part.frame]
    blur = None
    if part.blur_px is not None and trial.blur_px is not None:
        blur = torch.where(row, trial.blur_px, part.blur_px)
    return replace(
        part,
        xyz=torch.where(row[:, None], trial.xyz, part.xyz),
        photons=torch.where(row, trial.photons, part.photons),
        blur_px=blur,
        coefficients=torch.where(better[:, None, None], trial.coefficients, part.coefficients),
    )
