"""What a score test for molecules that are not in the list needs, compiled."""

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
from .normal import Slopes, crossing
from .scene import Scene, reaches

__all__ = ["score_terms"]


@compiled_in_place
def _weighted(
    patch: Array, photons: float, window: Array, stride: int, pixels: tuple[Array, Array], weighted: Array
) -> tuple[float, float]:
    """Write photons times a patch (h·S) times the information; returns its products with the score and with
    the light itself.

    pixels: score and information, (H, W).
    """
    (score, information), left, right = pixels, window[0] + window[2], window[0] + window[3]
    along, square, bright = 0.0, 0.0, np.float32(photons)
    for y in range(window[4], window[5]):
        pull, stiff = score[window[1] + y, left:right], information[window[1] + y, left:right]
        light, target = patch[y * stride + window[2] :], weighted[y * stride + window[2] :]
        one, other = np.float32(0), np.float32(0)
        for x in range(len(pull)):
            seen = bright * light[x]
            target[x] = seen * stiff[x]
            one += seen * pull[x]
            other += seen * target[x]
        along += float(one)
        square += float(other)
    return along, square


@compiled_in_place
def _products(weighted: Array, window: Array, stride: int, slopes: Slopes, molecule: int, out: Array) -> None:
    """Add the products of a patch (h·S) with the derivatives of a molecule, (p,)."""
    second, width = slopes.windows[molecule], slopes.stride
    left, right = (
        max(window[0] + window[2], second[0] + second[2]),
        min(window[0] + window[3], second[0] + second[3]),
    )
    top, bottom = (
        max(window[1] + window[4], second[1] + second[4]),
        min(window[1] + window[5], second[1] + second[5]),
    )
    if right <= left:
        return
    for y in range(top, bottom):
        first, begin = (y - window[1]) * stride - window[0], (y - second[1]) * width + left - second[0]
        here = weighted[first + left : first + right]
        for a in range(len(out)):
            there, total = slopes.values[molecule, a, begin:], np.float32(0)
            for x in range(len(here)):
                total += here[x] * there[x]
            out[a] += total


@compiled
def score_terms(
    spline: Spline,
    scene: Scene,
    new: Molecules,
    slopes: Slopes,
    pixels: tuple[Array, Array],
    terms: tuple[Array, Array, Array],
) -> None:
    """Write the products of the images of K molecules that are not in the frame's list.

    new: the molecules;  slopes: of the n in the list;  pixels: score and information, (H, W);
    terms: (K, 2) with the score, and with the image itself times the information; the same with the derivatives
    of the list, (K, n, p), and with the splines of the background, (K, k, l). All must be 0 before.
    """
    (height, width), (own, others, smooth) = scene.counts.shape, terms
    (places, shares), side, window = new, spline.side, np.empty(6, np.int64)
    patch, weighted = (
        np.empty(spline.patch_px * side, np.float32),
        np.empty((1, spline.patch_px * side), np.float32),
    )
    ends, lines = reaches(scene.columns), np.empty((smooth.shape[1], 1, side), np.float32)
    cross = np.zeros((1, smooth.shape[1], smooth.shape[2]), np.float32)
    for i in range(len(places)):
        patch_window(spline, places[i, 0], places[i, 1], scene.begin, height, width, window)
        if window[3] <= window[2] or window[5] <= window[4]:
            continue
        value_patch(spline, places[i], shares[i], window, scene.begin, patch)
        own[i, 0], own[i, 1] = _weighted(patch, places[i, 3], window, side, pixels, weighted[0])
        for j in range(len(slopes.values)):
            _products(weighted[0], window, side, slopes, j, others[i, j])
        top, bottom, left, right = crossing(scene, weighted, window, side, ends, lines, cross)
        smooth[i, top:bottom, left:right] = cross[0, top:bottom, left:right]
