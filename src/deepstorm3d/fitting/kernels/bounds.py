"""Cramér-Rao bounds of the molecules of one frame, compiled."""

from __future__ import annotations

import math

import numpy as np

from ...optics.compiled import Array, compiled
from .factor import factorize, forward, inverse_diagonal, scale_to_unit
from .matrix import fisher_matrix, layout
from .scene import Scene

__all__ = ["frame_bounds"]

_RIDGE = 1e-7  # gives a molecule without any signal a large, finite variance


@compiled
def frame_bounds(scene: Scene, middles: Array, knots: Array, jacobian: Array, windows: Array, stride: int,
                 information: Array, photons_only: bool, matrix: Array, sigma: Array,
                 level: Array) -> bool:  # fmt: skip
    """Write σ (n, p) of all unknowns and σ (n,) of the background at each molecule; False if F is singular.

    middles: (n, 2) row and column of each molecule's centre pixel;  photons_only: write only σ of the photons;
    matrix: memory, (n·p + k·l, n·p + k·l), whose precision is that of the result.
    """
    number, unknowns = jacobian.shape[:2]
    down, across = scene.rows.shape[1], scene.columns.shape[0]
    size = len(matrix)
    rows, places_of = np.empty(number, np.int64), np.empty((down, across), np.int64)
    first, scale = np.empty(size, np.int64), np.empty(size)
    layout(middles, knots, unknowns, len(scene.counts) > scene.counts.shape[1], rows, places_of)
    fisher_matrix(scene, jacobian, windows, stride, information, rows, places_of, matrix, first)
    scale_to_unit(matrix, scale, np.full(size, _RIDGE))
    if not factorize(matrix, first):
        return False
    wanted, variance = np.empty(1, np.int64), np.empty(1)
    column = np.empty(size, matrix.dtype)
    for i in range(number):
        for a in range(unknowns):
            if photons_only and a != 3:
                continue
            wanted[0] = rows[i] + a
            inverse_diagonal(matrix, first, wanted, variance)
            unit = scale[wanted[0]]
            # Without information the scale is 0: the variance is that of the smallest one that counts.
            sigma[i, a] = math.sqrt(variance[0]) * (unit if unit > 0 else 1e10)
        if photons_only:
            continue
        column[:], begin = 0, size
        for k in range(down):
            for m in range(across):
                row = places_of[k, m]
                share = scene.rows[middles[i, 0], k] * scene.columns[m, middles[i, 1]]
                if share != 0:
                    column[row], begin = share * scale[row], min(begin, row)
        forward(matrix, first, column, begin)
        total = 0.0
        for k in range(begin, size):
            total += column[k] ** 2
        level[i] = math.sqrt(total)
    return True
