"""Photons of all molecules and the background of one frame at fixed positions, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, compiled
from .factor import back, factorize, forward, scale_to_unit
from .matrix import arrange, fisher_matrix, new_order
from .normal import Slopes, background_gradient, molecule_gradient
from .scene import Scene

__all__ = ["solve_light"]

_RIDGE = 1e-9  # keeps two candidates at the same place solvable


@compiled
def solve_light(
    scene: Scene, patches: Slopes, weights: Array, residual: Array, photons: Array, coefficients: Array
) -> None:
    """Add the weighted least-squares change of photons (n,) and coefficients (k, l) to them, in place.

    patches: (n, 1, h·S) fractions of the photons, 0 for molecules that are fixed;  weights, residual: (H, W).
    """
    number, (down, across) = len(photons), coefficients.shape
    size, order = number + down * across, new_order(number, 1, scene)
    matrix, scale, step = np.empty((size, size)), np.empty(size), np.empty(size)
    arrange(scene, patches, order)
    fisher_matrix(scene, patches, weights, order, matrix)
    scale_to_unit(matrix, scale, np.full(size, _RIDGE))
    if not factorize(matrix, order.first):
        return
    pull, smooth = np.empty((number, 1)), np.empty((down, across))
    weighted = weights * residual
    molecule_gradient(patches, weighted, pull)
    background_gradient(scene, weighted, smooth)
    for i in range(number):
        step[order.molecules[i]] = pull[i, 0]
    for k in range(down):
        for m in range(across):
            step[order.coefficients[k, m]] = smooth[k, m]
    step *= scale
    forward(matrix, order.first, step, 0)
    back(matrix, order.first, step)
    step *= scale
    for i in range(number):
        photons[i] += step[order.molecules[i]]
    for k in range(down):
        for m in range(across):
            coefficients[k, m] += step[order.coefficients[k, m]]
