"""A smooth background as a surface of cubic B-splines, linear in its coefficients."""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch
from torch import Tensor

from .lapack import of_each

__all__ = ["SplineBackground", "share_left"]

_NOTHING = 1e-6  # values of a spline below this count as 0
_PLACES = 5  # along each axis, between two knots, at which `share_left` looks at an image


class SplineBackground:
    """Background over frames of one size: B-spline knots every `spacing_px` (de Boor 1978).

    The basis is a product of one matrix for rows and one for columns, so a surface costs two small
    matrix products. It is the same for all frames, or (`in_windows`) each frame has its own.

    size: (H, W) px;  spacing_px: distance between knots, inf for a constant background in each frame.
    """

    def __init__(self, size: tuple[int, int], spacing_px: float, like: Tensor) -> None:
        self._set(_basis(size[0], spacing_px, like), _basis(size[1], spacing_px, like))

    @classmethod
    def shared(cls, size: tuple[int, int], spacing_px: float, like: Tensor) -> SplineBackground:
        """The same, one object for all frames of a size: with what is computed from it once."""
        return _shared(size, spacing_px, like.dtype, like.device)

    def _set(self, rows: Tensor, columns: Tensor) -> None:
        self.size = rows.shape[-2], columns.shape[-2]
        # (H, k) and (W, l), or (B, H, k) and (B, W, l).
        self._rows, self._columns = rows, columns

    @property
    def shape(self) -> tuple[int, int]:
        """Number of coefficients along the rows and along the columns."""
        return self._rows.shape[-1], self._columns.shape[-1]

    @cached_property
    def support_px(self) -> int:
        """Pixels along an axis at which a spline is not 0, of the widest one."""
        return max(int((basis > _NOTHING).sum(-2).max()) for basis in (self._rows, self._columns))

    def of_frames(self, frames: Tensor) -> SplineBackground:
        """The background of some of the frames, an index tensor (K,)."""
        if self._rows.dim() == 2:
            return self
        part = SplineBackground.__new__(SplineBackground)
        part._set(self._rows[frames], self._columns[frames])
        return part

    def in_windows(
        self, corner: Tensor, size: tuple[int, int]
    ) -> tuple[SplineBackground, tuple[Tensor, Tensor]]:
        """The splines that are 0 outside windows of a frame: a change of them changes nothing else.

        corner: (M, 2) px, column and row of each window's first pixel;  size: of the windows, px.
        Returns the background of the M windows, and which rows (M, k) and columns (M, l) of the coefficients it
        has; where a window has fewer splines than another, they are filled with splines that are 0 everywhere.
        """
        (down_reach, across_reach) = self._reaches
        rows, down = _inside(self._rows, down_reach, corner[:, 1], size[0])
        columns, across = _inside(self._columns, across_reach, corner[:, 0], size[1])
        part = SplineBackground.__new__(SplineBackground)
        part._set(rows, columns)
        return part, (down, across)

    def basis(self) -> tuple[Tensor, Tensor]:
        """Values of the splines at each row (…, H, k), and at each column (…, l, W)."""
        return self._rows, self._columns.mT

    def knots(self) -> Tensor:
        """Centre of each spline, px from the frame's first pixel: along y and along x, (…, 2, max(k, l))."""
        return self._centres

    @cached_property
    def _reaches(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        return _reach(self._rows), _reach(self._columns)

    @cached_property
    def _centres(self) -> Tensor:
        axes = [self._rows, self._columns]
        centres = self._rows.new_zeros(*self._rows.shape[:-2], 2, max(self.shape), dtype=torch.float64)
        for axis, basis in enumerate(axes):
            number = torch.arange(basis.shape[-2], dtype=torch.float64, device=basis.device)
            weight = basis.double()
            centres[..., axis, : basis.shape[-1]] = (number @ weight) / weight.sum(-2).clamp(min=1e-9)
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
        rows, columns = self._gram_inverses
        return rows @ values @ columns

    @cached_property
    def _gram_inverses(self) -> tuple[Tensor, Tensor]:
        return _gram_inverse(self._rows), _gram_inverse(self._columns)

    def weighted_gram(self, weights: Tensor) -> Tensor:
        """Normal matrix of the coefficients for pixel weights (B, H, W): (B, k·l, k·l)."""
        count, frames = self.shape[0] * self.shape[1], len(weights)
        rows, columns = self._rows.expand(frames, -1, -1), self._columns.expand(frames, -1, -1)
        across = torch.einsum("bhw,bwi,bwj->bhij", weights, columns, columns)
        both = torch.einsum("bhij,bhm,bhn->bminj", across, rows, rows)
        return both.reshape(frames, count, count)

    def under(self, row: Tensor, column: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """The basis at rows (N, h) and columns (N, w) of pixels in frames (N,): (N, h, k) and (N, w, l)."""
        if self._rows.dim() == 2:
            return self._rows[row], self._columns[column]
        return self._rows[frame[:, None], row], self._columns[frame[:, None], column]

    def at(self, place: Tensor, frame: Tensor) -> Tensor:
        """Value of each basis function at pixels (N, 2), row and column, in frames (N,): (N, k, l)."""
        down, across = self.under(place[:, :1], place[:, 1:], frame)
        return down.mT * across

    def squared_adjoint(self, weights: Tensor) -> Tensor:
        """Diagonal of the normal equations for pixel weights (B, H, W): (B, *shape)."""
        return self._rows.square().mT @ weights @ self._columns.square()


@lru_cache(maxsize=16)
def _shared(
    size: tuple[int, int], spacing_px: float, dtype: torch.dtype, device: torch.device
) -> SplineBackground:
    return SplineBackground(size, spacing_px, torch.empty(0, dtype=dtype, device=device))


def _gram_inverse(basis: Tensor) -> Tensor:
    """(BᵀB)⁻¹, computed in double precision: neighbouring splines are far from orthogonal."""
    gram = (basis.mT @ basis).double()
    # Splines that are 0 everywhere keep their coefficients.
    empty = gram.diagonal(dim1=-2, dim2=-1) == 0
    gram = gram + torch.diag_embed(empty.double())
    return of_each(lambda each: torch.linalg.inv_ex(each).inverse, gram).to(basis)


def _reach(basis: Tensor) -> tuple[Tensor, Tensor]:
    """Where each spline (pixels, k) begins and ends to differ from 0, half open: (k,) and (k,)."""
    used = (basis > _NOTHING).double()
    return used.argmax(0), len(basis) - used.flip(0).argmax(0)


def _inside(basis: Tensor, reach: tuple[Tensor, Tensor], first: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The splines (pixels, k) that are 0 outside the windows first … first + size: (M, size, K), and (M, K)."""
    begin, end = reach
    inside = (begin >= first[:, None]) & (end <= first[:, None] + size)
    most = max(1, int(inside.sum(1).max())) if len(first) else 1
    index = inside.double().argsort(dim=1, descending=True, stable=True)[:, :most]
    pixel = first[:, None] + torch.arange(size, device=first.device)
    values = basis[pixel[:, :, None], index[:, None]]
    return values * inside.gather(1, index)[:, None], index


def _basis(pixels: int, spacing_px: float, like: Tensor) -> Tensor:
    """Cubic B-splines at the pixel centres: (pixels, knots); each row sums to 1."""
    if spacing_px >= pixels:
        return like.new_ones(pixels, 1)
    intervals = max(1, round((pixels - 1) / spacing_px))
    place = torch.arange(pixels, dtype=like.dtype, device=like.device) * intervals / (pixels - 1)
    knots = torch.arange(-1, intervals + 2, dtype=like.dtype, device=like.device)
    d = (place[:, None] - knots).abs()
    return torch.where(d < 1, 2 / 3 - d * d + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)


def share_left(images: Tensor, spacing_px: float, shape: tuple[int, int]) -> Tensor:
    """Share of the sum of squares of images that no background can stand for, mean over places in a frame.

    images: (Z, h, w);  spacing_px: distance between the background's knots, inf: one level;  shape: of the
    frame, (H, W).  Returns (Z,).
    """
    values = images.double()
    down, across = (
        _orthonormal_under(side, pixels, spacing_px, values)
        for side, pixels in zip(images.shape[1:], shape, strict=True)
    )
    shown = torch.einsum("ahk,zhw,bwl->zabkl", down, values, across).square().sum((3, 4)).mean((1, 2))
    return (1 - shown / values.square().sum((1, 2))).to(images)


def _orthonormal_under(side: int, pixels: int, spacing_px: float, like: Tensor) -> Tensor:
    """Orthonormal splines under an image of so many pixels, at some places between two knots: (P, side, k)."""
    if spacing_px >= pixels:
        return like.new_full((1, side, 1), max(side, pixels) ** -0.5)
    before = 2 * round(spacing_px)
    splines = torch.linalg.qr(_basis(side + 3 * before, spacing_px, like)).Q
    starts = [before + round(place * spacing_px / _PLACES) for place in range(_PLACES)]
    return torch.stack([splines[start : start + side] for start in starts])
