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

    The method is preconditioned conjugate gradients (Hestenes & Stiefel 1952). F is never formed, only applied
    through the patches, so the cost grows linearly with the number of molecules. Each frame has its own step
    lengths.

    information: (B, H, W) of the pixels;  damping: λ of each frame, (B,);
    tolerance: stop when all residuals are below this fraction of the first (in the norm of the preconditioner);
    watch: is called before each iteration and can end the work (Interrupted).
    Returns the step and the decrease of the negative log-likelihood predicted by the quadratic model, (B,).
    """
    frame, background = image.frame, image.background
    blocks = image.blocks(information)
    diagonal = blocks.diagonal(dim1=1, dim2=2).clamp(min=1e-12)
    ridge = torch.diag_embed(diagonal * (damping[frame, None] + 1e-6))
    inverse = torch.linalg.inv(scaled(blocks + ridge, diagonal))
    unit = diagonal.rsqrt()
    level = information.mean((1, 2)).clamp(min=1e-12)

    def precondition(residual: Unknowns) -> Unknowns:
        molecules = unit * torch.bmm(inverse, (unit * residual.molecules)[..., None])[..., 0]
        smooth = background.gram_solve(residual.background) / (level * (1 + damping))[:, None, None]
        return Unknowns(molecules, smooth)

    def apply(step: Unknowns) -> Unknowns:
        back = image.pull(information * image.push(step))
        molecules = back.molecules + damping[frame, None] * diagonal * step.molecules
        stiff = (damping * level)[:, None, None] * background.gram(step.background)
        return Unknowns(molecules, back.background + stiff)

    residual = gradient
    step = Unknowns(torch.zeros_like(residual.molecules), torch.zeros_like(residual.background))
    direction = preconditioned = precondition(residual)
    power = first = residual.dot(preconditioned, frame)
    for _ in range(iterations):
        advance(watch)
        applied = apply(direction)
        length = power / direction.dot(applied, frame).clamp(min=1e-30)
        step, residual = step.plus(direction, length, frame), residual.plus(applied, -length, frame)
        preconditioned = precondition(residual)
        before, power = power, residual.dot(preconditioned, frame)
        if bool((power <= tolerance**2 * first).all()):
            break
        direction = preconditioned.plus(direction, power / before.clamp(min=1e-30), frame)
    # Conjugate gradients lower the damped quadratic model by half of gradient·step.
    return step, step.dot(gradient, frame) / 2
