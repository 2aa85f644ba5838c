"""Small images added into frames at fixed places, and cut out of them: a linear map and its adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Assembly"]


class Assembly:
    """Where the patches of N molecules lie in B frames; what hangs over a frame's edge counts for nothing.

    corner: (N, 2) px, column and row of each patch's first pixel;  frame: (N,) index into the frames;
    patch: (h, w);  shape: (B, H, W).
    """

    def __init__(self, corner: Tensor, frame: Tensor, patch: tuple[int, int], shape: tuple[int, ...]) -> None:
        frames, height, width = shape
        self.shape, self.patch = (frames, height, width), patch
        # 32-bit addresses are added and gathered in half the time of 64-bit ones.
        whole = torch.int32 if frames * height * width < 2**31 else torch.int64
        row = corner[:, 1:] + torch.arange(patch[0], device=corner.device)
        column = corner[:, :1] + torch.arange(patch[1], device=corner.device)
        self._rows, self._columns = (row >= 0) & (row < height), (column >= 0) & (column < width)
        self._row_place, self._column_place = row.clamp(0, height - 1), column.clamp(0, width - 1)
        first = (frame[:, None] * height + self._row_place) * width
        place = first.to(whole)[:, :, None] + self._column_place.to(whole)[:, None]
        self._where = place.flatten()
        self._corner, self.frame = corner, frame
        self._whole = bool(self._rows.all()) and bool(self._columns.all())

    def inside(self, values: Tensor) -> Tensor:
        """(N, ..., h, w) with 0 where a pixel lies outside its frame: what `add` and `cut` need."""
        if self._whole:
            return values
        between = (None,) * (values.dim() - 3)
        rows, columns = self._rows[:, *between, :, None], self._columns[:, *between, None, :]
        return values * (rows & columns)

    def add(self, values: Tensor) -> Tensor:
        """Sum of the patches (N, h, w), already `inside`: (B, H, W)."""
        flat = values.new_zeros(self.shape[0] * self.shape[1] * self.shape[2])
        flat.index_add_(0, self._where, values.reshape(-1))
        return flat.view(self.shape)

    def cut(self, frames: Tensor) -> Tensor:
        """The pixels (N, h, w) of frames (B, H, W) under each patch; outside the frame anything."""
        return frames.reshape(-1).index_select(0, self._where).view(-1, *self.patch)

    def pixels(self) -> tuple[Tensor, Tensor]:
        """Rows (N, h) and columns (N, w) of the patches' pixels; those outside the frame at its edge."""
        return self._row_place, self._column_place

    @property
    def middle(self) -> Tensor:
        """Row and column of each patch's middle pixel, moved into the frame: (N, 2)."""
        _, height, width = self.shape
        row = (self._corner[:, 1] + self.patch[0] // 2).clamp(0, height - 1)
        column = (self._corner[:, 0] + self.patch[1] // 2).clamp(0, width - 1)
        return torch.stack([row, column], 1)

    def reaching(self, rows: Tensor, box: tuple[int, int, int, int]) -> Tensor:
        """Whether the patches `rows` reach into a box (top, bottom, left, right, half open): bool."""
        x, y = self._corner[rows].unbind(1)
        down = (y < box[1]) & (y + self.patch[0] > box[0])
        return down & (x < box[3]) & (x + self.patch[1] > box[2])

    def dense(self, values: Tensor, rows: Tensor, box: tuple[int, int, int, int]) -> Tensor:
        """Patches `rows`, values (n, p, h·w), written into the pixels of a box: (n·p, pixels of the box)."""
        top, bottom, left, right = box
        down = self._corner[rows, 1:] - top + torch.arange(self.patch[0], device=rows.device)
        across = self._corner[rows, :1] - left + torch.arange(self.patch[1], device=rows.device)
        inside = ((down >= 0) & (down < bottom - top))[:, :, None]
        inside = inside & ((across >= 0) & (across < right - left))[:, None]
        pixels = (bottom - top) * (right - left)
        # One pixel more takes what lies outside the box.
        place = torch.where(inside, down[:, :, None] * (right - left) + across[:, None], pixels)
        out = values.new_zeros(len(rows), values.shape[1], pixels + 1)
        out.scatter_(2, place.flatten(1)[:, None].expand_as(values), values)
        return out[:, :, :pixels].flatten(0, 1)
