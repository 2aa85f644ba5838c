"""What a score test for dividing a molecule in two needs, compiled."""

from __future__ import annotations

import numpy as np

from ...optics.compiled import (
    Array,
    Molecules,
    Spline,
    compiled,
    compiled_in_place,
    patch_window,
    value_patch,
)
from .normal import Slopes

__all__ = ["division_terms"]


@compiled_in_place
def _add_moved(spline: Spline, patch: Array, moved: Array, window: Array, change: Array) -> None:
    """Add a patch with the window `moved` to `change`, (h·S), a patch with the window `window`."""
    right, down = moved[0] - window[0], moved[1] - window[1]
    first, last = max(window[2], moved[2] + right), min(window[3], moved[3] + right)
    if last <= first:
        return
    for y in range(max(window[4], moved[4] + down), min(window[5], moved[5] + down)):
        target = change[y * spline.side + first : y * spline.side + last]
        source = patch[(y - down) * spline.side + first - right :]
        for x in range(len(target)):
            target[x] += source[x]


@compiled_in_place
def _add_terms(
    slopes: Slopes,
    molecule: int,
    photons: float,
    change: Array,
    side: int,
    pixels: tuple[Array, Array],
    terms: Array,
) -> None:
    """Add the products of one molecule and one offset, (p + 2,).

    change: sum of the patches of the two halves, `side` values a row, each of the light 1; written over;
    pixels: score and information, (H, W).
    """
    (score, information), window = pixels, slopes.windows[molecule]
    stride, unknowns = slopes.stride, slopes.values.shape[1]
    left, right, half_light = window[0] + window[2], window[0] + window[3], np.float32(photons / 2)
    for y in range(window[4], window[5]):
        pull, stiff = score[window[1] + y, left:right], information[window[1] + y, left:right]
        first, last = y * stride + window[2], y * stride + window[3]
        own, t = slopes.values[molecule, 3, first:last], change[y * side + window[2] : y * side + window[3]]
        along, square = np.float32(0), np.float32(0)
        for x in range(len(t)):
            t[x] = (t[x] - 2 * own[x]) * half_light
            along += t[x] * pull[x]
            t[x] *= stiff[x]
        for x in range(len(t)):
            square += t[x] * t[x] / max(stiff[x], np.float32(1e-20))
        terms[unknowns] += along
        terms[unknowns + 1] += square
        for a in range(unknowns):
            row, total = slopes.values[molecule, a, first:last], np.float32(0)
            for x in range(len(t)):
                total += row[x] * t[x]
            terms[a] += total


@compiled
def division_terms(
    spline: Spline,
    molecules: Molecules,
    slopes: Slopes,
    score: Array,
    information: Array,
    halves: Array,
    terms: Array,
) -> None:
    """Write, for each molecule of a frame and each offset, the products of the image's change t.

    score, information: (H, W);  halves: (D, 3) offsets of the two molecules, µm;
    terms: (n, D, p + 2): Σ t·∂μ/∂θ·information for each unknown θ, Σ t·score, Σ t²·information.
    """
    side, (height, width) = spline.side, score.shape
    (places, shares), half_side = molecules, spline.patch_px // 2
    moved, place, begin = np.empty(6, np.int64), np.empty(5), np.empty(2, np.int64)
    patch, change = np.empty(spline.patch_px * side, np.float32), np.empty(spline.patch_px * side, np.float32)
    terms[:] = 0
    for i in range(len(places)):
        window = slopes.windows[i]
        for axis in range(2):
            # The frame's first pixel, from the place of the patch in the field and in the frame.
            begin[axis] = int(np.rint(places[i, axis] / spline.pixel_um)) - half_side - window[axis]
        if window[3] <= window[2]:
            continue
        for d in range(len(halves)):
            change[:] = 0
            for sign in (1.0, -1.0):
                place[:] = places[i]
                place[:3] += sign * halves[d]
                patch_window(spline, place[0], place[1], begin, height, width, moved)
                if moved[3] > moved[2] and moved[5] > moved[4]:
                    value_patch(spline, place, shares[i], moved, begin, patch)
                    _add_moved(spline, patch, moved, window, change)
            _add_terms(slopes, i, places[i, 3], change, side, (score, information), terms[i, d])
