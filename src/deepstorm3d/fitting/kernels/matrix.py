"""The Fisher matrix of a frame, with neighbours next to each other."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, compiled
from .normal import background_matrix, crossings, molecule_blocks
from .scene import Scene

__all__ = ["fisher_matrix", "layout"]


@compiled
def layout(middles: Array, knots: Array, unknowns: int, along_y: bool, rows: Array, places_of: Array) -> None:
    """Write the order of the unknowns in the Fisher matrix, from one end of the frame's longer side to the other.

    Neighbours then stand together, and the matrix is a band: molecules and splines that are far apart do not
    share pixels.

    middles: (n, 2) row and column of the molecules' centre pixels;  knots: (2, …) of the splines' centres, px;
    along_y: whether the frame is higher than wide;
    rows: (n,) first row of each molecule;  places_of: (k, l) row of each coefficient.
    """
    down, across = places_of.shape
    middle, number = np.empty(len(middles) + down * across), len(middles)
    for i in range(number):
        middle[i] = middles[i, 0 if along_y else 1]
    for k in range(down):
        for m in range(across):
            middle[number + k * across + m] = knots[0, k] if along_y else knots[1, m]
    row = 0
    for entry in np.argsort(middle, kind="mergesort"):
        if entry < number:
            rows[entry] = row
            row += unknowns
        else:
            places_of[(entry - number) // across, (entry - number) % across] = row
            row += 1


@compiled
def fisher_matrix(scene: Scene, jacobian: Array, windows: Array, stride: int, information: Array,
                  rows: Array, places_of: Array, matrix: Array, first: Array) -> None:  # fmt: skip
    """Write the lower triangle of the Fisher matrix and the first column of each row that is not 0 (n,)."""
    unknowns, (down, across) = jacobian.shape[1], places_of.shape
    matrix[:] = 0
    molecule_blocks(jacobian, windows, stride, information, np.argsort(rows), rows, matrix)
    cross = np.empty((len(jacobian), unknowns, down, across), np.float32)
    crossings(scene, jacobian, windows, stride, information, cross)
    gram = np.empty((down, across, down, across))
    background_matrix(scene, information, gram)
    for k in range(down):
        for m in range(across):
            row = places_of[k, m]
            for i in range(len(jacobian)):
                for a in range(unknowns):
                    matrix[max(row, rows[i] + a), min(row, rows[i] + a)] = cross[i, a, k, m]
            for j in range(max(0, k - 3), min(down, k + 4)):
                for n in range(max(0, m - 3), min(across, m + 4)):
                    if places_of[j, n] <= row:
                        matrix[row, places_of[j, n]] = gram[k, m, j, n]
    for i in range(len(matrix)):
        first[i] = i
        for j in range(i):
            if matrix[i, j] != 0:
                first[i] = j
                break
