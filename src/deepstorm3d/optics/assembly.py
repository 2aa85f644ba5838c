"""Adding small images into frames at given positions, and cutting them out: a linear map and its adjoint."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Assembly"]


class Assembly:
    """The positions of the patches of N molecules in B frames; pixels outside a frame are ignored.

    corner: (N, 2) px, column and row of each patch's first pixel;  frame: (N,) index into the frames;
    patch: (h, w);  shape: (B, H, W).
    """

    def __init__(self, corner: Tensor, frame: Tensor, patch: tuple[int, int], shape: tuple[int, ...]) -> None:
        frames, height, width = shape
        self.shape, self.patch = (frames, height, width), patch
        self.corner, self.frame = corner, frame
        row, column = self._reach()
        # Pixels outside the frame get the address of an edge pixel; `inside` sets their values to 0.
        self._row, self._column = row.clamp(0, height - 1), column.clamp(0, width - 1)
        self._rows_inside, self._columns_inside = row == self._row, column == self._column
        self.is_inside = not corner.is_cuda and bool(self._rows_inside.all() and self._columns_inside.all())
        """Whether all patches are known to be inside their frames; a GPU is not asked, the host would wait."""

    @cached_property
    def _pixel(self) -> Tensor:
        """Address of each pixel of the patches in its frame: (N, h, w); compiled code does not ask for it."""
        return (self._row * self.shape[2])[:, :, None] + self._column[:, None]

    @cached_property
    def _where(self) -> Tensor:
        """Address of each pixel of the patches in all frames: (N·h·w,)."""
        frames, height, width = self.shape
        # Adding and gathering with 32-bit addresses takes half the time of 64-bit ones.
        whole = torch.int32 if frames * height * width < 2**31 else torch.int64
        row = (self._row * width + (self.frame * (height * width))[:, None]).to(whole)
        return (row[:, :, None] + self._column.to(whole)[:, None]).flatten()

    def _reach(self) -> tuple[Tensor, Tensor]:
        """Rows (N, h) and columns (N, w) of the patches' pixels, which may be outside the frame."""
        device = self.corner.device
        row = self.corner[:, 1:] + torch.arange(self.patch[0], device=device)
        return row, self.corner[:, :1] + torch.arange(self.patch[1], device=device)

    def inside(self, values: Tensor) -> Tensor:
        """Set values (N, ..., h, w) to 0 at pixels outside their frame, as `add` requires."""
        if self.is_inside:
            return values
        rows, columns = self._masks(values)
        return values * (rows & columns)

    def blank_outside(self, values: Tensor) -> Tensor:
        """The same as `inside`, in place."""
        if not self.is_inside:
            rows, columns = self._masks(values)
            values *= rows
            values *= columns
        return values

    def _masks(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of the rows and columns inside the frame, to multiply with patches (N, ..., h, w)."""
        between = (None,) * (values.dim() - 3)
        return self._rows_inside[:, *between, :, None], self._columns_inside[:, *between, None, :]

    def pixel_in_band(self, top: int, high: int) -> Tensor:
        """Address of each pixel of the patches in `high` rows of their frame from row `top` on: (N, h·w) int64.

        Pixels outside have the address after the last one.
        """
        _, height, width = self.shape
        end = high * width
        inside = self._rows_inside[:, :, None] & self._columns_inside[:, None]
        pixel = self._pixel - top * width if top else self._pixel
        if high < height:
            inside = inside & (pixel >= 0) & (pixel < end)
        return torch.where(inside, pixel, end).flatten(1)

    def add(self, values: Tensor, into: Tensor | None = None) -> Tensor:
        """Sum of the patches (N, h, w) after `inside`: (B, H, W); added in place to `into`, if given."""
        frames = values.new_zeros(self.shape) if into is None else into
        # Measured on one core for 61 × 61 pixels: 4 µs a patch with 32-bit addresses; 64-bit ones, scatter_add
        # and whole rows at a time take 4.5 to 9.
        frames.view(-1).index_add_(0, self._where, values.reshape(-1))
        return frames

    def cut(self, frames: Tensor) -> Tensor:
        """The pixels (N, h, w) of frames (B, H, W) under each patch; values outside the frame are arbitrary."""
        return frames.reshape(-1).index_select(0, self._where).view(-1, *self.patch)

    def pixels(self) -> tuple[Tensor, Tensor]:
        """Rows (N, h) and columns (N, w) of the patches' pixels, limited to the frame."""
        return self._row, self._column

    @property
    def middle(self) -> Tensor:
        """Row and column of each patch's centre pixel, limited to the frame: (N, 2)."""
        _, height, width = self.shape
        row = (self.corner[:, 1] + self.patch[0] // 2).clamp(0, height - 1)
        column = (self.corner[:, 0] + self.patch[1] // 2).clamp(0, width - 1)
        return torch.stack([row, column], 1)

    def windows(self) -> Tensor:
        """Column and row of each patch's first pixel, then the first and last (exclusive) column and row of the
        patch that are inside the frame: (N, 6) int64."""
        (_, height, width), (tall, wide) = self.shape, self.patch
        x, y = self.corner.unbind(1)
        left, top = (-x).clamp(0, wide), (-y).clamp(0, tall)
        right, bottom = (width - x).clamp(max=wide).maximum(left), (height - y).clamp(max=tall).maximum(top)
        return torch.stack([x, y, left, right, top, bottom], 1)

    def reaching(self, rows: Tensor, box: tuple[int, int, int, int]) -> Tensor:
        """Whether each of the patches `rows` overlaps a box (top, bottom, left, right, half open): bool."""
        x, y = self.corner[rows].unbind(1)
        down = (y < box[1]) & (y + self.patch[0] > box[0])
        return down & (x < box[3]) & (x + self.patch[1] > box[2])

    def dense(self, values: Tensor, rows: Tensor, box: tuple[int, int, int, int]) -> Tensor:
        """Patches `rows`, values (n, p, h·w), written into the pixels of a box: (n·p, pixels of the box)."""
        top, bottom, left, right = box
        down = self.corner[rows, 1:] - top + torch.arange(self.patch[0], device=rows.device)
        across = self.corner[rows, :1] - left + torch.arange(self.patch[1], device=rows.device)
        inside = ((down >= 0) & (down < bottom - top))[:, :, None]
        inside = inside & ((across >= 0) & (across < right - left))[:, None]
        pixels = (bottom - top) * (right - left)
        # One extra pixel collects the values outside the box.
        place = torch.where(inside, down[:, :, None] * (right - left) + across[:, None], pixels)
        out = values.new_zeros(len(rows), values.shape[1], pixels + 1)
        out.scatter_(2, place.flatten(1)[:, None].expand_as(values), values)
        return out[:, :, :pixels].flatten(0, 1)
