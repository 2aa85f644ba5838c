"""A smooth background as a surface of cubic B-splines, linear in its coefficients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["SplineBackground"]


class SplineBackground:
    """Background over frames of one size: B-spline knots every `spacing_px` (de Boor 1978).

    The basis is a product of one matrix for rows and one for columns, so a surface costs two small
    matrix products.

    size: (H, W) px;  spacing_px: distance between knots, inf for a constant background in each frame.
    """

    def __init__(self, size: tuple[int, int], spacing_px: float, like: Tensor) -> None:
        self.size = size
        self._rows = _basis(size[0], spacing_px, like)
        self._columns = _basis(size[1], spacing_px, like)
        self._row_inverse, self._column_inverse = _gram_inverse(self._rows), _gram_inverse(self._columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of coefficients along the rows and along the columns."""
        return self._rows.shape[1], self._columns.shape[1]

    def basis(self) -> tuple[Tensor, Tensor]:
        """Values of the splines at each row (H, k), and at each column (l, W)."""
        return self._rows, self._columns.mT

    def knots(self) -> NDArray[np.float64]:
        """Centre of each spline, px from the frame's first pixel: along y and along x, (2, max(k, l))."""
        centres = np.zeros((2, max(self.shape)))
        for axis, basis in enumerate((self._rows, self._columns)):
            number = torch.arange(len(basis), dtype=torch.float64)
            weight = basis.double().cpu()
            centres[axis, : basis.shape[1]] = (number @ weight / weight.sum(0)).numpy()
        return centres

    def surface(self, coefficients: Tensor) -> Tensor:
        """(B, *shape) coefficients → (B, H, W) photons per pixel."""
        return self._rows @ coefficients @ self._columns.mT

    def adjoint(self, frames: Tensor) -> Tensor:
        """(B, H, W) → (B, *shape): the transpose of `surface`."""
        return self._rows.mT @ frames @ self._columns

    def gram(self, coefficients: Tensor) -> Tensor:
        """``adjoint(surface(coefficients))``: (B, *shape) → (B, *shape)."""
        return (self._rows.mT @ self._rows) @ coefficients @ (self._columns.mT @ self._columns)

    def gram_solve(self, values: Tensor) -> Tensor:
        """The inverse of `gram`: two small solves, since the basis is a product."""
        return self._row_inverse @ values @ self._column_inverse

    def weighted_gram(self, weights: Tensor) -> Tensor:
        """Normal matrix of the coefficients for pixel weights (B, H, W): (B, k·l, k·l)."""
        count = self.shape[0] * self.shape[1]
        across = torch.einsum("bhw,wi,wj->bhij", weights, self._columns, self._columns)
        both = torch.einsum("bhij,hm,hn->bminj", across, self._rows, self._rows)
        return both.reshape(len(weights), count, count)

    def under(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """The basis at rows (N, h) and columns (N, w) of pixels: (N, h, k) and (N, w, l)."""
        return self._rows[row], self._columns[column]

    def at(self, place: Tensor) -> Tensor:
        """Value of each basis function at pixels (N, 2), row and column: (N, k, l)."""
        return self._rows[place[:, 0], :, None] * self._columns[place[:, 1], None]

    def squared_adjoint(self, weights: Tensor) -> Tensor:
        """Diagonal of the normal equations for pixel weights (B, H, W): (B, *shape)."""
        return self._rows.square().mT @ weights @ self._columns.square()


def _gram_inverse(basis: Tensor) -> Tensor:
    """(BᵀB)⁻¹, computed in double precision: neighbouring splines are far from orthogonal."""
    return torch.linalg.inv((basis.mT @ basis).double()).to(basis)


def _basis(pixels: int, spacing_px: float, like: Tensor) -> Tensor:
    """Cubic B-splines at the pixel centres: (pixels, knots); each row sums to 1."""
    if spacing_px >= pixels:
        return like.new_ones(pixels, 1)
    intervals = max(1, round((pixels - 1) / spacing_px))
    place = torch.arange(pixels, dtype=like.dtype, device=like.device) * intervals / (pixels - 1)
    knots = torch.arange(-1, intervals + 2, dtype=like.dtype, device=like.device)
    d = (place[:, None] - knots).abs()
    return torch.where(d < 1, 2 / 3 - d * d + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)
