"""Gradient and Fisher matrix of all unknowns of a frame: molecules, then the background's coefficients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import (
    Array,
    Molecules,
    Spline,
    compiled,
    compiled_in_place,
    derivative_patch,
    patch_window,
)
from .scene import Scene

__all__ = [
    "Slopes",
    "background_gradient",
    "background_matrix",
    "crossings",
    "linearize",
    "linearize_patches",
    "molecule_gradient",
    "pair",
    "weighted_patch",
]


class Slopes(NamedTuple):
    """Derivatives of a frame's image with respect to the unknowns of its molecules.

    values: (n, p, h·S) in x, y, z (1/µm), photons (, blur), row after row (`derivative_patch`);
    windows: (n, 6), see `patch_window`;  stride: S, values from one row of a patch to the next.
    """

    values: Array
    windows: Array
    stride: int


@compiled_in_place
def linearize(spline: Spline, scene: Scene, molecules: Molecules, slopes: Slopes) -> None:
    """Write the derivatives of all molecules and their windows."""
    (height, width), (places, shares) = scene.counts.shape, molecules
    for i in range(len(places)):
        window = slopes.windows[i]
        patch_window(spline, places[i, 0], places[i, 1], scene.begin, height, width, window)
        if window[3] > window[2] and window[5] > window[4]:
            derivative_patch(spline, places[i], shares[i], window, scene.begin, slopes.values[i])


@compiled
def linearize_patches(
    spline: Spline, molecules: Molecules, begin: Array, size: tuple[int, int], corner: Array, jacobian: Array
) -> None:
    """Write the corners (N, 2) and the derivatives (N, p, h, w) of molecules in frames of one size.

    begin: (N, 2) column and row of the first pixel of each molecule's frame.  The derivatives must be 0 before.
    """
    (height, width), (places, shares) = size, molecules
    side, window = spline.side, np.empty(6, np.int64)
    patch = np.empty((jacobian.shape[1], spline.patch_px * side), np.float32)
    for i in range(len(places)):
        patch_window(spline, places[i, 0], places[i, 1], begin[i], height, width, window)
        corner[i] = window[:2]
        if window[3] > window[2] and window[5] > window[4]:
            derivative_patch(spline, places[i], shares[i], window, begin[i], patch)
            for a in range(len(patch)):
                for y in range(window[4], window[5]):
                    target, source = jacobian[i, a, y, window[2] : window[3]], patch[a, y * side + window[2] :]
                    for x in range(len(target)):
                        target[x] = source[x]


@compiled_in_place
def molecule_gradient(slopes: Slopes, score: Array, gradient: Array) -> None:
    """Write Σ over pixels of the derivatives times the score (H, W): gradient (n, p)."""
    jacobian, windows, stride = slopes
    for i in range(len(jacobian)):
        window = windows[i]
        left, right = window[0] + window[2], window[0] + window[3]
        for a in range(jacobian.shape[1]):
            total = 0.0
            for y in range(window[4], window[5]):
                row, pull = jacobian[i, a, y * stride + window[2] :], score[window[1] + y, left:right]
                line = np.float32(0)
                for x in range(len(pull)):
                    line += row[x] * pull[x]
                total += line
            gradient[i, a] = total


@compiled_in_place
def background_gradient(scene: Scene, score: Array, gradient: Array) -> None:
    """Write Σ over pixels of each spline times the score (H, W): gradient (k, l)."""
    gradient[:] = 0
    for y in range(len(score)):
        for m in range(gradient.shape[1]):
            line, column, total = score[y], scene.columns[m], np.float32(0)
            for x in range(len(line)):
                total += line[x] * column[x]
            for k in range(len(gradient)):
                gradient[k, m] += scene.rows[y, k] * total


@compiled_in_place
def weighted_patch(patch: Array, window: Array, stride: int, information: Array, out: Array) -> None:
    """Write derivatives (p, h·S) times the information (H, W) of each pixel, inside the window."""
    left, right = window[0] + window[2], window[0] + window[3]
    for y in range(window[4], window[5]):
        weight = information[window[1] + y, left:right]
        for a in range(len(patch)):
            here, target = patch[a, y * stride + window[2] :], out[a, y * stride + window[2] :]
            for x in range(len(weight)):
                target[x] = here[x] * weight[x]


@compiled_in_place
def _five(one: Array, p: Array, q: Array, r: Array, s: Array, t: Array, out: Array) -> None:
    """Add the products of one row with five others to out (5,)."""
    a = b = c = d = e = np.float32(0)
    for x in range(len(one)):
        a += one[x] * p[x]
        b += one[x] * q[x]
        c += one[x] * r[x]
        d += one[x] * s[x]
        e += one[x] * t[x]
    out[0] += a
    out[1] += b
    out[2] += c
    out[3] += d
    out[4] += e


@compiled_in_place
def pair(weighted: Array, first: Array, other: Array, second: Array, stride: int, block: Array) -> bool:
    """Write the Fisher information of two molecules, (p, 5) for p unknowns; False if they do not overlap.

    weighted: derivatives of the first times the information;  first, second: windows.
    """
    left = max(first[0] + first[2], second[0] + second[2])
    right = min(first[0] + first[3], second[0] + second[3])
    top = max(first[1] + first[4], second[1] + second[4])
    bottom = min(first[1] + first[5], second[1] + second[5])
    block[:] = 0
    if right <= left or bottom <= top:
        return False
    last = len(other) - 1
    for y in range(top, bottom):
        here = (y - first[1]) * stride + left - first[0]
        there = (y - second[1]) * stride + left - second[0]
        end = there + right - left
        p, q, r = other[0, there:end], other[min(1, last), there:end], other[min(2, last), there:end]
        s, t = other[min(3, last), there:end], other[last, there:end]
        for a in range(len(weighted)):
            _five(weighted[a, here : here + right - left], p, q, r, s, t, block[a])
    return True


@compiled
def crossings(scene: Scene, slopes: Slopes, information: Array, moved: Array, cross: Array) -> None:
    """Write the information about molecules and background together, (n, p, k, l), of the molecules `moved`."""
    jacobian = slopes.values
    lines = np.empty((cross.shape[2], jacobian.shape[1], slopes.stride), jacobian.dtype)
    _cross(scene, slopes, information, moved, np.empty_like(jacobian[0]), lines, cross)


@compiled_in_place
def _cross(
    scene: Scene, slopes: Slopes, information: Array, moved: Array, weighted: Array, lines: Array, cross: Array
) -> None:
    """See `crossings`.  weighted: (p, h·S) and lines: (k, p, S), memory."""
    jacobian, windows, stride = slopes
    unknowns, (knots, across) = jacobian.shape[1], cross.shape[2:]
    cross[:] = 0
    for i in range(len(jacobian)):
        window = windows[i]
        left, right = window[0] + window[2], window[0] + window[3]
        if not moved[i] or right <= left:
            continue
        weighted_patch(jacobian[i], window, stride, information, weighted)
        lines[:] = 0
        for y in range(window[4], window[5]):
            for k in range(knots):
                share = scene.rows[window[1] + y, k]
                if share != 0:
                    for a in range(unknowns):
                        row, line = weighted[a, y * stride + window[2] :], lines[k, a, : right - left]
                        for x in range(len(line)):
                            line[x] += share * row[x]
        for m in range(across):
            column = scene.columns[m, left:right]
            if column.any():
                for k in range(knots):
                    for a in range(unknowns):
                        line = lines[k, a]
                        total = line[0] * 0
                        for x in range(len(column)):
                            total += line[x] * column[x]
                        cross[i, a, k, m] = total


@compiled
def background_matrix(scene: Scene, information: Array, gram: Array) -> None:
    """Write the information about the background's coefficients: (k, l, k, l)."""
    across = gram.shape[1]
    _add_gram(scene, information, np.empty((across, across)), gram)


@compiled_in_place
def _add_gram(scene: Scene, information: Array, part: Array, gram: Array) -> None:
    """See `background_matrix`.  part: (l, l) memory."""
    knots, across = gram.shape[:2]
    gram[:] = 0
    for y in range(len(information)):
        for m in range(across):
            for n in range(max(0, m - 3), m + 1):
                one, other, weight, total = scene.columns[m], scene.columns[n], information[y], np.float32(0)
                for x in range(len(weight)):
                    total += one[x] * other[x] * weight[x]
                part[m, n] = part[n, m] = total
        for k in range(knots):
            for j in range(max(0, k - 3), min(knots, k + 4)):
                both = scene.rows[y, k] * scene.rows[y, j]
                if both != 0:
                    for m in range(across):
                        for n in range(max(0, m - 3), min(across, m + 4)):
                            gram[k, m, j, n] += both * part[m, n]
