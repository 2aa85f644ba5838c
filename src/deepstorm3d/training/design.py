"""How a mask learns: its parameters, its rate, and what it pays for being hard to make."""

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

# Depths at which the light outside the patch is watched.
_DEPTHS = 5


@dataclass(frozen=True)
class MaskLearning:
    """What the training loop needs to know of a mask that learns.

    learning_rate: highest change of a phase in a step, rad;  penalty: added to the loss of every step.
    """

    learning_rate: float
    penalty: Callable[[], Tensor]


def learnable_mask(spec: DesignSpec, microscope: Microscope, start: PhaseMask) -> PhaseMask:
    """A mask that learns, at first as `start` is.

    Zernike coefficients (Noll 5 and up: piston, tilts and defocus say nothing that the position of the
    molecules does not) begin at 0 on top of the start.
    """
    if spec.parameters == "pixels":
        return PixelMask(start().detach().float(), learn=True)
    count = (spec.zernike_order + 1) * (spec.zernike_order + 2) // 2
    indices = [noll for noll in range(5, count + 1) if noll_to_nm(noll)[0] <= spec.zernike_order]
    fixed = PixelMask(start().detach().double())
    values = torch.zeros(len(indices), dtype=torch.float64, device=device_of(start))
    return ZernikePhase(microscope, indices, values, learn=True, base=fixed)


class MaskPenalty:
    """What a mask pays besides the network's loss.

    mask: that learns;  psf: exact, with that mask in it;  z_um: depths over which it is used.
    """

    def __init__(self, spec: DesignSpec, mask: PhaseMask, psf: ExactPSF, z_um: tuple[float, float]) -> None:
        self.spec, self.mask, self.psf, self.z_um = spec, mask, psf, z_um

    def __call__(self) -> Tensor:
        """Sum of the prices, a scalar with a gradient to the mask."""
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
        """Mean share of the light that falls outside the patch."""
        z = torch.linspace(*self.z_um, _DEPTHS, device=like.device)
        xyz = on_axis(z)
        return 1 - self.psf(xyz).held.mean()


def roughness(phase: Tensor) -> Tensor:
    """Mean of |e^{iφ} − e^{iφ'}|² over neighbouring pixels, (h, w) rad: a jump by 2π is none."""
    down, across = phase.diff(dim=0), phase.diff(dim=1)
    return (2 - 2 * down.cos()).mean() + (2 - 2 * across.cos()).mean()
