"""The cubic spline through a PSF's planes, as coefficients of powers: what spline fitters read.

Natural splines along each axis (de Boor 1978; Li et al., Nat. Methods 15:367, 2018). Fitters look a molecule's
pixels up at the interval they fall into, and add 64 products of powers there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["knots_of", "power_coefficients"]

Floats = NDArray[np.float64]


def power_coefficients(values: Floats) -> Floats:
    """values: (Z, Y, X) on the knots;  returns (Z−1, Y−1, X−1, 4, 4, 4), powers of z, y, x in the interval."""
    operators = [_natural(size) for size in values.shape]
    return np.einsum("iak,jbl,hcm,klm->ijhabc", *operators, values, optimize=True)


def knots_of(coefficients: Floats) -> Floats:
    """The values on the knots, from (Z−1, Y−1, X−1, 4, 4, 4): (Z, Y, X)."""
    for axis in range(3):
        powers = np.moveaxis(coefficients, 3, -1)
        # At the beginning of an interval only power 0 is left; the last knot is the end of the last interval.
        end = np.take(powers, [-1], axis).sum(-1)
        coefficients = np.concatenate([powers[..., 0], end], axis)
    return coefficients


def _natural(knots: int) -> Floats:
    """(knots − 1, 4, knots): the spline's coefficients, power by power, as a linear map of the values."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(np.arange(knots), np.eye(knots), bc_type="natural")
    return np.moveaxis(spline.c[::-1], 0, 1)
