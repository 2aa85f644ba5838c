"""Cholesky factor of a Fisher matrix, of which each row begins with zeros (an envelope)."""

from __future__ import annotations

import math

import numpy as np

from ...optics.compiled import Array, compiled, compiled_in_place

__all__ = ["back", "factorize", "forward", "inverse_diagonal", "scale_to_unit", "unit_scale"]


@compiled_in_place
def unit_scale(matrix: Array, scale: Array) -> None:
    """Write the scale that gives a matrix a unit diagonal, (n,); 0 for unknowns without information."""
    for i in range(len(matrix)):
        scale[i] = 1 / math.sqrt(matrix[i, i]) if matrix[i, i] > 1e-20 else 0.0


@compiled_in_place
def scale_to_unit(matrix: Array, scale: Array, ridge: Array) -> None:
    """Scale the lower triangle, in place, to a unit diagonal, and add `ridge` to it; writes the scale, (n,).

    Unknowns without information get the diagonal 1: they do not move.
    """
    unit_scale(matrix, scale)
    for i in range(len(matrix)):
        for j in range(i):
            matrix[i, j] *= scale[i] * scale[j]
        matrix[i, i] = 1 + ridge[i]


@compiled_in_place
def _product(one: Array, other: Array) -> float:
    total = one[0] * other[0]
    for k in range(1, len(one)):
        total += one[k] * other[k]
    return total


@compiled_in_place
def factorize(matrix: Array, first: Array) -> bool:
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; False if it is not positive.

    first: (n,) column of the first value of each row that is not 0: the factor is 0 before it too.
    """
    for i in range(len(matrix)):
        for j in range(first[i], i):
            begin = max(first[i], first[j])
            value = matrix[i, j]
            if begin < j:
                value -= _product(matrix[i, begin:j], matrix[j, begin:j])
            matrix[i, j] = value / matrix[j, j]
        rest = matrix[i, i]
        if first[i] < i:
            rest -= _product(matrix[i, first[i] : i], matrix[i, first[i] : i])
        if not rest > 1e-9:
            return False
        matrix[i, i] = math.sqrt(rest)
    return True


@compiled_in_place
def forward(factor: Array, first: Array, values: Array, begin: int) -> None:
    """Solve L·x = values in place; values before `begin` are 0."""
    for i in range(begin, len(factor)):
        near = max(first[i], begin)
        if near < i:
            values[i] -= _product(factor[i, near:i], values[near:i])
        values[i] /= factor[i, i]


@compiled_in_place
def back(factor: Array, first: Array, values: Array) -> None:
    """Solve Lᵀ·x = values in place."""
    for i in range(len(factor) - 1, -1, -1):
        values[i] /= factor[i, i]
        value, row, target = values[i], factor[i, first[i] : i], values[first[i] : i]
        for j in range(len(row)):
            target[j] -= value * row[j]


@compiled
def inverse_diagonal(factor: Array, first: Array, wanted: Array, out: Array) -> None:
    """Write the diagonal of the inverse matrix for the wanted rows: (K,) each."""
    column = np.empty(len(factor), factor.dtype)
    for k in range(len(wanted)):
        column[:] = 0
        column[wanted[k]] = 1
        forward(factor, first, column, wanted[k])
        total = 0.0
        for i in range(wanted[k], len(column)):
            total += column[i] * column[i]
        out[k] = total
