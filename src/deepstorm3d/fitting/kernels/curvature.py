"""The Fisher matrix along a climb: computed again only for molecules that have moved, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import Array, compiled
from .matrix import Order, find_beginnings, new_order, update_background, update_molecules
from .normal import Slopes
from .overlap import Profiles, measure, new_profiles, tighten
from .scene import Scene

__all__ = ["Curvature", "new_curvature", "renew"]

_FAINT = 0.005  # overlap of two spots below which the matrix leaves out what they share
# Changes for which a molecule's part is used again: x, y, z (µm), photons (their share), blur (px).
_SAME = (0.01, 0.01, 0.02, 0.1, 0.05)


class Curvature(NamedTuple):
    """The Fisher matrix of a frame, and the state that it was computed at.

    order, matrix: see `fisher_matrix`;  profiles: of the spots;  windows: (n, 6), without their dim edges;
    patches: (n, 6), the windows when the profiles were measured;
    places: (n, 5) and held: (n, p) when a molecule's part was last computed.
    """

    order: Order
    matrix: Array
    profiles: Profiles
    windows: Array
    patches: Array
    places: Array
    held: Array


@compiled
def new_curvature(scene: Scene, number: int, unknowns: int, knots: int, patch_px: int) -> Curvature:
    """A Fisher matrix to be computed, of `number` molecules of `unknowns` each and `knots` splines."""
    size = number * unknowns + knots
    return Curvature(
        new_order(number, unknowns, scene),
        np.zeros((size, size), np.float32),
        new_profiles(number, patch_px, _FAINT),
        np.zeros((number, 6), np.int64),
        np.zeros((number, 6), np.int64),
        np.full((number, 5), np.inf),
        np.zeros((number, unknowns), np.bool_),
    )


@compiled
def renew(
    curvature: Curvature,
    scene: Scene,
    slopes: Slopes,
    information: Array,
    places: Array,
    held: Array,
    everything: bool,
) -> None:
    """Compute those parts of the matrix again that differ at this state, or everything.

    It is close enough for a step, not exact: molecules that have moved little, pairs of spots that hardly
    overlap and the dim edges of spots are left out.  places: (n, 5);  held: (n, p), unknowns that are fixed.
    """
    moved = np.zeros(len(places), np.bool_)
    for i in range(len(places)):
        moved[i] = everything
        for a in range(held.shape[1]):
            far = _SAME[a] * (places[i, 3] if a == 3 else 1.0)
            if held[i, a] != curvature.held[i, a] or not abs(places[i, a] - curvature.places[i, a]) <= far:
                moved[i] = True
        if moved[i]:
            curvature.places[i], curvature.held[i] = places[i], held[i]
        # A profile is that of the patch, which goes on by a pixel also with a molecule that has hardly moved.
        if moved[i] or (slopes.windows[i] != curvature.patches[i]).any():
            curvature.patches[i] = slopes.windows[i]
            measure(slopes, i, curvature.profiles)
        tighten(curvature.profiles, i, slopes.windows[i], curvature.windows[i])
    lit, order, matrix = (
        Slopes(slopes.values, curvature.windows, slopes.stride),
        curvature.order,
        curvature.matrix,
    )
    if everything:
        update_background(scene, information, order, matrix)
    if moved.any() or everything:
        update_molecules(scene, lit, information, moved, curvature.profiles, order, matrix)
        find_beginnings(order, matrix)
