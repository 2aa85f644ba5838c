"""Fisher information of single molecules: small symmetric matrices with entries of very different size."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pseudo_inverse", "scaled"]


def scaled(blocks: Tensor, diagonal: Tensor) -> Tensor:
    """Scale blocks (N, p, p) to a diagonal near 1: photons and micrometres differ by ten orders of magnitude.

    diagonal: (N, p), above 0, the values that become 1.
    """
    scale = diagonal.rsqrt()
    return blocks * scale[:, :, None] * scale[:, None, :]


def pseudo_inverse(blocks: Tensor) -> Tensor:
    """A generalized inverse G of blocks A (N, p, p), AGA = A: the inverse where there is one.

    Directions in which a block carries no information are left out. The limit for "no information" comes
    from the rounding error, so the blocks are scaled to a unit diagonal first. Without scaling, the information
    about the photons (1e-5) would look like a rounding error of the information about the position (1e5).
    """
    diagonal = blocks.diagonal(dim1=1, dim2=2)
    diagonal = torch.where(diagonal > 0, diagonal, 1.0)
    inverse = torch.linalg.pinv(scaled(blocks, diagonal), hermitian=True)
    return scaled(inverse, diagonal)
