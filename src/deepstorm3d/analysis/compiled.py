"""The overlaps of the near pairs of a list in compiled code (Numba): what `overlap` asks for at every step.

Numba takes a moment to import, and seconds to compile this once on a computer: import it when a drift is
searched.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import compiled_in_place

__all__ = ["add_couplings", "add_overlaps", "differences"]

Array = NDArray[Any]


@compiled_in_place
def differences(
    near: Array, rows: Array, place: Array, frame: Array, apart: Array, first: Array, second: Array
) -> int:
    """Write how far the two rows of each pair are apart, and their frames; returns how many pairs these are.

    near: (M, 2), places in `rows`, which are rows of place (N, 3) and frame (N,). Pairs within a frame are left
    out.  Written: the beginning of apart (M, 3), first and second (M,).
    """
    number = 0
    for n in range(len(near)):
        i, j = rows[near[n, 0]], rows[near[n, 1]]
        if frame[i] != frame[j]:
            for a in range(3):
                apart[number, a] = place[i, a] - place[j, a]
            first[number], second[number] = frame[i], frame[j]
            number += 1
    return number


@compiled_in_place
def add_overlaps(
    apart: Array, first: Array, second: Array, shift: Array, sharpness: float, slope: Array
) -> float:
    """The sum over pairs of exp(−s·Δ²), and Δ times its terms for the frame of either molecule.

    apart: (P, 3) float32;  first, second: (P,) frames;  shift: (F, 3) float32, Δ = apart − (shift of the first
    frame − that of the second);  sharpness: s, float32, 1/2w².  Written: slope (F, 3) float64, added to.
    """
    total = 0.0
    for n in range(len(first)):
        i, j = first[n], second[n]
        x = apart[n, 0] - (shift[i, 0] - shift[j, 0])
        y = apart[n, 1] - (shift[i, 1] - shift[j, 1])
        z = apart[n, 2] - (shift[i, 2] - shift[j, 2])
        weight = math.exp(-sharpness * (x * x + y * y + z * z))
        total += weight
        slope[i, 0] += weight * x
        slope[i, 1] += weight * y
        slope[i, 2] += weight * z
        slope[j, 0] -= weight * x
        slope[j, 1] -= weight * y
        slope[j, 2] -= weight * z
    return total


@compiled_in_place
def add_couplings(
    pairs: tuple[Array, Array, Array], shift: Array, sharpness: float, spline: tuple[Array, Array], tied: Array
) -> None:
    """Add each pair's term of the Laplacian, w·(b₁ − b₂)(b₁ − b₂)ᵀ, to `tied` (K, K).

    pairs: apart, first and second of `add_overlaps`;  w: the overlap of a pair, exp(−s·Δ²);
    spline: for each frame the first of its four knots, (F,), and their values b, (F, 4).
    """
    apart, first, second = pairs
    knot, value = spline
    for n in range(len(first)):
        i, j = first[n], second[n]
        x = apart[n, 0] - (shift[i, 0] - shift[j, 0])
        y = apart[n, 1] - (shift[i, 1] - shift[j, 1])
        z = apart[n, 2] - (shift[i, 2] - shift[j, 2])
        weight = np.float64(math.exp(-sharpness * (x * x + y * y + z * z)))
        one, other = knot[i], knot[j]
        for a in range(4):
            of_one, of_other = weight * value[i, a], weight * value[j, a]
            for b in range(4):
                tied[one + a, one + b] += of_one * value[i, b]
                tied[other + a, other + b] += of_other * value[j, b]
                tied[one + a, other + b] -= of_one * value[j, b]
                tied[other + a, one + b] -= of_other * value[i, b]
