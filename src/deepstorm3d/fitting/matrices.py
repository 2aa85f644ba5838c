"""The Fisher matrices of many frames at a time, as explicit matrices of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .lapack import of_each
from .linear import LinearImage

__all__ = ["Order", "damped_steps", "fisher_matrices"]

# Products of two derivatives in the matrix of one frame above which it is not formed: 75 molecules in 121 × 121
# pixels have a twentieth. Conjugate gradients then take less time.
_MOST_PRODUCTS = 5e10
# Derivatives in all pixels that are in memory at a time, 2 GB in single precision.
_DERIVATIVES = 2**29


@dataclass(frozen=True)
class Order:
    """Where the unknowns of B frames stand in their matrices: those of the molecules, then the background's.

    Every frame has places for as many molecules as the frame with the most; the rest of its places is empty.

    slot: (N,) int64, place of each molecule, counted through all frames;  most: places of a frame;
    each: unknowns p of a molecule;  shape: (B, k, l) of the coefficients.
    """

    slot: Tensor
    most: int
    each: int
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, frame: Tensor, each: int, coefficients: Tensor) -> Order:
        """The order of molecules in frames (N,) and of coefficients (B, k, l).  The host waits once."""
        frames, down, across = coefficients.shape
        counts = frame.new_zeros(frames).index_add_(0, frame, torch.ones_like(frame))
        most = int(counts.max()) if frames else 0
        by_frame = torch.argsort(frame, stable=True)
        inner = torch.arange(len(frame), device=frame.device) - (counts.cumsum(0) - counts)[frame[by_frame]]
        slot = (frame * most).index_add_(0, by_frame, inner)
        return cls(slot, most, each, (frames, down, across))

    def select(self, frames: Tensor, frame: Tensor, rows: Tensor) -> Order:
        """The order in some frames (K,), increasing, with their molecules, rows (M,);  frame: (N,) of all."""
        before = frame[rows]
        slot = self.slot[rows] + (torch.searchsorted(frames, before) - before) * self.most
        return replace(self, slot=slot, shape=(len(frames), *self.shape[1:]))

    @property
    def molecules(self) -> int:
        """Rows of a matrix that are for molecules."""
        return self.most * self.each

    @property
    def size(self) -> int:
        """Rows of a matrix."""
        return self.molecules + self.shape[1] * self.shape[2]

    def is_small(self, pixels: int) -> bool:
        """Whether matrices of frames of so many pixels are formed in less time than it takes without them."""
        return self.size**2 * pixels <= _MOST_PRODUCTS

    def places(self, values: Tensor) -> Tensor:
        """Values of molecules (N, q, …) at their places: (B, most·q, …), 0 at empty ones."""
        placed = values.new_zeros(self.shape[0] * self.most, *values.shape[1:])
        placed[self.slot] = values
        return placed.view(self.shape[0], self.most * values.shape[1], *values.shape[2:])

    def vector(self, molecules: Tensor, background: Tensor) -> Tensor:
        """Values of all unknowns in their order, (B, n), from (N, p) and (B, k, l)."""
        return torch.cat([self.places(molecules), background.flatten(1)], 1)

    def unknowns(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `vector`: (N, p) and (B, k, l)."""
        molecules = vector[:, : self.molecules].reshape(-1, self.each)[self.slot]
        return molecules, vector[:, self.molecules :].unflatten(1, self.shape[1:])


def fisher_matrices(image: LinearImage, information: Tensor, order: Order) -> Tensor:
    """Fisher matrices of all unknowns of the frames, (B, n, n); rows of empty places are 0.

    information: (B, H, W) of the pixels (`Likelihood.information`).
    """
    frames, height, width = information.shape
    total, own = information.new_zeros(frames, order.size, order.size), order.molecules
    rows, columns = image.background.basis()
    high = max(1, min(height, _DERIVATIVES // max(1, frames * own * width)))
    for top in range(0, height if own else 0, high):
        band = information[:, top : top + high]
        dense = _derivatives(image, order, top, band.shape[1])
        weighted = dense * band.flatten(1)[:, None]
        total[:, :own, :own] += weighted @ dense.mT
        down = rows[..., top : top + high, :].mT.unsqueeze(-3)
        crossing = down @ weighted.unflatten(2, (-1, width)) @ columns.mT.unsqueeze(-3)
        total[:, :own, own:] += crossing.flatten(2)
    total[:, own:, :own] = total[:, :own, own:].mT
    total[:, own:, own:] = image.background.weighted_gram(information)
    return total


def _derivatives(image: LinearImage, order: Order, top: int, high: int) -> Tensor:
    """Derivatives in the pixels of `high` rows from row `top` on, at their places: (B, n, pixels)."""
    jacobian, pixel = image.jacobian, image.assembly.pixel_in_band(top, high)
    # One pixel more takes what is outside.
    dense = jacobian.new_zeros(order.shape[0] * order.most, order.each, high * image.assembly.shape[2] + 1)
    unknown = torch.arange(order.each, device=pixel.device)
    dense[order.slot[:, None, None], unknown[:, None], pixel[:, None]] = jacobian
    return dense[:, :, :-1].view(order.shape[0], order.molecules, -1)


def damped_steps(matrix: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
    """Solve (F + λ·D)·step = gradient, D the diagonal of F, by the Cholesky factors of all frames.

    matrix: (B, n, n) F;  gradient: (B, n);  damping: (B,) λ of each frame.  An unknown without information
    does not move. A matrix that is not positive yields a useless step.
    """
    scale = matrix.diagonal(dim1=1, dim2=2).clamp(min=1e-20).rsqrt()
    unit = (matrix * scale[:, :, None] * scale[:, None]).double()
    unit.diagonal(dim1=1, dim2=2).copy_(1 + 1e-6 + damping[:, None])
    factor = of_each(lambda each: torch.linalg.cholesky_ex(each).L, unit)
    step = torch.cholesky_solve((gradient * scale).double()[:, :, None], factor)[:, :, 0]
    return step.to(scale) * scale
