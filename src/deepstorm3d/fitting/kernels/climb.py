"""Levenberg-Marquardt with Fisher scoring on the molecules and the background of one frame, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, Spline, compiled
from .factor import back, factorize, forward, scale_to_unit
from .matrix import fisher_matrix, layout
from .normal import background_gradient, linearize, molecule_gradient
from .scene import Scene, deviance, expected, weigh

__all__ = ["climb"]

# Change of the unknowns for which the Fisher matrix is used again: x, y, z (µm), photons (their share), blur (px).
_LEFT_OUT = (
    0.015  # share of a molecule's light on each side of its patch that the Fisher matrix of a step neglects
)
_SAME = (0.01, 0.01, 0.02, 0.1, 0.05)


@compiled
def _held(place: Array, gradient: Array, limits: Array, unknown: int) -> bool:
    """Whether an unknown is at a bound and its gradient points beyond it (projected Newton, Bertsekas 1982)."""
    return (place[unknown] <= limits[unknown, 0] and gradient[unknown] < 0) or (
        place[unknown] >= limits[unknown, 1] and gradient[unknown] > 0
    )


@compiled
def _move(places: Array, coefficients: Array, step: Array, rows: Array, places_of: Array, unknowns: int,
          limits: Array, new_places: Array, new_coefficients: Array) -> None:  # fmt: skip
    """Write the state after a step, limited in length (limits[:, 2]) and kept within the bounds."""
    new_places[:] = places
    for i in range(len(places)):
        for a in range(unknowns):
            change = min(max(step[rows[i] + a], -limits[a, 2]), limits[a, 2])
            if a == 3:
                # A molecule loses at most two thirds of its photons in one step, so that a bad step cannot remove it.
                change = max(change, -places[i, 3] * (2 / 3))
            new_places[i, a] = min(max(places[i, a] + change, limits[a, 0]), limits[a, 1])
    for k in range(places_of.shape[0]):
        for m in range(places_of.shape[1]):
            new_coefficients[k, m] = coefficients[k, m] + step[places_of[k, m]]


@compiled
def _solve(
    matrix: Array, first: Array, scale: Array, gradient: Array, damping: float, factor: Array, step: Array
) -> None:
    """Write the damped step; a matrix that is not positive is damped more."""
    while True:
        factor[:] = matrix
        for i in range(len(factor)):
            factor[i, i] += damping + 1e-6
        if factorize(factor, first) or damping > 1e3:
            break
        damping = max(10 * damping, 1e-4)
    work = np.empty(len(gradient), factor.dtype)
    for i in range(len(gradient)):
        work[i] = gradient[i] * scale[i]
    forward(factor, first, work, 0)
    back(factor, first, work)
    for i in range(len(gradient)):
        step[i] = work[i] * scale[i]


@compiled
def _tighten(patch: Array, stride: int, window: Array, tight: Array) -> None:
    """Write the window of a patch (h·S) without the edges that hold `_LEFT_OUT` of its light on each side."""
    tight[:] = window
    down, across = np.zeros(window[5]), np.zeros(window[3])
    for y in range(window[4], window[5]):
        row = patch[y * stride + window[2] : y * stride + window[3]]
        for x in range(len(row)):
            across[window[2] + x] += row[x]
            down[y] += row[x]
    for axis in range(2):
        light = across if axis == 0 else down
        total, low, high = light.sum(), 2 + 2 * axis, 3 + 2 * axis
        held = 0.0
        while tight[low] < tight[high] - 1 and held + light[tight[low]] < _LEFT_OUT * total:
            held += light[tight[low]]
            tight[low] += 1
        held = 0.0
        while tight[high] > tight[low] + 1 and held + light[tight[high] - 1] < _LEFT_OUT * total:
            held += light[tight[high] - 1]
            tight[high] -= 1


@compiled
def _changed(places: Array, built_at: Array, held: Array, built_held: Array) -> bool:
    """Whether the Fisher matrix of a former state is too far from that of this one for a good step."""
    for i in range(len(places)):
        for a in range(held.shape[1]):
            far = _SAME[a] * (places[i, 3] if a == 3 else 1.0)
            if held[i, a] != built_held[i, a] or not abs(places[i, a] - built_at[i, a]) <= far:
                return True
    return len(places) == 0


@compiled
def climb(spline: Spline, scene: Scene, places: Array, shares: Array, coefficients: Array, unknowns: int,
          knots: Array, limits: Array, iterations: int, settled: float) -> tuple[float, bool, int]:  # fmt: skip
    """Climb to the most likely state, in place; returns the deviance, whether it converged, and the steps.

    places: (n, 5) x, y, z, photons, blur;  coefficients: (k, l);  unknowns: 4, or 5 with the blur;
    limits: (5, 3) lowest and highest value and longest step of each unknown.  See `fitting.refine.refine`.
    """
    number, (down, across) = len(places), coefficients.shape
    size = number * unknowns + down * across
    image, score = np.empty(scene.counts.shape, np.float32), np.empty(scene.counts.shape, np.float32)
    information, tried = np.empty(scene.counts.shape, np.float32), np.empty(scene.counts.shape, np.float32)
    jacobian = np.empty((number, unknowns, spline.patch_px * spline.side), np.float32)
    windows, tight, rows = (
        np.zeros((number, 6), np.int64),
        np.zeros((number, 6), np.int64),
        np.empty(number, np.int64),
    )
    places_of, first = np.empty((down, across), np.int64), np.empty(size, np.int64)
    matrix, factor = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    scale, step, gradient = np.empty(size), np.empty(size), np.empty(size)
    pull, smooth, no_ridge = np.empty((number, unknowns)), np.empty((down, across)), np.zeros(size)
    held, built_held = np.zeros((number, unknowns), np.bool_), np.zeros((number, unknowns), np.bool_)
    built_at = np.full_like(places, np.inf)
    new_places, new_coefficients = np.empty_like(places), np.empty_like(coefficients)
    middles = np.empty((number, 2))
    for i in range(number):
        middles[i, 0] = places[i, 1] / spline.pixel_um - scene.begin[1]
        middles[i, 1] = places[i, 0] / spline.pixel_um - scene.begin[0]
    layout(middles, knots, unknowns, len(image) > image.shape[1], rows, places_of)
    expected(spline, scene, places, shares, coefficients, image)
    now, damping, moved, done = deviance(scene, image), 1e-3, True, 0
    for _ in range(iterations):
        done += 1
        if moved:
            linearize(spline, scene, places, shares, jacobian, windows)
            weigh(scene, image, score, information)
            molecule_gradient(jacobian, windows, spline.side, score, pull)
            background_gradient(scene, score, smooth)
            for i in range(number):
                for a in range(unknowns):
                    held[i, a] = _held(places[i], pull[i], limits, a)
                    if held[i, a]:
                        jacobian[i, a] = 0
                        pull[i, a] = 0
                    gradient[rows[i] + a] = pull[i, a]
            for k in range(down):
                for m in range(across):
                    gradient[places_of[k, m]] = smooth[k, m]
            if _changed(places, built_at, held, built_held):
                for i in range(number):
                    _tighten(jacobian[i, 3], spline.side, windows[i], tight[i])
                fisher_matrix(scene, jacobian, tight, spline.side, information, rows, places_of, matrix, first)
                scale_to_unit(matrix, scale, no_ridge)
                built_at[:], built_held[:] = places, held
        _solve(matrix, first, scale, gradient, damping, factor, step)
        _move(places, coefficients, step, rows, places_of, unknowns, limits, new_places, new_coefficients)
        expected(spline, scene, new_places, shares, new_coefficients, tried)
        gain = now - deviance(scene, tried)
        moved = gain > 0
        if moved:
            places[:], coefficients[:] = new_places, new_coefficients
            image, tried = tried, image
            now -= gain
            damping = max(damping / 6, 1e-5)
            if gain < settled:
                return now, True, done
        else:
            damping = min(damping * 10, 1e6)
            predicted = 0.0
            for i in range(size):
                predicted += step[i] * gradient[i]
            if predicted < settled or damping > 1e3:
                return now, True, done
    return now, False, done
