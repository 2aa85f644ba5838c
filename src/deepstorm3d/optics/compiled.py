"""The tabulated PSF in compiled code (Numba): patches and derivatives of one molecule at a time, on the CPU.

It computes the same as `TabulatedPSF` in PyTorch to single precision. `compiled_spline` says when to import it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..numba_cache import compiled, compiled_in_place
from .compiled_spline import Array, Spline, axial_weights, blur_filters, lateral_taps

__all__ = [
    "Array",
    "Molecules",
    "Spline",
    "add_patch",
    "compiled",
    "compiled_in_place",
    "derivative_patch",
    "expected_frames",
    "patch_window",
    "value_patch",
]

# The sums that make the derivatives of a patch: of the image (0) or its derivative in z (1), with a filter
# along y (0 value, 1 slope, 2 broader) and along x (0 value; times photons: 1 value, 2 slope, 3 broader), to
# the derivative in x, y, z, photons, blur (0 … 4).
_PASSES = np.array(
    [(1, 0, 1, 2), (0, 1, 1, 1), (0, 2, 1, 4), (0, 0, 2, 0), (0, 0, 0, 3), (0, 0, 3, 4)], dtype=np.int64
)


class Molecules(NamedTuple):
    """The molecules of one frame.

    places: (n, 5) x, y, z (µm), photons, blur (px);  shares: (n, P) weights of the field positions of the PSF.
    """

    places: Array
    shares: Array


@compiled_in_place
def patch_window(
    spline: Spline, x: float, y: float, begin: Array, height: int, width: int, window: Array
) -> None:
    """Write where a patch lies in its frame: column, row of its first pixel, then the first and last
    (exclusive) column and row of the patch that are inside the frame.

    begin: column and row of the frame's first pixel.
    """
    half, side = spline.patch_px // 2, spline.patch_px
    window[0] = int(np.rint(x / spline.pixel_um)) - half - begin[0]
    window[1] = int(np.rint(y / spline.pixel_um)) - half - begin[1]
    window[2] = min(max(0, -window[0]), side)
    window[3] = max(min(side, width - window[0]), window[2])
    window[4] = min(max(0, -window[1]), side)
    window[5] = max(min(side, height - window[1]), window[4])


@compiled_in_place
def _filter(source: Array, step: int, taps: Array, out: Array) -> None:
    """Add out[i] += Σ taps[k]·source[i + k·step] for an even number of taps, in long loops (vector code)."""
    k, number = 0, len(out)
    while k < len(taps):
        near = source[k * step :]
        a, b = taps[k], taps[k + 1]
        p, q = near[:number], near[step : step + number]
        if k + 6 <= len(taps):
            c, d, e, f = taps[k + 2], taps[k + 3], taps[k + 4], taps[k + 5]
            r, s = near[2 * step : 2 * step + number], near[3 * step : 3 * step + number]
            t, u = near[4 * step : 4 * step + number], near[5 * step : 5 * step + number]
            for i in range(number):
                out[i] += (a * p[i] + b * q[i] + c * r[i]) + (d * s[i] + e * t[i] + f * u[i])
            k += 6
        else:
            for i in range(number):
                out[i] += a * p[i] + b * q[i]
            k += 2


@compiled_in_place
def _mixed(spline: Spline, first: int, weights: Array, share: Array, top: int, bottom: int, out: Array) -> None:
    """Write the rows top … bottom of the image at a depth, on the table's samples: (phases, S·S)."""
    each, side = spline.table.shape[0] // spline.positions, spline.side
    for position in range(spline.positions):
        begin, mine = each * position + first, share[position]
        a, b = np.float32(mine * weights[0]), np.float32(mine * weights[1])
        c, d = np.float32(mine * weights[2]), np.float32(mine * weights[3])
        for phase in range(spline.oversampling**2):
            target = out[phase, top * side : bottom * side]
            p = spline.table[begin, phase, top * side : bottom * side]
            q = spline.table[begin + 1, phase, top * side : bottom * side]
            r = spline.table[begin + 2, phase, top * side : bottom * side]
            s = spline.table[begin + 3, phase, top * side : bottom * side]
            if not position:
                target[:] = 0
            for i in range(len(target)):
                target[i] += a * p[i] + b * q[i] + c * r[i] + d * s[i]


@compiled_in_place
def _down(spline: Spline, planes: Array, taps: Array, first: int, last: int, out: Array) -> None:
    """Filter the rows first … last of a patch along y: planes (phases, S·S) to out (phases in x, S·S)."""
    step, side = spline.oversampling, spline.side
    for phase in range(step**2):
        target = out[phase % step, first * side : last * side]
        if phase < step:
            target[:] = 0
        _filter(planes[phase, first * side :], side, taps[phase // step :: step], target)


@compiled_in_place
def _across(spline: Spline, rows: Array, taps: Array, first: int, last: int, out: Array) -> None:
    """Add the rows first … last of a patch, filtered along x: rows (phases in x, S·S) to out (h·S)."""
    step, side = spline.oversampling, spline.side
    for x in range(step):
        _filter(rows[x, first * side :], 1, taps[x::step], out[first * side : last * side])


@compiled
def _lateral(spline: Spline, place: Array, window: Array, begin: Array, taps: Array) -> None:
    """Write the taps of an emitter: (2, 3, T) along x and y (`lateral_taps`)."""
    filters, half = np.empty((2, 2 * spline.reach + 1)), spline.patch_px // 2
    if spline.reach:
        blur_filters(spline, place[4], filters)
    else:
        filters[0, 0], filters[1, 0] = 1.0, 0.0
    for axis in range(2):
        offset = place[axis] / spline.pixel_um - (window[axis] + begin[axis] + half)
        lateral_taps(spline, offset, filters, taps[axis])


@compiled
def value_patch(spline: Spline, place: Array, share: Array, window: Array, begin: Array, out: Array) -> None:
    """Write the fraction of an emitter's photons in each pixel of its patch: (h·S), row after row.

    place: x, y, z (µm), photons (not used), blur (px);  share: (P,) of the field positions;
    window: see `patch_window`. Only rows inside the frame are written; the first h values of a row are valid.
    """
    step, size = spline.oversampling, spline.side**2
    weights, taps = np.empty((2, 4)), np.empty((2, 3, spline.taps), np.float32)
    planes, rows = np.empty((step**2, size), np.float32), np.zeros((step, size), np.float32)
    _lateral(spline, place, window, begin, taps)
    near = axial_weights(spline, place[2], weights)
    first, last = window[4], window[5]
    _mixed(spline, near, weights[0], share, first, last + spline.taps // step, planes)
    _down(spline, planes, taps[1, 0], first, last, rows)
    out[first * spline.side : last * spline.side] = 0
    _across(spline, rows, taps[0, 0], first, last, out)


@compiled
def derivative_patch(
    spline: Spline, place: Array, share: Array, window: Array, begin: Array, out: Array
) -> None:
    """Write the derivatives of an emitter's image with respect to x, y, z (1/µm), photons (, blur): (p, h·S).

    They are those of photons times the PSF. See `value_patch`.
    """
    step, size = spline.oversampling, spline.side**2
    weights, taps = np.empty((2, 4)), np.empty((2, 3, spline.taps), np.float32)
    planes, rows = np.empty((step**2, size), np.float32), np.zeros((step, size), np.float32)
    _lateral(spline, place, window, begin, taps)
    near = axial_weights(spline, place[2], weights)
    first, last, photons = window[4], window[5], np.float32(place[3])
    along_x = np.empty((4, spline.taps), np.float32)
    along_x[0], along_x[1:] = taps[0, 0], taps[0] * photons
    out[:, first * spline.side : last * spline.side] = 0
    mixed, filtered = -1, -1
    for number in range(len(_PASSES)):
        plane, down, across, target = _PASSES[number]
        if target >= len(out):
            continue
        if plane != mixed:
            _mixed(spline, near, weights[plane], share, first, last + spline.taps // step, planes)
            mixed, filtered = plane, -1
        if down != filtered:
            _down(spline, planes, taps[1, down], first, last, rows)
            filtered = down
        _across(spline, rows, along_x[across], first, last, out[target])


@compiled_in_place
def add_patch(spline: Spline, patch: Array, window: Array, photons: float, image: Array) -> None:
    """Add photons times a patch (h·S) to its frame (H, W), in place."""
    light, first, last = np.float32(photons), window[0] + window[2], window[0] + window[3]
    for y in range(window[4], window[5]):
        target, source = image[window[1] + y, first:last], patch[y * spline.side + window[2] :]
        for x in range(len(target)):
            target[x] += light * source[x]


@compiled
def expected_frames(spline: Spline, molecules: Molecules, frame: Array, begin: Array, images: Array) -> None:
    """Add molecules of several frames to their images (B, H, W).  begin: (B, 2), see `patch_window`."""
    places, shares = molecules
    patch, window = np.empty(spline.patch_px * spline.side, np.float32), np.empty(6, np.int64)
    for i in range(len(places)):
        image, first = images[frame[i]], begin[frame[i]]
        patch_window(spline, places[i, 0], places[i, 1], first, image.shape[0], image.shape[1], window)
        if window[3] > window[2] and window[5] > window[4]:
            value_patch(spline, places[i], shares[i], window, first, patch)
            add_patch(spline, patch, window, places[i, 3], image)
