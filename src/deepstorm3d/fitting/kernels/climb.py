"""Levenberg-Marquardt with Fisher scoring on the molecules and the background of one frame, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, Molecules, Spline, compiled
from .factor import back, factorize, forward, scale_to_unit
from .matrix import Order, arrange, fisher_matrix, new_order
from .normal import Slopes, background_gradient, linearize, molecule_gradient
from .scene import Scene, deviance, expected, weigh

__all__ = ["climb"]

# A fit that may stop at steps of more than this in the deviance needs no exact Fisher matrix at its end.
_ROUGH = 0.2
# Decrease of the deviance by a step after which the Fisher matrix is computed again: the image is another one.
_LARGE_GAIN = 20.0
_TOO_LONG = 1.0  # ratio of a molecule's step to the longest one from which on the molecule is damped
_RESTRAINTS = 4  # largest number of times that a step is computed again for it
# Share of a molecule's light on each side of its patch that the Fisher matrix of a step neglects.
_LEFT_OUT = 0.015
# Changes for which the Fisher matrix is used again: x, y, z (µm), photons (their share), blur (px).
_SAME = (0.01, 0.01, 0.02, 0.1, 0.05)


@compiled
def _move(
    places: Array,
    coefficients: Array,
    step: Array,
    order: Order,
    limits: Array,
    new_places: Array,
    new_knots: Array,
) -> None:
    """Write the state after a step, limited in length (limits[:, 2]) and kept within the bounds."""
    new_places[:] = places
    for i in range(len(places)):
        for a in range(len(limits)):
            change = min(max(step[order.molecules[i] + a], -limits[a, 2]), limits[a, 2])
            if a == 3:
                # A molecule loses at most two thirds of its photons in one step: a bad step cannot remove it.
                change = max(change, -places[i, 3] * (2 / 3))
            new_places[i, a] = min(max(places[i, a] + change, limits[a, 0]), limits[a, 1])
    for k in range(coefficients.shape[0]):
        for m in range(coefficients.shape[1]):
            new_knots[k, m] = coefficients[k, m] + step[order.coefficients[k, m]]


@compiled
def _solve(
    matrix: Array, first: Array, scale: Array, gradient: Array, ridge: Array, factor: Array, step: Array
) -> None:
    """Write the damped step; a matrix that is not positive is damped more, in `ridge`, (n·p + k·l,)."""
    while True:
        factor[:] = matrix
        for i in range(len(factor)):
            factor[i, i] += ridge[i] + 1e-6
        if factorize(factor, first) or ridge.min() > 1e3:
            break
        ridge[:] = np.maximum(10 * ridge, 1e-4)
    work = np.empty(len(gradient), factor.dtype)
    work[:] = gradient * scale
    forward(factor, first, work, 0)
    back(factor, first, work)
    step[:] = work * scale


@compiled
def _restrain(places: Array, step: Array, order: Order, limits: Array, ridge: Array) -> bool:
    """Damp the molecules whose step is longer than allowed, in `ridge`; returns whether there are any.

    Two molecules at nearly one place can exchange light: such steps are long without a gain. Damping only them
    leaves the others their full step.
    """
    found = False
    for i in range(len(places)):
        row, ratio = order.molecules[i], -step[order.molecules[i] + 3] / (places[i, 3] * (2 / 3))
        for a in range(len(limits)):
            ratio = max(ratio, abs(step[row + a]) / limits[a, 2])
        if ratio > _TOO_LONG:
            found = True
            for a in range(len(limits)):
                ridge[row + a] = max(ridge[row + a], 3e-3) * min(ratio, 10.0)
    return found


@compiled
def _ascent(scene: Scene, slopes: Slopes, score: Array, order: Order, gradient: Array) -> None:
    """Write the gradient of all unknowns in the order of the matrix."""
    number, unknowns, _ = slopes.values.shape
    (down, across), pull = order.coefficients.shape, np.empty((number, unknowns))
    smooth = np.empty((down, across))
    molecule_gradient(slopes, score, pull)
    background_gradient(scene, score, smooth)
    for i in range(number):
        for a in range(unknowns):
            gradient[order.molecules[i] + a] = pull[i, a]
    for k in range(down):
        for m in range(across):
            gradient[order.coefficients[k, m]] = smooth[k, m]


@compiled
def _hold(places: Array, slopes: Slopes, limits: Array, order: Order, gradient: Array, held: Array) -> None:
    """Fix the unknowns at a bound whose gradient points beyond it (projected Newton, Bertsekas 1982)."""
    for i in range(len(places)):
        for a in range(len(limits)):
            row = order.molecules[i] + a
            held[i, a] = (places[i, a] <= limits[a, 0] and gradient[row] < 0) or (
                places[i, a] >= limits[a, 1] and gradient[row] > 0
            )
            if held[i, a]:
                slopes.values[i, a] = 0
                gradient[row] = 0


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
def climb(
    spline: Spline,
    scene: Scene,
    molecules: Molecules,
    coefficients: Array,
    limits: Array,
    iterations: int,
    settled: float,
) -> tuple[float, bool, int]:
    """Climb to the most likely state, in place; returns the deviance, whether it converged, and the steps.

    coefficients: (k, l);  limits: (p, 3) lowest and highest value and longest step of each of a molecule's
    unknowns, 4, or 5 with the blur.  See `fitting.refine.refine`.
    """
    number, unknowns, places = len(molecules.places), len(limits), molecules.places
    size, shape = number * unknowns + coefficients.size, scene.counts.shape
    image, tried = np.empty(shape, np.float32), np.empty(shape, np.float32)
    score, information = np.empty(shape, np.float32), np.empty(shape, np.float32)
    values = np.empty((number, unknowns, spline.patch_px * spline.side), np.float32)
    slopes = Slopes(values, np.zeros((number, 6), np.int64), spline.side)
    lit = Slopes(values, np.zeros((number, 6), np.int64), spline.side)
    matrix, factor = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    order, no_ridge = new_order(number, unknowns, scene), np.zeros(size)
    scale, step, gradient, ridge = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    held, built_held = np.zeros((number, unknowns), np.bool_), np.zeros((number, unknowns), np.bool_)
    built_at, new_knots = np.full_like(places, np.inf), np.empty_like(coefficients)
    new, gain = Molecules(np.empty_like(places), molecules.shares), np.inf
    expected(spline, scene, molecules, coefficients, image)
    now, damping, moved, exact, done = deviance(scene, image), 1e-3, True, False, 0
    for _ in range(iterations):
        done += 1
        if moved:
            linearize(spline, scene, molecules, slopes)
            if done == 1:
                arrange(scene, slopes, order)
            weigh(scene, image, score, information)
            _ascent(scene, slopes, score, order, gradient)
            _hold(places, slopes, limits, order, gradient, held)
            if exact or gain > _LARGE_GAIN or _changed(places, built_at, held, built_held):
                for i in range(number):
                    _tighten(values[i, 3], spline.side, slopes.windows[i], lit.windows[i])
                fisher_matrix(scene, slopes if exact else lit, information, order, matrix)
                scale_to_unit(matrix, scale, no_ridge)
                built_at[:], built_held[:] = places, held
        ridge[:] = damping
        _solve(matrix, order.first, scale, gradient, ridge, factor, step)
        tries = 0
        while tries < _RESTRAINTS and _restrain(places, step, order, limits, ridge):
            _solve(matrix, order.first, scale, gradient, ridge, factor, step)
            tries += 1
        _move(places, coefficients, step, order, limits, new.places, new_knots)
        expected(spline, scene, new, new_knots, tried)
        gain = now - deviance(scene, tried)
        moved = gain > 0
        if moved:
            places[:], coefficients[:] = new.places, new_knots
            image, tried = tried, image
            now -= gain
            damping = max(damping / 6, 1e-5)
            stopped = gain < settled
        else:
            damping = min(damping * 10, 1e6)
            stopped = (step * gradient).sum() < settled or damping > 1e3
        if stopped and (exact or settled > _ROUGH):
            return now, True, done
        if stopped:
            # Small steps with an approximate matrix do not show that the end is near: the next ones are exact.
            exact, moved = True, True
    return now, False, done
