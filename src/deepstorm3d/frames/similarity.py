"""Similarity of simulated and real frames: distances of pixel values, local contrasts and spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["Similarity", "Spectrum", "compare_frames", "local_contrast", "radial_spectrum"]

Floats = NDArray[np.float64]

# Side of the windows of the local contrast, px.
_WINDOW_PX = 7
# Quantiles compared between two histograms.
_QUANTILES = 512
# Rings of the power spectrum.
_RINGS = 24
# Largest side of the tiles of the power spectrum, px.
_SPECTRUM_PX = 64
# Largest distance of the pixel values of similar frames, in standard deviations of the real ones.
_ALIKE_VALUES = 0.15
# Largest distance of the local contrasts of similar frames, in standard deviations of the real ones.
_ALIKE_CONTRASTS = 0.25
# Largest rms log ratio of the spectra of similar frames.
_ALIKE_SPECTRA = 0.30


@dataclass(frozen=True)
class Spectrum:
    """Mean power at each frequency: cycles per pixel (K,), power in photons² (K,)."""

    frequency: Floats
    power: Floats


@dataclass(frozen=True)
class Similarity:
    """Distance of simulated frames from real ones; 0 means identical distributions.

    values, contrasts: distance of the two histograms (Wasserstein, the mean difference of equal quantiles)
    over the standard deviation of the real one, of pixel values and of the standard deviation in windows of 7
    px; spectra: root mean square of the log ratio of the power spectra (0.3 is a factor of 1.35).
    """

    values: float
    contrasts: float
    spectra: float

    def complaints(self) -> list[str]:
        """The distances above their limits, in words; empty where there are none."""
        found = []
        for name, value, limit in (
            ("pixel values", self.values, _ALIKE_VALUES),
            ("local contrasts", self.contrasts, _ALIKE_CONTRASTS),
            ("power spectra", self.spectra, _ALIKE_SPECTRA),
        ):
            if value > limit:
                found.append(f"{name} differ by {value:.2f} (similar: up to {limit:g})")
        return found


def compare_frames(real: Floats, simulated: Floats) -> Similarity:
    """Distances between two sets of frames in the same unit, (B, H, W) and (C, h, w); the sizes may differ.

    Raises InputError where a frame is smaller than 16 px or contains a value that is not finite.
    """
    for name, frames in (("real", real), ("simulated", simulated)):
        if min(frames.shape[1:]) < 16 or not np.isfinite(frames).all():
            raise InputError(f"the {name} frames {frames.shape} must be 16 px or larger, with finite values")
    spectra = [radial_spectrum(each) for each in (real, simulated)]
    ratio = np.log(np.maximum(spectra[1].power, 1e-12) / np.maximum(spectra[0].power, 1e-12))
    return Similarity(
        values=_distance(real, simulated),
        contrasts=_distance(local_contrast(real), local_contrast(simulated)),
        spectra=float(np.sqrt(np.square(ratio).mean())),
    )


def local_contrast(frames: Floats) -> Floats:
    """Standard deviation in adjacent windows of 7 px: (B, H//7, W//7)."""
    count, height, width = frames.shape
    rows, columns = height // _WINDOW_PX, width // _WINDOW_PX
    cut = frames[:, : rows * _WINDOW_PX, : columns * _WINDOW_PX]
    return cut.reshape(count, rows, _WINDOW_PX, columns, _WINDOW_PX).std((2, 4))


def radial_spectrum(frames: Floats) -> Spectrum:
    """Power spectrum over rings, from tiles of at most 64 px without their mean, under a Hann window."""
    side = min(_SPECTRUM_PX, *frames.shape[1:])
    window = np.outer(np.hanning(side + 1)[:-1], np.hanning(side + 1)[:-1])
    total, tiles = np.zeros((side, side)), 0
    for top in range(0, frames.shape[1] - side + 1, side):
        for left in range(0, frames.shape[2] - side + 1, side):
            tile = frames[:, top : top + side, left : left + side]
            tile = (tile - tile.mean((1, 2), keepdims=True)) * window
            total += np.square(np.abs(np.fft.fft2(tile))).sum(0)
            tiles += len(tile)
    frequency = np.fft.fftfreq(side)
    distance = np.hypot(frequency[:, None], frequency)
    ring = np.minimum((distance / 0.5 * _RINGS).astype(int), _RINGS)
    inside = ring < _RINGS
    counted = np.bincount(ring[inside], minlength=_RINGS)
    power = np.bincount(ring[inside], total[inside], minlength=_RINGS) / np.maximum(counted, 1)
    some = counted > 0
    # The first ring contains the mean, which was subtracted.
    some[0] = False
    at = (np.arange(_RINGS) + 0.5) / _RINGS * 0.5
    return Spectrum(at[some], power[some] / (tiles * np.square(window).sum()))


def _distance(real: Floats, simulated: Floats) -> float:
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    first, second = (np.quantile(each, quantiles) for each in (real, simulated))
    return float(np.abs(first - second).mean() / max(float(real.std()), 1e-12))
