"""One camera that shows both channels, beside or above each other: which half a position is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["Halves", "Side", "halves_of"]

Side = Literal["left-right", "top-bottom"]
"""How the halves lie: the first channel left or at the top."""


@dataclass(frozen=True)
class Halves:
    """The two halves of a frame, equally large.

    side: how they lie;  size: (height, width) of a half, px;  start_px: first column (row) of the second half;
    pixel_um: camera pixel, µm.
    """

    side: Side
    size: tuple[int, int]
    start_px: int
    pixel_um: float

    @property
    def origin_um(self) -> Tensor:
        """Centre of the second half's first pixel in the frame, (2,) µm: subtract it for that half's own µm."""
        start = self.start_px * self.pixel_um
        return torch.tensor([start, 0.0] if self.side == "left-right" else [0.0, start], dtype=torch.float64)

    def rows(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Which positions (N, 2) µm of the frame are in the first, and in the second half: (N,) bool each."""
        along = xy[:, 0 if self.side == "left-right" else 1].to(torch.float64) / self.pixel_um
        length = self.size[1] if self.side == "left-right" else self.size[0]
        return along < length - 0.5, along >= self.start_px - 0.5


def halves_of(side: Side, shape: tuple[int, int], pixel_um: float) -> Halves:
    """The halves of frames of (height, width) px; the middle column (row) of an odd number is in neither.

    Raises InputError for a frame of one column (row).
    """
    height, width = shape
    length = width if side == "left-right" else height
    if length < 2:
        raise InputError(f"frames of {width} x {height} px have no halves {side}")
    half = length // 2
    size = (height, half) if side == "left-right" else (half, width)
    return Halves(side, size, length - half, pixel_um)
