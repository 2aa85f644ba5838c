"""Natural logarithms of many numbers at a time, in vector instructions (the compiler makes one at a time)."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, compiled_in_place

__all__ = ["logarithms"]

_ROOT_HALF = np.int32(0x3F3504F3)  # the bits of √½ in single precision
_EXPONENT = np.int32(23)  # place of a number's exponent in its bits
# ln 2 as a sum of a number of few digits, whose multiples are exact, and the rest.
_LN_2 = np.float32(0.693359375)
_REST = np.float32(-2.12194440e-4)
_HALF = np.float32(0.5)
# (ln(1 + f) − f + f²/2) / f³ for f from √½ − 1 to √2 − 1, highest power first: the least largest error.
_SERIES = (
    *(np.float32(0.067466341), np.float32(-0.116756499), np.float32(0.118881643), np.float32(-0.124055892)),
    *(np.float32(0.142195523), np.float32(-0.166679963), np.float32(0.200021192), np.float32(-0.250000089)),
    np.float32(0.333333135),
)


@compiled_in_place
def logarithms(values: Array, exponents: Array) -> None:
    """Replace positive normal numbers (n,) by their logarithms, to the last digit or two of single precision.

    values: float32, one after the other in memory;  exponents: (n,) int32, memory.
    """
    bits = values.view(np.int32)
    for k in range(len(bits)):
        # x = (1 + f)·2^e with 1 + f from √½ to √2.
        exponents[k] = (bits[k] - _ROOT_HALF) >> _EXPONENT
        bits[k] -= exponents[k] << _EXPONENT
    for k in range(len(values)):
        f, e = values[k] - np.float32(1), np.float32(exponents[k])
        square = f * f
        high = ((_SERIES[0] * f + _SERIES[1]) * f + _SERIES[2]) * f + _SERIES[3]
        middle = ((high * f + _SERIES[4]) * f + _SERIES[5]) * f + _SERIES[6]
        part = (middle * f + _SERIES[7]) * f + _SERIES[8]
        values[k] = (f + (f * square * part - _HALF * square + e * _REST)) + e * _LN_2
