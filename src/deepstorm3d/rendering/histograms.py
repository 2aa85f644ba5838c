"""A list drawn as an average shifted histogram: every localization is a small pyramid that ignores its σ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .canvas import Canvas, Floats, Image, Points

__all__ = ["ShiftedHistogram"]


@dataclass(frozen=True)
class ShiftedHistogram:
    """The mean of `shifts`² histograms with bins of `shifts` pixels: a point covers at most 2·`shifts` pixels.

    shifts: histograms averaged along each axis; 1: a plain histogram. At the edges of the image the spread is
    folded back, so that the sum is the number of points inside.  Scott, Ann. Statist. 13:1024 (1985).
    Raises InputError for fewer than one.
    """

    shifts: int = 2

    def __post_init__(self) -> None:
        if self.shifts < 1:
            raise InputError(f"the number of shifts must be at least 1, got {self.shifts}")

    @property
    def needs_sigma(self) -> bool:
        return False

    def reach_um(self, sigma_um: Image) -> float:
        return 0.0

    def share(self, z: Floats, sigma_z: Image, low: float, high: float) -> Image:
        return ((z >= low) & (z < high)).astype(np.float32)

    def draw(self, canvas: Canvas, blocks: Iterable[Points], planes: int) -> Image:
        size = canvas.shape[0] * canvas.shape[1]
        sums = np.zeros((planes, size), np.float32)
        for points in blocks:
            where = _pixel_index(points.rows, points.columns, canvas)
            inside = where >= 0
            if not inside.all():
                where = where[inside]
            for plane in range(planes):
                weights = points.values[:, plane]
                sums[plane] += np.bincount(where, weights if inside.all() else weights[inside], minlength=size)
        return np.stack([_spread(plane.reshape(canvas.shape), self.shifts) for plane in sums])


def _pixel_index(rows: Floats, columns: Floats, canvas: Canvas) -> NDArray[np.int64]:
    """Flat index of the pixel that contains each point, −1 outside the edges."""
    left, top, right, bottom = canvas.edges_um
    height, width = canvas.shape
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    # A point within rounding error of the last edge belongs to the last pixel, not to one beyond it.
    i = ((rows - top) * (1 / canvas.pixel_um)).astype(np.int64).clip(0, height - 1)
    j = ((columns - left) * (1 / canvas.pixel_um)).astype(np.int64).clip(0, width - 1)
    return np.where(inside, i * width + j, -1)


def _spread(counts: Image, shifts: int) -> NDArray[Any]:
    """Average over all shifts of a bin `shifts` pixels wide: a triangle along each axis (Scott)."""
    if shifts == 1:
        return counts
    from scipy.ndimage import correlate1d

    kernel = (shifts - np.abs(np.arange(1 - shifts, shifts))) / shifts**2
    rows = correlate1d(counts, kernel, axis=0, mode="reflect")
    return correlate1d(rows, kernel, axis=1, mode="reflect")
