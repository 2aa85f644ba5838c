"""The tabulated PSF in compiled code (Numba): patches and derivatives of one molecule at a time, on the CPU.

It computes the same as `TabulatedPSF` in PyTorch, to single precision. Import it only where it is used: Numba
takes half a second to load, and each function is compiled on its first call and then stored on the disk.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .numba_cache import compiled
from .tabulated import EXTRA_PLANES, TabulatedPSF

__all__ = ["Spline", "add_patch", "compiled", "derivative_patch", "patch_window", "spline_of", "value_patch"]

_EXTRA = EXTRA_PLANES
# The sums that make the derivatives of a patch: of the image (0) or its derivative in z (1), with a filter
# along y (0 value, 1 slope, 2 broader) and along x (0 value; times photons: 1 value, 2 slope, 3 broader), to
# the derivative in x, y, z, photons, blur (0 … 4).
_PASSES = np.array(
    [(1, 0, 1, 2), (0, 1, 1, 1), (0, 2, 1, 4), (0, 0, 2, 0), (0, 0, 0, 3), (0, 0, 3, 4)], dtype=np.int64
)
_BASE_TAPS = 7  # samples that the quintic spline reaches, without more blur

Array = NDArray[Any]


class Spline(NamedTuple):
    """The numbers of a `TabulatedPSF` in the form that compiled functions take.

    table: (positions · planes, phases, S·S) float32: the samples of every `oversampling`-th row and column are
    together, so that all sums over neighbours run along the memory;  side: S;  taps: T, samples of a filter;
    the others as in `TabulatedPSF` and `MoreBlur`.
    """

    table: Array
    side: int
    taps: int
    positions: int
    z_low: float
    z_step: float
    planes: int
    pixel_um: float
    patch_px: int
    oversampling: int
    reach: int
    blur_low: float
    blur_high: float
    first_spectrum: Array  # (reach + 1,) Ŝ(low)
    waves: Array  # (reach + 1, reach + 1), with the factors of the inverse transform
    sampled_waves: Array  # (reach + 1, R + 1)


def spline_of(psf: TabulatedPSF) -> Spline:
    """The compiled form of a tabulated PSF on the CPU, computed once."""
    if "spline" not in psf.derived:
        psf.derived["spline"] = _spline_of(psf)
    return cast(Spline, psf.derived["spline"])


def _spline_of(psf: TabulatedPSF) -> Spline:
    import torch

    more, step = psf.more_blur, psf.oversampling
    number = 2 * more.reach_px + 1
    waves = more.waves.numpy() * (np.where(np.arange(more.reach_px + 1) > 0, 2.0, 1.0) / number)[:, None]
    first, _ = more.spectrum(torch.tensor([more.low]))
    taps = -(-(_BASE_TAPS + 2 * step * more.reach_px) // (2 * step)) * 2 * step
    side = psf.patch_px + taps // step
    padded = np.zeros((len(psf.planes_array()), side * step, side * step), np.float32)
    table = psf.planes_array().numpy()
    padded[:, : table.shape[1], : table.shape[2]] = table
    split = padded.reshape(len(table), side, step, side, step).transpose(0, 2, 4, 1, 3)
    return Spline(
        np.ascontiguousarray(split).reshape(len(table), step**2, side**2), side, taps,
        1 if psf.field is None else len(psf.field.places), psf.z_range[0], psf.z_step, psf.planes, psf.pixel_um,
        psf.patch_px, step, more.reach_px, more.low, more.high,
        first[0].numpy(), np.ascontiguousarray(waves), more.sampled_waves.numpy(),
    )  # fmt: skip


@compiled
def quintic(distance: float) -> tuple[float, float]:
    """B-spline of degree 5 and its derivative."""
    d = abs(distance)
    if d < 1:
        square = d * d
        value = 11 / 20 + square * (-1 / 2 + square * (1 / 4 - d / 12))
        slope = d * (-1 + d * d * (1 - d * (5 / 12)))
    elif d < 2:
        value = 17 / 40 + d * (5 / 8 + d * (-7 / 4 + d * (5 / 4 + d * (-3 / 8 + d / 24))))
        slope = 5 / 8 + d * (-7 / 2 + d * (15 / 4 + d * (-3 / 2 + d * (5 / 24))))
    elif d < 3:
        left = 3 - d
        value, slope = left**5 / 120, -(left**4) / 24
    else:
        value, slope = 0.0, 0.0
    return value, slope if distance > 0 else -slope


@compiled
def blur_filters(spline: Spline, blur: float, filters: Array) -> None:
    """Write the filter of more blur and its derivative with respect to σ: (2, 2·reach + 1)."""
    sigma = max(min(max(blur, spline.blur_low), spline.blur_high), 1e-3)
    pixels, reach = spline.sampled_waves.shape[1], spline.reach
    kernel, rising = np.empty(pixels), np.empty(pixels)
    total = change = 0.0
    for n in range(pixels):
        kernel[n] = math.exp(-0.5 * (n / sigma) ** 2) * (2.0 if n else 1.0)
        rising[n] = kernel[n] * n * n / sigma**3
        total += kernel[n]
        change += rising[n]
    filters[:] = 0
    for m in range(reach + 1):
        value = slope = 0.0
        for n in range(pixels):
            value += kernel[n] * spline.sampled_waves[m, n]
            slope += (rising[n] - kernel[n] * change / total) * spline.sampled_waves[m, n]
        scale = 1 / (total * spline.first_spectrum[m])
        for n in range(reach + 1):
            filters[0, reach + n] += value * scale * spline.waves[m, n]
            filters[1, reach + n] += slope * scale * spline.waves[m, n]
    for n in range(1, reach + 1):
        filters[0, reach - n] = filters[0, reach + n]
        filters[1, reach - n] = filters[1, reach + n]


@compiled
def lateral_taps(spline: Spline, offset: float, filters: Array, taps: Array) -> None:
    """Write the weights of the samples around an emitter along one axis: (3, T) values, d/position, d/blur.

    T is a multiple of twice the oversampling: the last weights are 0.

    offset: of the emitter from the patch's centre pixel, px;  d/position is per µm.
    """
    step, reach = spline.oversampling, spline.reach
    taps[:] = 0
    scale = -step / spline.pixel_um
    for k in range(_BASE_TAPS):
        value, slope = quintic(-offset * step - (k - _BASE_TAPS // 2))
        for n in range(2 * reach + 1):
            taps[0, k + step * n] += filters[0, n] * value
            taps[1, k + step * n] += filters[0, n] * slope * scale
            taps[2, k + step * n] += filters[1, n] * value


@compiled
def axial_weights(spline: Spline, z: float, weights: Array) -> int:
    """Write the weights of four planes and their derivatives per µm, (2, 4); returns the first plane."""
    position = (z - spline.z_low) / spline.z_step
    inside = 0 <= position <= spline.planes - 1
    position = min(max(position, 0.0), spline.planes - 1.0)
    first = min(math.floor(position), spline.planes - 2)
    for n in range(4):
        d = position - first - (n - 1)
        a = abs(d)
        if a < 1:
            value, slope = 2 / 3 - a * a + a**3 / 2, 1.5 * a * a - 2 * a
        else:
            value, slope = max(2 - a, 0.0) ** 3 / 6, -(max(2 - a, 0.0) ** 2) / 2
        weights[0, n] = value
        weights[1, n] = (slope if d > 0 else -slope) / spline.z_step if inside else 0.0
    return first + _EXTRA - 1


@compiled
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


@compiled
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


@compiled
def _mixed(spline: Spline, first: int, weights: Array, share: Array, top: int, bottom: int, out: Array) -> None:
    """Write the rows top … bottom of the image at a depth, on the table's samples: (phases, S·S)."""
    each, side = spline.table.shape[0] // spline.positions, spline.side
    mine = np.empty(4, np.float32)
    for position in range(spline.positions):
        mine[:] = share[position] * weights
        begin = each * position + first
        a, b, c, d = mine[0], mine[1], mine[2], mine[3]
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


@compiled
def _down(spline: Spline, planes: Array, taps: Array, first: int, last: int, out: Array) -> None:
    """Filter the rows first … last of a patch along y: planes (phases, S·S) to out (phases in x, S·S)."""
    step, side = spline.oversampling, spline.side
    for phase in range(step**2):
        target = out[phase % step, first * side : last * side]
        if phase < step:
            target[:] = 0
        _filter(planes[phase, first * side :], side, taps[phase // step :: step], target)


@compiled
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


@compiled
def add_patch(spline: Spline, patch: Array, window: Array, photons: float, image: Array) -> None:
    """Add photons times a patch (h·S) to its frame (H, W), in place."""
    light, first, last = np.float32(photons), window[0] + window[2], window[0] + window[3]
    for y in range(window[4], window[5]):
        target, source = image[window[1] + y, first:last], patch[y * spline.side + window[2] :]
        for x in range(len(target)):
            target[x] += light * source[x]
