"""The PSF itself from beads: their images laid over each other and averaged, without any optics.

Each bead's stack is shifted onto the mean of all by least squares, and the mean taken anew, each bead with the
weight of its light (SMAP does it by cross-correlation: Li et al., Nat. Methods 15:367, 2018). Beads of one
stack drift together, and so does what the PSF itself shifts with depth: that stays in the average, as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...brief import Brief
from ...errors import InputError
from ...noise import SHOT_NOISE, Noise

__all__ = ["Averaged", "average_beads"]

_ROUNDS = 6
# Longest step of a round, px.
_LONGEST = 1.0
# Residual from the mean image, as a share of a bead's signal, up to which a bead is kept.
_UNLIKE = 0.15
# A bead above that is also kept if its residual is at most this many times the median of all beads.
_STANDS_OUT = 1.2
# Of all that differs from its background, the share that a bead's light is at least.
_LEAST_LIGHT = 0.02


@dataclass(frozen=True, repr=False)
class Averaged(Brief):
    """Mean image of the beads in each slice.

    values: (S, h, h) fraction of a bead's light, the bead on the middle pixel; 1 in the slice that holds most;
    shift_px: (B, 2) columns and rows by which each bead lay off the middle;  misfit: (B,) root mean square of
    its images less the mean's beyond noise, over that of both, 0 to 1;  used: (B,) bool.
    """

    values: Tensor
    shift_px: Tensor
    misfit: Tensor
    used: Tensor


def average_beads(stacks: Tensor, weight: Tensor | None = None, *, noise: Noise = SHOT_NOISE) -> Averaged:
    """Register the stacks of beads in x and y, and average those that agree.

    stacks: (B, S, h, h) photons, h odd, every bead within a few pixels of the middle;  weight: the same shape,
    0 leaves a pixel (full, say) out;  noise: of a pixel.
    Raises InputError where no bead has light over the edge of its images.
    The middle is where the mean image over all slices has its centroid: nothing else tells where in a lopsided
    PSF the molecule sits, and all positions move together with it.
    """
    stacks = stacks.double()
    free = torch.ones_like(stacks, dtype=torch.bool) if weight is None else weight > 0
    light = _without_background(stacks)
    others = (light * free).sum(0) / free.sum(0).clamp(min=1)
    light = torch.where(free, light, others)
    photons = light.sum((1, 2, 3)).clamp(min=1e-9)
    shot = (noise.variance(stacks) * free).sum((1, 2, 3)) / photons.square()
    unit = light / photons[:, None, None, None]
    bright = used = _with_light(light, photons)
    shift = _centroid(unit.sum(1))
    mean = _mean(unit, photons, shift, used)
    misfit = shot
    for _ in range(_ROUNDS):
        shift = shift + _steps(unit, free, mean, shift)
        # All together they may not wander away from the middle.
        shift = shift + _centroid(_mean(unit, photons, shift, used).sum(0)[None])
        mean = _mean(unit, photons, shift, used)
        unit, misfit = _compared(unit, free, mean, shift, shot)
        used = _without_the_worst(used, misfit) & bright
    mean = _mean(unit, photons, shift, used)
    return Averaged((mean / mean.sum((1, 2)).max()).float(), shift.float(), misfit.float(), used)


def _without_the_worst(used: Tensor, misfit: Tensor) -> Tensor:
    """Beads to go on with, (B,) bool: of those used not the worst, and all that are like the mean."""
    limit = max(_UNLIKE, _STANDS_OUT * float(misfit[used].median()))
    most = misfit[used].sort(descending=True).values[: math.ceil(int(used.sum()) / 10)][-1]
    return (used & ((misfit < most) | (misfit <= limit))) | (misfit <= _UNLIKE)


def _with_light(light: Tensor, photons: Tensor) -> Tensor:
    """Beads that have light over their background, (B,) bool: of the others no share can be told."""
    bright = photons > _LEAST_LIGHT * light.abs().sum((1, 2, 3))
    if not bool(bright.any()):
        raise InputError(
            "no bead has light over the background at the edge of its images",
            "give larger images (`side_px`), or check the camera's baseline",
        )
    return bright


def _without_background(stacks: Tensor) -> Tensor:
    """Less a level for each bead: the median of the outermost pixels, in slices where they get little light."""
    ring = torch.ones(stacks.shape[-2:], dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    level = stacks[..., ring].median(-1).values.quantile(0.2, dim=1)
    return stacks - level[:, None, None, None]


def _centroid(images: Tensor) -> Tensor:
    """Columns and rows (N, 2) from the middle pixel to the centroid of (N, h, h), of what stands out."""
    bright = (images - 0.1 * images.amax((1, 2), keepdim=True)).clamp(min=0)
    axis = torch.arange(images.shape[-1], dtype=images.dtype) - images.shape[-1] // 2
    total = bright.sum((1, 2)).clamp(min=1e-12)
    return torch.stack([(bright * axis).sum((1, 2)), (bright * axis[:, None]).sum((1, 2))], 1) / total[:, None]


def _moved(images: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images (..., h, h) moved by (2,) px to the right and down, and their slopes along both (by Fourier)."""
    height, width = images.shape[-2:]
    across = torch.fft.rfftfreq(width, dtype=images.dtype)
    down = torch.fft.fftfreq(height, dtype=images.dtype)[:, None]
    spectrum = torch.fft.rfft2(images) * torch.exp(-2j * torch.pi * (shift[0] * across + shift[1] * down))
    parts = (spectrum, spectrum * (2j * torch.pi * across), spectrum * (2j * torch.pi * down))
    moved, right, below = (torch.fft.irfft2(each, s=(height, width)) for each in parts)
    return moved, right, below


def _steps(unit: Tensor, free: Tensor, mean: Tensor, shift: Tensor) -> Tensor:
    """How much further each bead lies off, px (B, 2): one step of least squares in shift and brightness."""
    steps = []
    for stack, there, at in zip(unit, free, shift, strict=True):
        model, right, below = _moved(mean, at)
        columns = torch.stack([-right, -below, model])[:, there]
        solved = torch.linalg.lstsq(columns.T, (stack - model)[there][:, None]).solution[:2, 0]
        steps.append(solved.clamp(-_LONGEST, _LONGEST))
    return torch.stack(steps)


def _mean(unit: Tensor, photons: Tensor, shift: Tensor, used: Tensor) -> Tensor:
    """Mean of the beads moved onto the middle, (S, h, h); each counts by its photons."""
    rows = used.nonzero()[:, 0].tolist()
    total = sum((photons[row] * _moved(unit[row], -shift[row])[0] for row in rows), torch.zeros_like(unit[0]))
    return total / photons[used].sum()


def _compared(unit: Tensor, free: Tensor, mean: Tensor, shift: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The beads, with the mean where a pixel is left out, and how unlike it each is: (B,).

    noise: (B,) sum of squares that shot noise alone leaves.
    """
    filled, unlike = [], []
    for stack, there, at, variance in zip(unit, free, shift, noise, strict=True):
        model, _, _ = _moved(mean, at)
        power = model[there].square().sum()
        model = model * ((stack * model)[there].sum() / power.clamp(min=1e-300))
        rest = (stack - model)[there].square().sum() - variance
        filled.append(torch.where(there, stack, model))
        rest = rest.clamp(min=0)
        unlike.append((rest / (rest + power).clamp(min=1e-300)).sqrt())
    return torch.stack(filled), torch.stack(unlike)
