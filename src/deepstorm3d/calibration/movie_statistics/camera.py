"""Camera values from a movie: what the variance line says, what a dark movie adds, what is taken as given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...camera import Camera, ReadOut
from ...frames.mean_variance import DarkLevel, NoiseLine, noise_line, noise_map

__all__ = ["CameraMatch", "match_camera", "noise_over_field"]

# A camera is taken to count photons if the slope of variance against mean differs from 1 by less than this.
_SLOPE_TOLERANCE = 0.05
# And if the level without light differs from 0 by less than this, ADU.
_ZERO_TOLERANCE = 5.0
_STRAIGHT = 10.0
# Read noise of a camera of which nothing is known, electrons rms: that of common sCMOS cameras.
_ASSUMED_READ_NOISE = 1.6
# Number of cells along each side of the field in which the noise of minimum-subtracted frames is measured.
_CELLS = 8
# Number of regions along each side of the field, in each of which variance is compared with the mean.
_REGIONS = 3


@dataclass(frozen=True)
class CameraMatch:
    """A camera that counts like the real one.

    camera: with the values that could be measured;  line: of variance against mean;  warnings, notes: in words,
    what is wrong and what was taken as given.
    """

    camera: Camera
    line: NoiseLine
    warnings: list[str]
    notes: list[str]


def match_camera(
    counts: Tensor,
    camera: Camera,
    *,
    dark: DarkLevel | None = None,
    baseline: float | None = None,
    whole: bool = True,
) -> CameraMatch:
    """Gain, baseline and read noise of the camera that took the frames.

    counts: (B, H, W) ADU;  camera: what is known so far;  dark: of frames without light;  baseline: ADU, known
    from elsewhere;  whole: whether the file holds whole numbers.
    The line has a slope and a zero, the camera has gain, baseline and read noise: one of the last two must be
    known. A dark movie gives both; a known baseline gives the read noise; else the camera's read noise is
    kept and gives the baseline.  Minimum-subtracted frames have no gain; there the noise over the field is
    measured.
    Raises InputError where too few pixels can be used.
    """
    line = noise_line(counts, saturation=camera.saturation, whole=whole)
    warnings = _general(line)
    if not camera.is_calibrated:
        return _minimum_subtracted(counts, camera, line, warnings)
    if camera.maps_named():
        notes = ["the camera has maps, which are kept as they are"]
        return CameraMatch(camera, line, warnings, notes)
    if line.trouble:
        warnings.append(f"the movie cannot tell the gain: {line.trouble}; the camera's values are kept")
        return CameraMatch(camera, line, warnings, [])
    if camera.counts_photons and dark is None and baseline is None:
        near_zero = abs(line.zero) < max(_ZERO_TOLERANCE, 3 * line.zero_sigma)
        if abs(line.slope - 1) < max(_SLOPE_TOLERANCE, 3 * line.slope_sigma) and near_zero:
            return CameraMatch(
                camera, line, warnings, [f"the counts behave like photons: the {camera.kind} camera stays"]
            )
    return _with_gain(camera, line, dark, baseline, warnings)


def _with_gain(
    camera: Camera, line: NoiseLine, dark: DarkLevel | None, baseline: float | None, warnings: list[str]
) -> CameraMatch:
    """A camera of the line's slope; gain in ADU per electron that is read out."""
    gain = line.slope / (camera.pixel_noise().excess * camera.multiplication)
    known = None if camera.counts_photons else camera.read_out.read_noise
    rms = _ASSUMED_READ_NOISE if known is None else known
    notes: list[str] = []
    if dark is not None:
        level, rms = dark.baseline, dark.read_noise_adu / gain
        notes.append("baseline and read noise are those of the dark movie")
    elif baseline is not None:
        level, square = baseline, (baseline - line.zero) * line.slope / gain**2
        sigma = line.zero_sigma * line.slope / gain**2
        if square > 2 * sigma:
            rms = math.sqrt(square)
            notes.append(f"read noise from the given baseline: {rms:.3g} ± {sigma / (2 * rms):.1g} e-")
        else:
            kept = "assumed, for nothing says it" if known is None else "kept"
            notes.append(
                f"the movie has too much light to tell the read noise (variance {square:.2g} ± {sigma:.2g} "
                f"e-²): {rms:g} e- is {kept}"
            )
    else:
        level = line.zero + (gain * rms) ** 2 / line.slope
        whose = "that is assumed, for nothing says it" if known is None else "that is taken as given"
        notes.append(f"baseline for a read noise of {rms:g} e- {whose}; a dark movie would tell both (`dark`)")
    matched = camera.with_read_out(ReadOut(gain, max(level, 0.0), rms))
    if matched is None:
        notes = [f"a movie cannot tell the values of a camera of kind {camera.kind}: they are kept"]
        matched = camera
    return CameraMatch(matched, line, warnings, notes)


def _minimum_subtracted(counts: Tensor, camera: Camera, line: NoiseLine, warnings: list[str]) -> CameraMatch:
    """Noise at the edge and in the middle of the field, beside that of the molecules' own photons."""
    slope, sigma = _slope_within(counts)
    notes = [f"variance rises by {slope:.2f} ± {sigma:.2f} per count of light (this camera's model: 1)"]
    if math.isinf(sigma):
        notes = [
            f"{len(counts)} frames of {counts.shape[2]} × {counts.shape[1]} px cannot tell how the variance "
            "rises with the light; it is taken to rise by 1 per count, as in this camera's model"
        ]
    if abs(slope - 1) > max(0.25, 3 * sigma):
        warnings.append(
            f"a photon seems to be {slope:.2f} counts: photons are counts here. To have photons, divide the "
            "frames by that, or use a movie before subtraction with a camera of kind scmos"
        )
    _, mean = noise_map(counts, _CELLS)
    return CameraMatch(noise_over_field(counts, camera, float(mean.min())), line, warnings, notes)


def noise_over_field(counts: Tensor, camera: Camera, baseline: float) -> Camera:
    """The camera with the noise of frames (B, H, W) of a mean baseline, less that of the molecules."""
    variance, _ = noise_map(counts, _CELLS, slope=1.0)
    sigmas = (variance + baseline).clamp(min=0.01).sqrt().flatten()
    low, high = sigmas.quantile(torch.tensor([0.05, 0.95])).tolist()
    return camera.with_noise_over_field(low, high)


def _slope_within(counts: Tensor) -> tuple[float, float]:
    """Slope of variance over mean from places of one part of the field, where the subtracted level is alike."""
    from ...errors import InputError

    slopes, weights = [], []
    for band in counts.tensor_split(_REGIONS, dim=1):
        for part in band.tensor_split(_REGIONS, dim=2):
            try:
                line = noise_line(part)
            except InputError:
                continue
            slopes.append(line.slope)
            weights.append(1 / max(line.slope_sigma, 1e-6) ** 2)
    if not slopes:
        return 1.0, float("inf")
    total = sum(weights)
    mean = sum(s * w for s, w in zip(slopes, weights, strict=True)) / total
    return mean, total**-0.5


def _general(line: NoiseLine) -> list[str]:
    warnings = []
    if line.saturated > 1e-4:
        warnings.append(f"{line.saturated:.2%} of the pixels are saturated; they were left out of the noise")
    if line.misfit > _STRAIGHT:
        warnings.append(
            f"the variance is no straight line over the mean (χ² {line.misfit:.0f} per degree of freedom): "
            "frames that were filtered, scaled or subtracted, or noise that changes over the field"
        )
    if line.fixed > max(1.0, 0.3 * float(line.variance.min().clamp(min=0)) ** 0.5):
        warnings.append(
            f"a pattern of {line.fixed:.2g} ADU rms stays the same in all frames: maps of the camera would help"
        )
    return warnings
