"""Cramér-Rao bounds of the molecules of one frame, compiled."""

from __future__ import annotations

import math

import numpy as np

from ...optics.compiled import Array, Molecules, Spline, compiled, compiled_in_place
from .factor import factorize, forward, inverse_diagonal, scale_to_unit, unit_copy, unit_scale
from .matrix import Order, arrange, fisher_matrix, new_order
from .normal import Slopes, linearize
from .scene import Scene

__all__ = ["frame_bounds", "photon_bounds", "photon_sigma"]

_RIDGE = 1e-7  # gives a molecule without any signal a large, finite variance


@compiled
def frame_bounds(
    scene: Scene, slopes: Slopes, information: Array, matrix: Array, sigma: Array, level: Array
) -> bool:
    """Write σ (n, p) of all unknowns and σ (n,) of the background at each molecule; False if F is singular.

    matrix: memory, (n·p + k·l, n·p + k·l) float64.
    """
    number, unknowns = slopes.values.shape[:2]
    order, scale = new_order(number, unknowns, scene), np.empty(len(matrix))
    arrange(scene, slopes, order)
    fisher_matrix(scene, slopes, information, order, matrix)
    scale_to_unit(matrix, scale, np.full(len(matrix), _RIDGE))
    if not factorize(matrix, order.first):
        return False
    wanted, variance = np.empty(number * unknowns, np.int64), np.empty(number * unknowns)
    sorted_rows = np.argsort(order.molecules)
    for k in range(number):
        for a in range(unknowns):
            wanted[k * unknowns + a] = order.molecules[sorted_rows[k]] + a
    inverse_diagonal(matrix, order.first, wanted, variance)
    for k in range(len(wanted)):
        sigma[sorted_rows[k // unknowns], k % unknowns] = math.sqrt(variance[k]) * _stated(scale[wanted[k]])
    for i in range(number):
        level[i] = _of_background(scene, slopes, order, scale, matrix, i)
    return True


@compiled
def photon_bounds(
    spline: Spline, scene: Scene, molecules: Molecules, information: Array, matrix: Array, sigma: Array
) -> bool:
    """Write σ of the photons, sigma[:, 3] of (n, p), of the molecules of a frame; False if F is singular.

    information: (H, W);  matrix: memory, (n·p + k·l, n·p + k·l), which also says with what precision to sum.
    """
    number, unknowns = sigma.shape
    values = np.empty((number, unknowns, spline.patch_px * spline.side), matrix.dtype)
    slopes = Slopes(values, np.zeros((number, 6), np.int64), spline.side)
    linearize(spline, scene, molecules, slopes)
    order, photons = new_order(number, unknowns, scene), np.empty(number)
    arrange(scene, slopes, order)
    fisher_matrix(scene, slopes, information, order, matrix)
    photon_sigma(matrix, order, matrix, photons)
    sigma[:, 3] = photons
    return not np.isnan(photons).any()


@compiled
def photon_sigma(matrix: Array, order: Order, factor: Array, sigma: Array) -> None:
    """Write σ of the photons (n,) from the lower triangle of a Fisher matrix; NaN if it is singular.

    factor: memory, as large as the matrix, or the matrix itself.
    """
    scale, variance = np.empty(len(matrix)), np.empty(len(sigma))
    unit_scale(matrix, scale)
    unit_copy(matrix, order.first, scale, np.full(len(matrix), _RIDGE), factor)
    if not factorize(factor, order.first):
        sigma[:] = np.nan
        return
    sorted_rows = np.argsort(order.molecules)
    wanted = order.molecules[sorted_rows] + 3
    inverse_diagonal(factor, order.first, wanted, variance)
    for k in range(len(wanted)):
        sigma[sorted_rows[k]] = math.sqrt(variance[k]) * _stated(scale[wanted[k]])


@compiled_in_place
def _stated(scale: float) -> float:
    """The scale of an unknown's σ. Without information it is 0: σ is that of the least that counts."""
    return scale if scale > 0 else 1e10


@compiled
def _of_background(
    scene: Scene, slopes: Slopes, order: Order, scale: Array, factor: Array, molecule: int
) -> float:
    """σ of the background at the centre of a molecule's patch."""
    half, (height, width) = slopes.values.shape[2] // slopes.stride // 2, scene.counts.shape
    y = min(max(slopes.windows[molecule, 1] + half, 0), height - 1)
    x = min(max(slopes.windows[molecule, 0] + half, 0), width - 1)
    column, begin = np.zeros(len(factor), factor.dtype), len(factor)
    for k in range(order.coefficients.shape[0]):
        for m in range(order.coefficients.shape[1]):
            share, row = scene.rows[y, k] * scene.columns[m, x], order.coefficients[k, m]
            if share != 0:
                column[row], begin = share * scale[row], min(begin, row)
    forward(factor, order.first, column, begin)
    total = 0.0
    for k in range(begin, len(factor)):
        total += column[k] ** 2
    return math.sqrt(total)
