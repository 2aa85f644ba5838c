"""Cholesky factor of a Fisher matrix, of which each row begins with zeros (an envelope).

The rows are taken in blocks of `BLOCK`, whose envelope begins at the same column, the first one of a block: the
products of two blocks are 25 sums that share their numbers (`products`).
"""

from __future__ import annotations

import math

import numpy as np

from ...optics.compiled import Array, compiled, compiled_in_place
from .products import five_by_five

__all__ = [
    "BLOCK",
    "back",
    "factorize",
    "forward",
    "inverse_diagonal",
    "scale_to_unit",
    "unit_copy",
    "unit_scale",
]

BLOCK = 5
"""Rows of a block: as many as sums fit into the registers."""


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
def unit_copy(matrix: Array, first: Array, scale: Array, ridge: Array, copy: Array) -> None:
    """Write the lower triangle scaled to a unit diagonal, and the damping added to it.

    scale: of `unit_scale`;  ridge: (n,) what is added;  first: see `factorize`.
    """
    for i in range(len(copy)):
        target, source, others = copy[i, first[i] : i], matrix[i, first[i] : i], scale[first[i] : i]
        for j in range(len(target)):
            target[j] = source[j] * (scale[i] * others[j])
        copy[i, i] = 1 + ridge[i]


@compiled_in_place
def _product(one: Array, other: Array) -> float:
    total = one[0] * other[0]
    for k in range(1, len(one)):
        total += one[k] * other[k]
    return total


@compiled
def factorize(matrix: Array, first: Array) -> bool:
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; False if it is not positive.

    first: (n,) column of the first value of each row that is not 0, or one before it: the factor is 0 before it
    too. It is the same for all rows of a block, and the first column of a block.
    """
    sums, inverse = np.empty((BLOCK, BLOCK), matrix.dtype), np.empty(len(matrix), matrix.dtype)
    return _factorized(matrix, first, sums, inverse)


@compiled_in_place
def _factorized(matrix: Array, first: Array, sums: Array, inverse: Array) -> bool:
    """See `factorize`.  sums: (`BLOCK`, `BLOCK`) and inverse: (n,), memory."""
    size = len(matrix)
    for top in range(0, size, BLOCK):
        rows = min(BLOCK, size - top)
        for left in range(first[top], top + 1, BLOCK):
            begin = max(first[top], first[left])
            _block_products(matrix, top, left, begin, sums)
            for i in range(top, top + rows):
                for j in range(left, min(left + BLOCK, i)):
                    value = matrix[i, j] - sums[i - top, j - left]
                    for k in range(left, j):
                        value -= matrix[i, k] * matrix[j, k]
                    matrix[i, j] = value * inverse[j]
                if left == top:
                    rest = matrix[i, i] - sums[i - top, i - top]
                    for k in range(top, i):
                        rest -= matrix[i, k] * matrix[i, k]
                    if not rest > 1e-9:
                        return False
                    matrix[i, i] = math.sqrt(rest)
                    inverse[i] = 1 / matrix[i, i]
    return True


@compiled_in_place
def _block_products(matrix: Array, top: int, left: int, begin: int, sums: Array) -> None:
    """Write the products of the rows of two blocks, from column `begin` to the second block."""
    size, width = len(matrix), left - begin
    if width <= 0:
        sums[:] = 0
    elif top + BLOCK < size:
        five_by_five(matrix, top * size + begin, matrix, left * size + begin, (size, 1, width), sums)
    else:  # the last rows of the memory
        for i in range(top, size):
            for j in range(left, min(left + BLOCK, size)):
                sums[i - top, j - left] = _product(matrix[i, begin:left], matrix[j, begin:left])


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
    """Write the diagonal of the inverse matrix for the wanted rows: (K,) each, fastest if they increase."""
    size = len(factor)
    columns = np.empty((BLOCK, size), factor.dtype)
    sums = np.empty((BLOCK, BLOCK), factor.dtype)
    for k in range(0, len(wanted), BLOCK):
        some = wanted[k : k + BLOCK]
        begin = some.min() // BLOCK * BLOCK
        columns[:] = 0
        for c in range(len(some)):
            columns[c, some[c]] = 1
        _forward_together(factor, first, columns, begin, sums)
        for c in range(len(some)):
            total = 0.0
            for i in range(begin, size):
                total += columns[c, i] * columns[c, i]
            out[k + c] = total


@compiled_in_place
def _forward_together(factor: Array, first: Array, columns: Array, begin: int, sums: Array) -> None:
    """Solve L·x = columns (`BLOCK`, n) in place, 0 before `begin`.  sums: (`BLOCK`, `BLOCK`) memory."""
    size = len(factor)
    for top in range(begin, size, BLOCK):
        rows, near = min(BLOCK, size - top), max(first[top], begin)
        if near >= top:
            sums[:] = 0
        elif top + BLOCK < size:
            five_by_five(factor, top * size + near, columns, near, (size, 1, top - near), sums)
        else:  # the last rows of the memory
            for i in range(rows):
                for c in range(BLOCK):
                    sums[i, c] = _product(factor[top + i, near:top], columns[c, near:top])
        for i in range(rows):
            for c in range(BLOCK):
                value = columns[c, top + i] - sums[i, c]
                for k in range(i):
                    value -= factor[top + i, top + k] * columns[c, top + k]
                columns[c, top + i] = value / factor[top + i, top + i]
