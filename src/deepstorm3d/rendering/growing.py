"""A picture of a list that grows: each new row is added to it, and none is drawn again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent
from .canvas import Canvas
from .histograms import ShiftedHistogram
from .sections import Box, Interval, cloud_of
from .view import Look, coloured, planes_of, shades_of

__all__ = ["GrowingPicture"]

# Rendered pixels along the longer side of the field.
_PICTURE_PX = 600
# Smallest rendered pixel, nm.
_FINEST_NM = 10.0


class GrowingPicture:
    """A list seen from above, hue depth and brightness density; memory and time do not grow with the list.

    edges_um: field of view (left, top, right, bottom);  z_range_um: depths that have the first and the last
    colour. Rows outside the field are left out.  Raises InputError for a depth range that does not grow.

    Attributes
    ----------
    canvas : Canvas
        The rendered pixels.
    rows : int
        Rows added until now.
    """

    def __init__(self, edges_um: Extent, z_range_um: Interval, look: Look | None = None) -> None:
        if not z_range_um[1] > z_range_um[0]:
            raise InputError(f"the depth range must grow, got {z_range_um[0]} to {z_range_um[1]} µm")
        longer = max(edges_um[2] - edges_um[0], edges_um[3] - edges_um[1])
        self.canvas = Canvas.over(edges_um, max(_FINEST_NM / 1000, longer / _PICTURE_PX))
        self.z_range_um, self.look, self.rows = z_range_um, look or Look(), 0
        self._method = ShiftedHistogram()
        self._sums = np.zeros((4, *self.canvas.shape), np.float32)

    def add(self, table: Localizations | Emitters) -> None:
        """Add rows to the picture."""
        if not len(table):
            return
        cloud = cloud_of(table, self._method, Box())
        shades = shades_of(cloud, self.z_range_um, Look("depth"))
        self._sums += planes_of(cloud, shades, ("y", "x"), self.canvas, self._method)
        self.rows += len(table)

    def rgb(self) -> NDArray[np.uint8]:
        """The picture (h, w, 3) as it is now."""
        return np.round(255 * coloured(self._sums, self.canvas.edges_um, self.look).rgb).astype(np.uint8)
