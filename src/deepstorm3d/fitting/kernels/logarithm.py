"""Natural logarithms of many numbers at a time, in vector instructions (the compiler makes one at a time)."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, compiled_in_place

__all__ = ["logarithms"]

_ROOT_HALF = np.int32(0x3F3504F3)  # the bits of √½ in single precision
_EXPONENT = np.int32(23)  # place of a number's exponent in its bits
# ln 2 as a sum of a number of few digits, whose multiples are exact, and the rest.
_LN_2, _REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
# (ln(1 + f) − f + f²/2) / f³ for f from √½ − 1 to √2 − 1, highest power first: the least largest error.
_P8, _P7, _P6 = np.float32(0.067466341), np.float32(-0.116756499), np.float32(0.118881643)
_P5, _P4, _P3 = np.float32(-0.124055892), np.float32(0.142195523), np.float32(-0.166679963)
_P2, _P1, _P0 = np.float32(0.200021192), np.float32(-0.250000089), np.float32(0.333333135)


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
        high = ((_P8 * f + _P7) * f + _P6) * f + _P5
        part = ((((high * f + _P4) * f + _P3) * f + _P2) * f + _P1) * f + _P0
        values[k] = (f + (f * square * part - np.float32(0.5) * square + e * _REST)) + e * _LN_2
