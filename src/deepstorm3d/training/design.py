"""Trainable masks: their parameters, learning rate, and penalties for masks that are difficult to fabricate."""

from __future__ import annotations

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


def learnable_mask(spec: DesignSpec, microscope: Microscope, start: PhaseMask) -> PhaseMask:
    """A trainable mask that is initially equal to `start`.

    Zernike coefficients are added to the start and are initially 0. They begin at Noll index 5, because piston,
    tilts and defocus only shift the positions of the molecules.
    """
    if spec.parameters == "pixels":
        return PixelMask(start().detach().float(), learn=True)
    count = (spec.zernike_order + 1) * (spec.zernike_order + 2) // 2
    indices = [noll for noll in range(5, count + 1) if noll_to_nm(noll)[0] <= spec.zernike_order]
    fixed = PixelMask(start().detach().double())
    values = torch.zeros(len(indices), dtype=torch.float64, device=device_of(start))
    return ZernikePhase(microscope, indices, values, learn=True, base=fixed)


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
        if self.spec.phase_range:
            middle = (phase.amax() + phase.amin()) / 2
            beyond = ((phase - middle).abs() - self.spec.phase_range / 2).clamp(min=0)
            total = total + beyond.square().mean()
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
