"""The Fisher matrix of a frame, with neighbours next to each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import Array, compiled, compiled_in_place
from .factor import BLOCK
from .normal import SPLINES, Slopes, background_matrix, crossing, pair, weighted_patch
from .overlap import Profiles, new_profiles, shared
from .scene import Scene, reaches

__all__ = [
    "Order",
    "arrange",
    "find_beginnings",
    "fisher_matrix",
    "new_order",
    "update_background",
    "update_molecules",
]


_TOGETHER = 8  # molecules whose weighted derivatives stay in the cache while those of another are read


class Order(NamedTuple):
    """Where the unknowns of a frame stand in its Fisher matrix.

    molecules: (n,) first row of each molecule;  coefficients: (k, l) row of each coefficient of the background;
    first: (n·p + k·l,) column of the first value of each row that is not 0, or one before it (`factor`);
    splines: (n, 4) those with which each molecule has values that are not 0, see `crossing`.
    """

    molecules: Array
    coefficients: Array
    first: Array
    splines: Array


@compiled
def new_order(number: int, unknowns: int, scene: Scene) -> Order:
    """An order to be written, for `number` molecules of `unknowns` each."""
    down, across = scene.rows.shape[1], scene.columns.shape[0]
    return Order(
        np.empty(number, np.int64),
        np.empty((down, across), np.int64),
        np.empty(number * unknowns + down * across, np.int64),
        np.zeros((number, 4), np.int64),
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
    matrix[:], order.splines[:] = 0, 0
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
    weighted = np.empty((_TOGETHER, unknowns, jacobian.shape[2]), jacobian.dtype)
    block, sorted_rows = np.zeros((unknowns, unknowns), jacobian.dtype), np.argsort(order.molecules)
    _update_pairs(slopes, information, moved, profiles, order, matrix, (sorted_rows, weighted, block))
    down, across = order.coefficients.shape
    lines = np.empty((down, unknowns, slopes.stride), jacobian.dtype)
    cross = np.zeros((unknowns, down, across), jacobian.dtype)
    memory = (reaches(scene.columns), weighted[0], lines, cross)
    for i in range(len(jacobian)):
        if moved[i]:
            _update_crossing(scene, slopes, information, i, memory, order, matrix)


@compiled_in_place
def _update_crossing(
    scene: Scene,
    slopes: Slopes,
    information: Array,
    molecule: int,
    memory: tuple[Array, Array, Array, Array],
    order: Order,
    matrix: Array,
) -> None:
    """Write what the Fisher matrix says about a molecule and the background.

    memory: `ends` of `crossing`; (p, h·S) to be written; its `lines`; (p, k, l), 0 before and after.
    """
    (ends, weighted, lines, cross), window, own = memory, slopes.windows[molecule], order.molecules[molecule]
    weighted_patch(slopes.values[molecule], window, slopes.stride, information, weighted)
    here = crossing(scene, weighted, window, slopes.stride, ends, lines, cross)
    area = order.splines[molecule]
    # What it had with other splines is 0 now.
    _write_crossing(cross, area, own, order, matrix)
    for k in range(len(area)):
        area[k] = here[k]
    _write_crossing(cross, area, own, order, matrix)
    cross[:, area[0] : area[1], area[2] : area[3]] = 0


@compiled_in_place
def _write_crossing(cross: Array, area: Array, own: int, order: Order, matrix: Array) -> None:
    """Write a molecule's part with the splines of an area.  own: its first row."""
    for k in range(area[0], area[1]):
        for m in range(area[2], area[3]):
            row = order.coefficients[k, m]
            for a in range(len(cross)):
                matrix[max(row, own + a), min(row, own + a)] = cross[a, k, m]


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

    memory: (n,) the molecules in the order of their rows; (`_TOGETHER`, p, h·S) and (p, p) to be written.
    """
    (jacobian, windows, stride), rows = slopes, order.molecules
    (sorted_rows, weighted, block), unknowns = memory, slopes.values.shape[1]
    number, together = len(sorted_rows), len(weighted)
    for begin in range(0, number, together):
        end, ready = min(begin + together, number), 0
        for place in range(end):
            j = sorted_rows[place]
            for k in range(max(begin, place), end):
                i, bit = sorted_rows[k], 1 << (k - begin)
                if not (moved[i] or moved[j]):
                    continue
                if i == j or profiles.least == 0 or shared(profiles, windows, i, j) > profiles.least:
                    if not ready & bit:
                        weighted_patch(jacobian[i], windows[i], stride, information, weighted[k - begin])
                        ready |= bit
                    pair(weighted[k - begin], windows[i], jacobian[j], windows[j], stride, block)
                else:
                    block[:] = 0
                for a in range(unknowns):
                    for b in range(unknowns):
                        matrix[rows[i] + a, rows[j] + b] = block[a, b]


@compiled
def update_background(scene: Scene, information: Array, order: Order, matrix: Array) -> None:
    """Write what the Fisher matrix says about the background."""
    down, across = order.coefficients.shape
    gram, near = np.empty((down, SPLINES, across * SPLINES)), SPLINES - 1
    background_matrix(scene, information, gram)
    for k in range(down):
        for m in range(across):
            row = order.coefficients[k, m]
            for j in range(max(0, k - near), min(down, k + near + 1)):
                for n in range(max(0, m - near), min(across, m + near + 1)):
                    if order.coefficients[j, n] <= row:
                        place = SPLINES * max(m, n) + abs(m - n)
                        matrix[row, order.coefficients[j, n]] = gram[max(k, j), abs(k - j), place]


@compiled_in_place
def find_beginnings(order: Order, matrix: Array) -> None:
    """Write where the rows of the matrix begin (`Order.first`): the same for all rows of a block."""
    for begin in range(0, len(matrix), BLOCK):
        end, least = min(begin + BLOCK, len(matrix)), begin
        for i in range(begin, end):
            for j in range(least):
                if matrix[i, j] != 0:
                    least = j
                    break
        order.first[begin:end] = least // BLOCK * BLOCK
