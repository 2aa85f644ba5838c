"""Photons of all molecules and the background of one frame at fixed positions, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, compiled
from .factor import back, factorize, forward, scale_to_unit
from .matrix import fisher_matrix, layout
from .normal import background_gradient, molecule_gradient
from .scene import Scene

__all__ = ["solve_light"]

_RIDGE = 1e-9  # keeps two candidates at the same place solvable


@compiled
def solve_light(scene: Scene, middles: Array, knots: Array, patches: Array, windows: Array, stride: int,
                weights: Array, residual: Array, photons: Array, coefficients: Array) -> None:  # fmt: skip
    """Add the weighted least-squares change of photons (n,) and coefficients (k, l) to them, in place.

    patches: (n, 1, h·S) fractions of the photons, 0 for molecules that are fixed;  weights, residual: (H, W).
    """
    number, (down, across) = len(patches), coefficients.shape
    size = number + down * across
    rows, places_of = np.empty(number, np.int64), np.empty((down, across), np.int64)
    matrix, first, scale = np.empty((size, size)), np.empty(size, np.int64), np.empty(size)
    layout(middles, knots, 1, len(weights) > weights.shape[1], rows, places_of)
    fisher_matrix(scene, patches, windows, stride, weights, rows, places_of, matrix, first)
    scale_to_unit(matrix, scale, np.full(size, _RIDGE))
    if not factorize(matrix, first):
        return
    pull, smooth, step = np.empty((number, 1)), np.empty((down, across)), np.empty(size)
    weighted = weights * residual
    molecule_gradient(patches, windows, stride, weighted, pull)
    background_gradient(scene, weighted, smooth)
    for i in range(number):
        step[rows[i]] = pull[i, 0] * scale[rows[i]]
    for k in range(down):
        for m in range(across):
            step[places_of[k, m]] = smooth[k, m] * scale[places_of[k, m]]
    forward(matrix, first, step, 0)
    back(matrix, first, step)
    for i in range(number):
        photons[i] += step[rows[i]] * scale[rows[i]]
    for k in range(down):
        for m in range(across):
            coefficients[k, m] += step[places_of[k, m]] * scale[places_of[k, m]]
