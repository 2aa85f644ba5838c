"""Gaussians added to an image in compiled code (Numba): each is integrated over every pixel, to 5 σ.

The points are first sorted into tiles, because an image is larger than the processor's cache and they are in
any order. Numba takes a moment to import, and seconds to compile this once on a computer: import it when a
Gaussian is drawn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import compiled, compiled_in_place

__all__ = ["TILE_PX", "add_sorted", "sort_by_tile"]

Array = NDArray[Any]

TILE_PX = 32
"""Side of the tiles, pixels."""

# A Gaussian ends at this distance, in σ: its value there is 4e-6 of its peak.
_REACH = 5.0
# Pixels are added in whole vectors of this length: the rest would take as long, one after the other.
_VECTOR = 8
# Steps of the table from one end of a Gaussian to the other; interpolation between them is exact to 2e-7.
_STEPS = 4096
# The part of a Gaussian before each step, 0 to 1; the end stands twice, because interpolation reads one more.
_BELOW = np.array(
    [
        0.5 + 0.5 * math.erf(_REACH * (2 * min(step / _STEPS, 1) - 1) / 2**0.5) / math.erf(_REACH / 2**0.5)
        for step in range(_STEPS + 2)
    ],
    np.float32,
)


@compiled_in_place
def sort_by_tile(at: Array, sigma: Array, values: Array, ends: Array, points: Array) -> None:
    """Sort points into the tiles that contain them, row by row; within a tile they keep their order.

    at: (2, N) float64, row and column from the image's edges;  sigma: (2, N) float32, both in pixels;
    values: (N, C) float32.  Written: ends, zeros before, for each row and column of tiles the number of points
    up to there;  points (N, 4 + C) float32: place in the tile, both σ, values.
    """
    rows, columns = at
    for n in range(len(rows)):
        ends[int(rows[n]) // TILE_PX, int(columns[n]) // TILE_PX] += 1
    total = 0
    for i in range(ends.shape[0]):
        for j in range(ends.shape[1]):
            ends[i, j], total = total, total + ends[i, j]
    for n in range(len(rows)):
        i, j = int(rows[n]) // TILE_PX, int(columns[n]) // TILE_PX
        point = points[ends[i, j]]
        ends[i, j] += 1
        point[0] = rows[n] - i * TILE_PX
        point[1] = columns[n] - j * TILE_PX
        point[2] = sigma[0, n]
        point[3] = sigma[1, n]
        for plane in range(values.shape[1]):
            point[4 + plane] = values[n, plane]


@compiled_in_place
def _profile(centre: float, sigma: float, profile: Array) -> tuple[int, int]:
    """Write the integral of a Gaussian over each pixel that it covers, then a vector of zeros; the sum is 1.

    centre: from the edge of pixel 0;  sigma: both in pixels.  Returns the first pixel, and the last + 1.
    """
    first = math.floor(centre - np.float32(_REACH) * sigma)
    number = math.floor(centre + np.float32(_REACH) * sigma) + 1 - first
    step = np.float32(_STEPS / 2 / _REACH) / sigma
    before = np.float32(0)
    for k in range(number - 1):
        at = (np.float32(first + k + 1) - centre) * step + np.float32(_STEPS / 2)
        near = int(at)
        below = _BELOW[near] + (at - np.float32(near)) * (_BELOW[near + 1] - _BELOW[near])
        profile[k] = below - before
        before = below
    profile[number - 1] = np.float32(1) - before
    profile[number : number + _VECTOR] = 0
    return first, first + number


@compiled
def add_sorted(points: Array, ends: Array, image: Array, widest: float, top: int, bottom: int) -> None:
    """Add sorted points to the rows `top` to `bottom` (exclusive) of an image (C, h, w), in place.

    Other rows are not touched, so parts of an image can be drawn at the same time. A pixel adds its points in
    the same order whatever the parts are. What falls beyond the image is lost.  widest: largest σ, pixels.
    """
    most = math.ceil(2 * _REACH * widest) + 2 + _VECTOR
    _add(points, ends, image, np.empty(most, np.float32), np.empty(most, np.float32), (top, bottom))


@compiled_in_place
def _add(points: Array, ends: Array, image: Array, down: Array, across: Array, part: tuple[int, int]) -> None:
    """See `add_sorted`.  down, across: memory for a point's profiles;  part: first row and the last + 1."""
    most, (top, bottom), begin = len(down), part, 0
    for tile in range(ends.size):
        i, j = tile // ends.shape[1], tile % ends.shape[1]
        near = i * TILE_PX - most < bottom and (i + 1) * TILE_PX + most > top
        for n in range(begin if near else ends[i, j], ends[i, j]):
            first_row, last_row = _profile(points[n, 0], points[n, 2], down)
            first_column, last_column = _profile(points[n, 1], points[n, 3], across)
            row, column = i * TILE_PX + first_row, j * TILE_PX + first_column
            wide = last_column - first_column
            left, right = max(column, 0), min(column + wide + -wide % _VECTOR, image.shape[2])
            inside = across[left - column : right - column]
            for plane in range(image.shape[0]):
                value = points[n, 4 + plane]
                for y in range(max(row, top), min(i * TILE_PX + last_row, bottom)):
                    share, line = value * down[y - row], image[plane, y, left:right]
                    for x in range(len(inside)):
                        line[x] += share * inside[x]
        begin = ends[i, j]
