"""Whether the numbers of a movie are counts of the camera, whatever type they are stored in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["whole_counts"]


def whole_counts(values: NDArray[Any]) -> bool:
    """Whether all values, of any shape, are whole numbers: integers, or floats that hold no fraction.

    Floats are not where the type has no fractions left (float32: from 2²³ on): there every value is whole.
    """
    if values.dtype.kind in "iu":
        return True
    if values.dtype.kind != "f" or not values.size:
        return False
    fractions_below = 1 / float(np.finfo(values.dtype).eps)
    return bool((np.abs(values) < fractions_below).all() and (values == np.rint(values)).all())
