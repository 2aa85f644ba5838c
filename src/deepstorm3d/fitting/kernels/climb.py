"""Levenberg-Marquardt with Fisher scoring on the molecules and the background of one frame, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import Array, Molecules, Spline, compiled, compiled_in_place
from ..damping import AS_EXPECTED, DAMPED
from .bounds import photon_sigma
from .curvature import new_curvature, renew
from .factor import back, factorize, forward, unit_copy, unit_scale
from .matrix import Order, arrange, fisher_matrix
from .normal import Slopes, background_gradient, linearize_moved, molecule_gradient
from .scene import Scene, deviance, expected, weigh

__all__ = ["climb"]

# A fit that may stop at steps of more than this in the deviance needs no exact Fisher matrix at its end.
_ROUGH = 0.2
# Decrease of the deviance by a step after which the whole Fisher matrix is computed again, for the image is
# another one: for each molecule, and for the frame.
_LARGE_GAIN_EACH = 5.0
_LARGE_GAIN = 20.0
# A step that lowers the deviance by less shows that the end is near: an exact matrix gets there in few steps.
_NEAR_END = 1.0
_TOO_LONG = 1.0  # ratio of a molecule's step to the longest one from which on the molecule is damped
_RESTRAINTS = 2  # largest number of times that a step is computed again for it


@compiled_in_place
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
    for i in range(len(places)):
        for a in range(len(limits), places.shape[1]):
            new_places[i, a] = places[i, a]
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
def _solve(matrix: Array, first: Array, gradient: Array, ridge: Array, factor: Array, step: Array) -> None:
    """Write the damped step; a matrix that is not positive is damped more, in `ridge`, (n·p + k·l,)."""
    scale = np.empty(len(matrix))
    unit_scale(matrix, scale)
    while True:
        unit_copy(matrix, first, scale, ridge + 1e-6, factor)
        if factorize(factor, first) or ridge.min() > 1e3:
            break
        ridge[:] = np.maximum(10 * ridge, 1e-4)
    work = np.empty(len(gradient), factor.dtype)
    work[:] = gradient * scale
    forward(factor, first, work, 0)
    back(factor, first, work)
    step[:] = work * scale


@compiled_in_place
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
                ridge[row + a] = max(ridge[row + a], 1e-2) * min(ratio, 10.0)
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


@compiled_in_place
def _hold(
    places: Array, slopes: Slopes, limits: Array, order: Order, gradient: Array, held: Array, drawn: Array
) -> None:
    """Fix the unknowns at a bound whose gradient points beyond it (projected Newton, Bertsekas 1982).

    Their derivatives become 0: what the others of the molecule were computed at, `drawn` (n, 5), is forgotten.
    """
    for i in range(len(places)):
        for a in range(len(limits)):
            row = order.molecules[i] + a
            held[i, a] = (places[i, a] <= limits[a, 0] and gradient[row] < 0) or (
                places[i, a] >= limits[a, 1] and gradient[row] > 0
            )
            if held[i, a]:
                slopes.values[i, a] = 0
                gradient[row] = 0
                drawn[i, 0] = np.inf


@compiled
def climb(
    spline: Spline,
    scene: Scene,
    molecules: Molecules,
    coefficients: Array,
    limits: Array,
    effort: tuple[int, float],
    sigma: Array,
) -> tuple[float, bool, int]:
    """Climb to the most likely state, in place; returns the deviance, whether it converged, and the steps.

    coefficients: (k, l);  limits: (p, 3) lowest and highest value and longest step of each of a molecule's
    unknowns, 4, or 5 with the blur;  effort: largest number of steps, and `settled` (`Effort`);
    sigma: (n,) of the photons, is written (`photon_sigma`); (0,): not wanted.  See `fitting.refine.refine`.
    """
    number, unknowns, places = len(molecules.places), len(limits), molecules.places
    iterations, settled = effort
    size, shape = number * unknowns + coefficients.size, scene.counts.shape
    image, tried = np.empty(shape, np.float32), np.empty(shape, np.float32)
    score, information = np.empty(shape, np.float32), np.empty(shape, np.float32)
    values = np.empty((number, unknowns, spline.patch_px * spline.side), np.float32)
    slopes = Slopes(values, np.zeros((number, 6), np.int64), spline.side)
    curvature = new_curvature(scene, number, unknowns, coefficients.size, spline.patch_px)
    order, matrix, factor = curvature.order, curvature.matrix, np.empty((size, size), np.float32)
    step, gradient, ridge = np.empty(size), np.empty(size), np.empty(size)
    drawn = np.full((number, 5), np.inf)  # where the derivatives were computed
    held, new_knots = np.zeros((number, unknowns), np.bool_), np.empty_like(coefficients)
    new, gain = Molecules(np.empty_like(places), molecules.shares), np.inf
    expected(spline, scene, molecules, coefficients, image)
    now, damping, done = deviance(scene, image), 1e-3, 0
    moved, exact, due, converged = True, False, True, False
    for _ in range(iterations):
        done += 1
        if moved:
            linearize_moved(spline, scene, molecules, drawn, slopes)
            if done == 1:
                arrange(scene, slopes, order)
            weigh(scene, image, score, information)
            _ascent(scene, slopes, score, order, gradient)
            _hold(places, slopes, limits, order, gradient, held, drawn)
            if exact and due:
                fisher_matrix(scene, slopes, information, order, matrix)
                due = False
            elif not exact:
                everything = gain > _LARGE_GAIN_EACH * number + _LARGE_GAIN
                renew(curvature, scene, slopes, information, places, held, everything)
        ridge[:] = damping
        _solve(matrix, order.first, gradient, ridge, factor, step)
        tries = 0
        while tries < _RESTRAINTS and _restrain(places, step, order, limits, ridge):
            _solve(matrix, order.first, gradient, ridge, factor, step)
            tries += 1
        _move(places, coefficients, step, order, limits, new.places, new_knots)
        expected(spline, scene, new, new_knots, tried)
        gain = now - deviance(scene, tried)
        moved = gain > 0
        if moved:
            places[:], coefficients[:] = new.places, new_knots
            image, tried = tried, image
            now -= gain
            if gain > AS_EXPECTED * (step * gradient).sum():
                damping = max(damping / 6, 1e-5)
            stopped = gain < (settled if exact or settled > _ROUGH else _NEAR_END)
            due = due or gain > _NEAR_END
        else:
            damping = min(max(damping * 10, DAMPED), 1e6)
            stopped = (step * gradient).sum() < settled or damping > 1e3
        if stopped and (exact or settled > _ROUGH):
            converged = True
            break
        if stopped:
            exact, moved = True, True
    if len(sigma):
        photon_sigma(matrix, order, factor, sigma)
    return now, converged, done
