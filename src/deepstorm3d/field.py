"""The field of view: how many pixels, how large each is in the sample, where in the whole field it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .chip import Region

__all__ = ["Field", "crops_of"]


@dataclass(frozen=True)
class Field:
    """A rectangle of camera pixels: a frame, or a part of it (a tile, a crop, a region of interest).

    height, width: camera pixels;  pixel_um: side of a pixel in the sample, µm;  origin_px: column and row of
    its first pixel in the whole field, over which a PSF may vary. Positions in µm that belong to a field are
    measured from the centre of its own first pixel.
    """

    height: int
    width: int
    pixel_um: float
    origin_px: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or not self.pixel_um > 0:
            raise ValueError(f"a field needs pixels and a pixel size above 0, got {self}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    def part(self, region: Region) -> Field:
        """The field of the pixels x0, y0, x1, y1 (half open), counted from the first pixel of this one.

        Raises ValueError if they are not all inside.
        """
        x0, y0, x1, y1 = region
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"the region {region} is not inside a field of {self.width} x {self.height} px")
        column, row = self.origin_px
        return replace(self, height=y1 - y0, width=x1 - x0, origin_px=(column + x0, row + y0))

    def pixels_of(self, whole: Field) -> tuple[slice, slice]:
        """Rows and columns of this field in images of a larger one; raises ValueError if it is not inside."""
        left, top = (own - other for own, other in zip(self.origin_px, whole.origin_px, strict=True))
        if left < 0 or top < 0 or left + self.width > whole.width or top + self.height > whole.height:
            raise ValueError(f"{self} is not inside {whole}")
        return slice(top, top + self.height), slice(left, left + self.width)

    def inside(self, xyz: Tensor) -> Tensor:
        """Whether each position (N, 3) µm is on a pixel of the field: (N,) bool."""
        column, row = (xyz[:, :2] / self.pixel_um).unbind(1)
        return (column >= -0.5) & (column < self.width - 0.5) & (row >= -0.5) & (row < self.height - 0.5)


def crops_of(image: Tensor, whole: Field, crops: Sequence[Field]) -> Tensor:
    """What each of B crops of one size shows of an image (H, W) of the whole field: (B, height, width)."""
    height, width = crops[0].size
    corner = torch.tensor([crop.origin_px for crop in crops]) - torch.tensor(whole.origin_px)
    columns, rows = corner.to(image.device).unbind(1)
    rows = rows[:, None] + torch.arange(height, device=image.device)
    columns = columns[:, None] + torch.arange(width, device=image.device)
    return image[rows[:, :, None], columns[:, None, :]]
