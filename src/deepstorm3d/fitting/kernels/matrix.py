"""The Fisher matrix of a frame, with neighbours next to each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import Array, compiled, compiled_in_place
from .normal import Slopes, background_matrix, crossings, pair, weighted_patch
from .overlap import Profiles, new_profiles, shared
from .scene import Scene

__all__ = [
    "Order",
    "arrange",
    "find_beginnings",
    "fisher_matrix",
    "new_order",
    "update_background",
    "update_molecules",
]


class Order(NamedTuple):
    """Where the unknowns of a frame stand in its Fisher matrix.

    molecules: (n,) first row of each molecule;  coefficients: (k, l) row of each coefficient of the background;
    first: (n·p + k·l,) column of the first value of each row that is not 0.
    """

    molecules: Array
    coefficients: Array
    first: Array


@compiled
def new_order(number: int, unknowns: int, scene: Scene) -> Order:
    """An order to be written, for `number` molecules of `unknowns` each."""
    down, across = scene.rows.shape[1], scene.columns.shape[0]
    return Order(
        np.empty(number, np.int64),
        np.empty((down, across), np.int64),
        np.empty(number * unknowns + down * across, np.int64),
    )


@compiled
def arrange(scene: Scene, slopes: Slopes, order: Order) -> None:
    """Write the order of the unknowns, from one end of the frame's longer side to the other.

    Molecules and splines that are far apart share no pixels. With neighbours next to each other the matrix is a
    band, which takes less time to factorize.
    """
    (number, unknowns, size), (down, across) = slopes.values.shape, order.coefficients.shape
    axis = 1 if len(scene.counts) > scene.counts.shape[1] else 0
    middle = np.empty(number + down * across)
    for i in range(number):
        middle[i] = slopes.windows[i, axis] + size // slopes.stride // 2
    for k in range(down):
        for m in range(across):
            middle[number + k * across + m] = scene.knots[1 - axis, k if axis else m]
    row = 0
    for entry in np.argsort(middle, kind="mergesort"):
        if entry < number:
            order.molecules[entry] = row
            row += unknowns
        else:
            order.coefficients[(entry - number) // across, (entry - number) % across] = row
            row += 1


@compiled
def fisher_matrix(scene: Scene, slopes: Slopes, information: Array, order: Order, matrix: Array) -> None:
    """Write the lower triangle of the Fisher matrix, and where each row begins (`Order.first`)."""
    matrix[:] = 0
    everyone = np.ones(len(slopes.values), np.bool_)
    update_molecules(scene, slopes, information, everyone, new_profiles(0, 0, 0.0), order, matrix)
    update_background(scene, information, order, matrix)
    find_beginnings(order, matrix)


@compiled
def update_molecules(
    scene: Scene,
    slopes: Slopes,
    information: Array,
    moved: Array,
    profiles: Profiles,
    order: Order,
    matrix: Array,
) -> None:
    """Write what the Fisher matrix says about the molecules `moved`, (n,) bool, and all others."""
    jacobian, unknowns = slopes.values, slopes.values.shape[1]
    weighted, block = np.empty_like(jacobian[0]), np.zeros((unknowns, 5), jacobian.dtype)
    sorted_rows = np.argsort(order.molecules)
    _update_pairs(slopes, information, moved, profiles, order, matrix, (sorted_rows, weighted, block))
    down, across = order.coefficients.shape
    cross = np.empty((len(jacobian), unknowns, down, across), jacobian.dtype)
    crossings(scene, slopes, information, moved, cross)
    for i in range(len(jacobian)):
        if moved[i]:
            for k in range(down):
                for m in range(across):
                    for a in range(unknowns):
                        row, own = order.coefficients[k, m], order.molecules[i] + a
                        matrix[max(row, own), min(row, own)] = cross[i, a, k, m]


@compiled_in_place
def _update_pairs(
    slopes: Slopes,
    information: Array,
    moved: Array,
    profiles: Profiles,
    order: Order,
    matrix: Array,
    memory: tuple[Array, Array, Array],
) -> None:
    """Write the blocks of pairs of molecules of which one has moved.

    memory: (n,) the molecules in the order of their rows; (p, h·S) and (p, 5) to be written.
    """
    (jacobian, windows, stride), rows = slopes, order.molecules
    (sorted_rows, weighted, block), unknowns = memory, slopes.values.shape[1]
    for place in range(len(sorted_rows)):
        i = sorted_rows[place]
        ready = False
        for j in sorted_rows[: place + 1]:
            if not (moved[i] or moved[j]):
                continue
            block[:] = 0
            if i == j or profiles.least == 0 or shared(profiles, windows, i, j) > profiles.least:
                if not ready:
                    weighted_patch(jacobian[i], windows[i], stride, information, weighted)
                    ready = True
                pair(weighted, windows[i], jacobian[j], windows[j], stride, block)
            for a in range(unknowns):
                for b in range(unknowns):
                    matrix[rows[i] + a, rows[j] + b] = block[a, b]


@compiled
def update_background(scene: Scene, information: Array, order: Order, matrix: Array) -> None:
    """Write what the Fisher matrix says about the background."""
    down, across = order.coefficients.shape
    gram = np.empty((down, across, down, across))
    background_matrix(scene, information, gram)
    for k in range(down):
        for m in range(across):
            row = order.coefficients[k, m]
            for j in range(max(0, k - 3), min(down, k + 4)):
                for n in range(max(0, m - 3), min(across, m + 4)):
                    if order.coefficients[j, n] <= row:
                        matrix[row, order.coefficients[j, n]] = gram[k, m, j, n]


@compiled_in_place
def find_beginnings(order: Order, matrix: Array) -> None:
    """Write where each row of the matrix begins (`Order.first`)."""
    for i in range(len(matrix)):
        order.first[i] = i
        for j in range(i):
            if matrix[i, j] != 0:
                order.first[i] = j
                break
