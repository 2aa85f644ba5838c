"""Information of single molecules about their own unknowns: small symmetric matrices of very unlike entries."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pseudo_inverse", "scaled"]


def scaled(blocks: Tensor, diagonal: Tensor) -> Tensor:
    """Blocks (N, p, p) scaled to a diagonal near 1: photons and micrometres differ by ten orders of magnitude.

    diagonal: (N, p), above 0, that would become 1.
    """
    scale = diagonal.rsqrt()
    return blocks * scale[:, :, None] * scale[:, None, :]


def pseudo_inverse(blocks: Tensor) -> Tensor:
    """A generalized inverse G of blocks A (N, p, p), AGA = A: the inverse where there is one.

    Directions about which a block tells nothing are left out. What "nothing" is follows from the rounding of
    the numbers, so the blocks are scaled to a unit diagonal first: as they are, the information about the
    photons (1e-5) would be taken for the rounding of that about the position (1e5).
    """
    diagonal = blocks.diagonal(dim1=1, dim2=2)
    diagonal = torch.where(diagonal > 0, diagonal, 1.0)
    inverse = torch.linalg.pinv(scaled(blocks, diagonal), hermitian=True)
    return scaled(inverse, diagonal)
