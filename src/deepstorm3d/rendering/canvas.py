"""The pixel grid of a rendered image, and the points drawn on it with their widths and values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..extent import Extent

__all__ = ["Canvas", "Floats", "Image", "Method", "Points"]

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

# Most pixels of a rendered image.
_MOST_PIXELS = 200_000_000


@dataclass(frozen=True)
class Canvas:
    """Square rendered pixels: (i, j) spans `top` + i·`pixel_um` down and `left` + j·`pixel_um` to the right."""

    left: float
    top: float
    pixel_um: float
    shape: tuple[int, int]

    @classmethod
    def over(cls, edges_um: Extent, pixel_um: float) -> Canvas:
        """Whole pixels from the left and top edge; the last ones may extend beyond the right and bottom edge.

        Raises InputError for edges that do not grow, and for an image that would be too large.
        """
        left, top, right, bottom = (float(edge) for edge in edges_um)
        if not (right > left and bottom > top):
            raise InputError(
                f"the field must have left < right and top < bottom, got {left:.6g}, {top:.6g}, "
                f"{right:.6g}, {bottom:.6g} µm"
            )
        rows, columns = (
            max(1, int(np.ceil(length / pixel_um - 1e-6))) for length in (bottom - top, right - left)
        )
        if rows * columns > _MOST_PIXELS:
            raise InputError(
                f"{right - left:.6g} × {bottom - top:.6g} µm at {1000 * pixel_um:g} nm would be an image of "
                f"{columns} × {rows} pixels; use a larger rendered pixel or a smaller field"
            )
        return cls(left, top, pixel_um, (rows, columns))

    @property
    def edges_um(self) -> Extent:
        """Left, top, right and bottom edge of the whole pixels."""
        rows, columns = self.shape
        right, bottom = self.left + columns * self.pixel_um, self.top + rows * self.pixel_um
        return (self.left, self.top, right, bottom)


@dataclass(frozen=True)
class Points:
    """Localizations as they are drawn in one view.

    rows, columns: (N,) µm on the view's own axes;  sigma_rows, sigma_columns: (N,) µm;
    values: (N, C) what each point adds to the C planes of the image.
    """

    rows: Floats
    columns: Floats
    sigma_rows: Image
    sigma_columns: Image
    values: Image


class Method(Protocol):
    """A way to draw points: `histograms.ShiftedHistogram` or `gaussians.Gaussians`."""

    @property
    def needs_sigma(self) -> bool:
        """Whether the σ of each localization are used."""
        ...

    def draw(self, canvas: Canvas, blocks: Iterable[Points], planes: int) -> Image:
        """Image (planes, h, w): the values of all points on the canvas, each spread so that its sum is kept.

        Points come in blocks, so that a long list is never copied whole; points outside the canvas are left
        out.
        """
        ...

    def reach_um(self, sigma_um: Image) -> float:
        """Largest distance to which points of these σ (N,) are spread, µm."""
        ...

    def share(self, z: Floats, sigma_z: Image, low: float, high: float) -> Image:
        """Fraction (N,) of each localization of depth z (N,), σ (N,) that lies between two depths, µm."""
        ...
