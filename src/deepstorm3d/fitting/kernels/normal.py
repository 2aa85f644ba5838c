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
from .products import five_by_five, four_by_four, one_by_one
from .scene import Scene, reach, reaches

__all__ = [
    "SPLINES",
    "Slopes",
    "background_gradient",
    "background_matrix",
    "crossing",
    "linearize",
    "linearize_moved",
    "linearize_patches",
    "molecule_gradient",
    "pair",
    "weighted_patch",
]

# Changes of a molecule for which its derivatives are used again: x, y, z (µm), photons (their share), blur
# (px). They shift the end of a fit by less than a hundredth of σ.
_SAME = (0.0005, 0.0005, 0.001, 0.01, 0.005)
SPLINES = 4  # largest number of cubic B-splines that are not 0 at a pixel, along each axis


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


@compiled_in_place
def linearize_moved(spline: Spline, scene: Scene, molecules: Molecules, drawn: Array, slopes: Slopes) -> None:
    """`linearize` of those that have moved since their derivatives were written, at `drawn` (n, 5)."""
    (height, width), (places, shares) = scene.counts.shape, molecules
    for i in range(len(places)):
        still = True
        for a in range(5):
            far = _SAME[a] * (places[i, 3] if a == 3 else np.float32(1))
            still = still and abs(places[i, a] - drawn[i, a]) <= far
        if still:
            continue
        for a in range(5):
            drawn[i, a] = places[i, a]
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
    for m in range(gradient.shape[1]):
        first, last = reach(scene.columns[m])
        column = scene.columns[m, first:last]
        for y in range(len(score)):
            line, total = score[y, first:last], np.float32(0)
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
def pair(weighted: Array, first: Array, other: Array, second: Array, stride: int, block: Array) -> bool:
    """Write the Fisher information of two molecules, (p, p) for p unknowns; False if they do not overlap.

    weighted: derivatives of the first times the information;  other: those of the second;  first, second:
    windows.
    """
    left = max(first[0] + first[2], second[0] + second[2])
    right = min(first[0] + first[3], second[0] + second[3])
    top = max(first[1] + first[4], second[1] + second[4])
    bottom = min(first[1] + first[5], second[1] + second[5])
    if right <= left or bottom <= top:
        block[:] = 0
        return False
    here = (top - first[1]) * stride + left - first[0]
    there = (top - second[1]) * stride + left - second[0]
    if len(block) == 5:
        five_by_five(weighted, here, other, there, (stride, bottom - top, right - left), block)
    elif len(block) == 4:
        four_by_four(weighted, here, other, there, (stride, bottom - top, right - left), block)
    else:  # photons alone
        one_by_one(weighted, here, other, there, (stride, bottom - top, right - left), block)
    return True


@compiled_in_place
def crossing(
    scene: Scene, weighted: Array, window: Array, stride: int, ends: Array, lines: Array, cross: Array
) -> tuple[int, int, int, int]:
    """Write the information about a molecule and the background together: cross (p, k, l).

    weighted: (p, h·S) derivatives of the molecule times the information;  ends: (l, 2) columns between which
    each spline along x is not 0;  lines: (k, p, S) memory.
    Returns the first and the last (exclusive) spline along y, then along x, in its window: nothing is written
    outside of them.
    """
    left, right = window[0] + window[2], window[0] + window[3]
    top, bottom = window[1] + window[4], window[1] + window[5]
    if right <= left or bottom <= top:
        return 0, 0, 0, 0
    first_k, last_k = lines.shape[0], 0
    for y in range(top, bottom):
        begin, end = reach(scene.rows[y])
        if end > begin:
            first_k, last_k = min(first_k, begin), max(last_k, end)
    first_m, last_m = len(ends), 0
    for m in range(len(ends)):
        if min(ends[m, 1], right) > max(ends[m, 0], left):
            first_m, last_m = min(first_m, m), m + 1
    lines[first_k:last_k] = 0
    for y in range(top, bottom):
        for k in range(first_k, last_k):
            share = scene.rows[y, k]
            if share != 0:
                for a in range(len(weighted)):
                    row = weighted[a, (y - window[1]) * stride + window[2] :]
                    line = lines[k, a, : right - left]
                    for x in range(len(line)):
                        line[x] += share * row[x]
    for k in range(first_k, last_k):
        for a in range(len(weighted)):
            for m in range(first_m, last_m):
                begin, end = max(ends[m, 0], left), min(ends[m, 1], right)
                column, line = scene.columns[m, begin:end], lines[k, a, begin - left :]
                total = lines[k, a, 0] * 0
                for x in range(len(column)):
                    total += line[x] * column[x]
                cross[a, k, m] = total
    return first_k, last_k, first_m, last_m


@compiled
def background_matrix(scene: Scene, information: Array, gram: Array) -> None:
    """Write the information about the background's coefficients: gram (k, `SPLINES`, l·`SPLINES`).

    gram[k, i, `SPLINES`·m + j] is that about the coefficients (k, m) and (k − i, m − j), and as much about
    (k, m − j) and (k − i, m); at most `SPLINES` splines are not 0 at a pixel, along each axis.
    """
    (across, width), ends = scene.columns.shape, reaches(scene.columns)
    products = np.zeros((across, SPLINES, width), np.float32)
    for m in range(across):
        for j in range(min(SPLINES, m + 1)):
            products[m, j] = scene.columns[m] * scene.columns[m - j]
    _add_gram(scene, information, (ends, products, np.zeros(across * SPLINES)), gram)


@compiled_in_place
def _add_gram(scene: Scene, information: Array, memory: tuple[Array, Array, Array], gram: Array) -> None:
    """See `background_matrix`.

    memory: (l, 2) columns between which each spline along x is not 0; (l, `SPLINES`, W) its products with those
    before it; (l·`SPLINES`,) to be written, 0 before.
    """
    ends, products, part = memory
    gram[:] = 0
    for y in range(len(information)):
        for m in range(len(ends)):
            weight = information[y, ends[m, 0] : ends[m, 1]]
            for j in range(min(SPLINES, m + 1)):
                both, total = products[m, j, ends[m, 0] :], np.float32(0)
                for x in range(len(weight)):
                    total += both[x] * weight[x]
                part[SPLINES * m + j] = total
        first, last = reach(scene.rows[y])
        for k in range(first, last):
            for i in range(min(SPLINES, k - first + 1)):
                share, target = scene.rows[y, k] * scene.rows[y, k - i], gram[k, i]
                for n in range(len(target)):
                    target[n] += share * part[n]
