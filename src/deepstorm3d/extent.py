"""How far a frame or a list of molecules reaches; rows that lie far beyond all others.

A single false position a millimetre away would make a dot of everything else in a picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["Extent", "far_rows", "frame_extent", "limits", "refuse_pixel"]

Floats = NDArray[np.float64]
Extent = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a field of view in µm."""

# Smallest and largest camera pixel in the sample that a user may give, µm: beyond them the unit is another.
_PIXELS_UM = (0.001, 10.0)
# Largest share of the rows that may be left out at either end of an axis (at least one row may).
_FEW = 0.001
# Rows are far if they lie beyond the others by more than this many times the range of the others.
_BEYOND = 2.0
# Smallest number of rows with which rows can be called far.
_FEWEST = 10
# Smallest value that is used for the range of the others, µm.
_NARROWEST_UM = 1.0


def limits(values: Floats) -> tuple[float, float]:
    """From where to where the values (N,) of one axis lie, µm; infinite where none is far from the others."""
    if len(values) < _FEWEST:
        return -np.inf, np.inf
    ordered = np.sort(values)
    few = max(1, int(_FEW * len(values)))
    low, high = float(ordered[few]), float(ordered[-1 - few])
    beyond = _BEYOND * max(high - low, _NARROWEST_UM)
    return low - beyond, high + beyond


def far_rows(xyz: Floats) -> NDArray[np.bool_]:
    """Which positions (N, 3) µm lie far beyond all others on any axis."""
    far = np.zeros(len(xyz), dtype=np.bool_)
    for column in xyz.T:
        low, high = limits(column)
        far |= (column < low) | (column > high)
    return far


def refuse_pixel(pixel_um: float, where: str = "") -> None:
    """Raise InputError for what is no camera pixel in the sample, µm (one in nm); where: before the message."""
    least, most = _PIXELS_UM
    if not least <= pixel_um <= most:
        raise InputError(
            f"{where}no camera has pixels of {1000 * pixel_um:g} nm ({pixel_um:g} µm) in the sample",
            "is the unit right (`pixel_um`)?",
        )


def frame_extent(shape: tuple[int, int], pixel_um: float) -> Extent:
    """Edges of a frame of (rows, columns) pixels: half a pixel outside the first and last pixel centres.

    Raises InputError as `refuse_pixel`.
    """
    refuse_pixel(pixel_um)
    rows, columns = shape
    return (-0.5 * pixel_um, -0.5 * pixel_um, (columns - 0.5) * pixel_um, (rows - 0.5) * pixel_um)
