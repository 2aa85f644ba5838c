"""Trainable masks: their parameters, learning rate, and penalties for masks that are difficult to fabricate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..experiment.design_settings import DesignSpec
from ..optics.exact import ExactPSF
from ..optics.masks import PhaseMask, PixelMask, ZernikePhase
from ..optics.microscope import Microscope
from ..optics.psf import device_of, on_axis
from ..optics.zernike import noll_to_nm

__all__ = ["MaskLearning", "MaskPenalty", "learnable_mask", "roughness"]

_DEPTHS = 5  # number of depths at which the light outside the patch is computed for its penalty


@dataclass(frozen=True)
class MaskLearning:
    """Settings with which the training loop optimizes a mask, or the masks of several channels.

    learning_rate: largest change of a phase in a step, rad;  penalty: added to the loss of every step;
    bound: added as well, by molecules that it draws; None: the network's loss alone judges the mask.
    """

    learning_rate: float
    penalty: Callable[[], Tensor]
    bound: Callable[[torch.Generator], Tensor] | None = None

    def cost(self, generator: torch.Generator) -> Tensor:
        """Penalty and bound of the masks as they are, a scalar with a gradient to each of them."""
        cost = self.penalty()
        return cost if self.bound is None else cost + self.bound(generator)


class WithinRange(PhaseMask):
    """A trainable mask that is clipped to a range of phase; mixed into one that is not.

    limits: least and largest phase, rad. The phase that learns may leave them by a little: `beyond` draws it
    back, since where it is clipped the images say nothing of it.
    """

    limits: tuple[float, float] = (-math.inf, math.inf)

    def forward(self) -> Tensor:
        return super().forward().clamp(*self.limits)

    def crossed_at(self, shift_um: tuple[float, float], microscope: Microscope) -> Tensor:
        return PhaseMask.crossed_at(self, shift_um, microscope)

    def beyond(self) -> Tensor:
        """Mean square of the phase beyond the limits, rad²: a scalar with a gradient to the mask."""
        phase = super().forward()
        return (phase - phase.clamp(*self.limits)).square().mean()


class PixelsWithinRange(WithinRange, PixelMask):
    """Free phases within a range."""


class ZernikeWithinRange(WithinRange, ZernikePhase):
    """A sum of Zernike polynomials, clipped to a range."""


def learnable_mask(spec: DesignSpec, microscope: Microscope, start: PhaseMask) -> PhaseMask:
    """A trainable mask that is initially equal to `start`, clipped about its middle to ``spec.phase_range``.

    Zernike coefficients are added to the start and are initially 0. They begin at Noll index 5, because piston,
    tilts and defocus only shift the positions of the molecules.
    """
    mask: PhaseMask
    if spec.parameters == "pixels":
        phase = start().detach().float()
        mask = (PixelsWithinRange if spec.phase_range else PixelMask)(phase, learn=True)
    else:
        count = (spec.zernike_order + 1) * (spec.zernike_order + 2) // 2
        indices = [noll for noll in range(5, count + 1) if noll_to_nm(noll)[0] <= spec.zernike_order]
        fixed = PixelMask(start().detach().double())
        values = torch.zeros(len(indices), dtype=torch.float64, device=device_of(start))
        kind = ZernikeWithinRange if spec.phase_range else ZernikePhase
        mask = kind(microscope, indices, values, learn=True, base=fixed)
    if isinstance(mask, WithinRange):
        phase = start().detach()
        middle = float(phase.amax() + phase.amin()) / 2
        mask.limits = middle - spec.phase_range / 2, middle + spec.phase_range / 2
    return mask


class MaskPenalty:
    """Penalties of a mask, added to the loss.

    mask: trainable mask;  psf: exact PSF with this mask;  z_um: depth range, µm.
    """

    def __init__(self, spec: DesignSpec, mask: PhaseMask, psf: ExactPSF, z_um: tuple[float, float]) -> None:
        self.spec, self.mask, self.psf, self.z_um = spec, mask, psf, z_um

    def __call__(self) -> Tensor:
        """Sum of the penalties, a scalar with a gradient to the mask."""
        phase = self.mask()
        total = phase.new_zeros(())
        if self.spec.roughness:
            total = total + self.spec.roughness * roughness(phase)
        if self.spec.spread:
            total = total + self.spec.spread * self._outside(phase)
        if isinstance(self.mask, WithinRange):
            total = total + self.mask.beyond()
        return total

    def _outside(self, like: Tensor) -> Tensor:
        """Mean fraction of the light outside the patch."""
        z = torch.linspace(*self.z_um, _DEPTHS, device=like.device)
        xyz = on_axis(z)
        return 1 - self.psf(xyz).encircled_energy.mean()


def roughness(phase: Tensor) -> Tensor:
    """Mean of |e^{iφ} − e^{iφ'}|² over neighbouring pixels of a phase (h, w), rad; jumps by 2π do not count."""
    down, across = phase.diff(dim=0), phase.diff(dim=1)
    return (2 - 2 * down.cos()).mean() + (2 - 2 * across.cos()).mean()
