"""The damped Gauss-Newton step of all molecules and backgrounds of many frames at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..watch import SILENT, Watcher, advance
from .blocks import scaled
from .linear import LinearImage, Unknowns

__all__ = ["newton_step"]


def newton_step(
    image: LinearImage,
    information: Tensor,
    gradient: Unknowns,
    damping: Tensor,
    *,
    iterations: int = 25,
    tolerance: float = 0.05,
    watch: Watcher = SILENT,
) -> tuple[Unknowns, Tensor]:
    """Solve (F + λ·D)·step = gradient, F the Fisher information of the frames, D its block diagonal.

    Preconditioned conjugate gradients (Hestenes & Stiefel 1952): F is never formed, only applied through
    the patches, so the cost grows linearly with the molecules; molecules that share no pixels do not mix.
    Each frame has its own step lengths.

    information: (B, H, W) of the pixels;  damping: λ of each frame, (B,);
    tolerance: stop where all residuals have fallen to this fraction (in the norm of the preconditioner);
    watch: told before each iteration that the work is alive; raises Interrupted where it says so.
    Returns the step and the decrease of half the deviance that the quadratic model predicts, (B,).
    """
    frame, background = image.frame, image.background
    blocks = image.blocks(information)
    diagonal = blocks.diagonal(dim1=1, dim2=2).clamp(min=1e-12)
    ridge = torch.diag_embed(diagonal * (damping[frame, None] + 1e-6))
    inverse = torch.linalg.inv(scaled(blocks + ridge, diagonal))
    unit = diagonal.rsqrt()
    level = information.mean((1, 2)).clamp(min=1e-12)

    def precondition(rest: Unknowns) -> Unknowns:
        molecules = unit * torch.bmm(inverse, (unit * rest.molecules)[..., None])[..., 0]
        smooth = background.gram_solve(rest.background) / (level * (1 + damping))[:, None, None]
        return Unknowns(molecules, smooth)

    def apply(step: Unknowns) -> Unknowns:
        back = image.pull(information * image.push(step))
        molecules = back.molecules + damping[frame, None] * diagonal * step.molecules
        stiff = (damping * level)[:, None, None] * background.gram(step.background)
        return Unknowns(molecules, back.background + stiff)

    rest = gradient
    step = Unknowns(torch.zeros_like(rest.molecules), torch.zeros_like(rest.background))
    way = ahead = precondition(rest)
    power = first = rest.dot(ahead, frame)
    for _ in range(iterations):
        advance(watch)
        bent = apply(way)
        length = power / way.dot(bent, frame).clamp(min=1e-30)
        step, rest = step.plus(way, length, frame), rest.plus(bent, -length, frame)
        ahead = precondition(rest)
        before, power = power, rest.dot(ahead, frame)
        if bool((power <= tolerance**2 * first).all()):
            break
        way = ahead.plus(way, power / before.clamp(min=1e-30), frame)
    # Along conjugate directions the model falls by half of gradient·step, and by half the damping less.
    return step, step.dot(gradient, frame) / 2
