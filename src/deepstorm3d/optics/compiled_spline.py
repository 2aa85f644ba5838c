"""The spline of a tabulated PSF in compiled code (Numba): its numbers, and the weights of its samples.

It computes the same as `TabulatedPSF` and `spline_taps` in PyTorch. Import it only where it is used: Numba
takes half a second to load, and each function is compiled on its first call and then stored on the disk.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import compiled, compiled_in_place
from .tabulated import EXTRA_PLANES, TabulatedPSF

__all__ = ["Array", "Spline", "axial_weights", "blur_filters", "lateral_taps", "spline_of"]

_EXTRA = EXTRA_PLANES
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


@compiled_in_place
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


@compiled_in_place
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


@compiled_in_place
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
