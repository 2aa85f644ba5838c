"""Camera values from a movie: what the variance line says, what a dark movie adds, what is taken as given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...camera import Camera, ReadOut
from ...errors import InputError
from ...frames.mean_variance import DarkLevel, NoiseLine, noise_line, noise_map

__all__ = ["CameraMatch", "match_camera", "noise_over_field"]

# A camera is taken to count photons if the slope of variance against mean differs from 1 by less than this.
_SLOPE_TOLERANCE = 0.05
# And if the level without light differs from 0 by less than this, ADU.
_ZERO_TOLERANCE = 5.0
_STRAIGHT = 10.0
# A dark movie belongs to the frames if it changes the slope of their line by less than this, relative, or than
# so many σ; a baseline if it is less than so many σ below the zero of the line.
_SAME_SLOPE = 0.1
_APART = 5.0
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
    known. A dark movie gives both, and is a point of the line, so that frames of even light tell the gain too;
    a known baseline gives the read noise; else the camera's read noise is kept and gives the baseline.
    Minimum-subtracted frames have no gain; there the noise over the field is measured.
    Raises InputError where too few pixels can be used, and where the dark movie is brighter than the frames.
    """
    line = noise_line(counts, saturation=camera.saturation, whole=whole)
    warnings = _general(line)
    if not camera.is_calibrated:
        return _minimum_subtracted(counts, camera, line, warnings)
    if camera.maps_named():
        notes = ["the camera has maps, which are kept as they are"]
        return CameraMatch(camera, line, warnings, notes)
    if dark is not None:
        line = _through_dark(line, dark, warnings)
    if line.trouble:
        return _without_gain(camera, line, dark, baseline, warnings)
    if camera.counts_photons and dark is None and baseline is None:
        near_zero = abs(line.zero) < max(_ZERO_TOLERANCE, 3 * line.zero_sigma)
        if abs(line.slope - 1) < max(_SLOPE_TOLERANCE, 3 * line.slope_sigma) and near_zero:
            return CameraMatch(
                camera, line, warnings, [f"the counts behave like photons: the {camera.kind} camera stays"]
            )
    return _with_gain(camera, line, dark, baseline, warnings)


def _through_dark(line: NoiseLine, dark: DarkLevel, warnings: list[str]) -> NoiseLine:
    """The line through the dark movie's point; that of the movie alone where the settings of the two differ.

    Raises InputError where the dark movie is brighter than the frames.
    """
    brightest = float(line.mean[-1])
    if dark.baseline >= brightest:
        raise InputError(
            f"the dark movie has a mean of {dark.baseline:.4g} ADU, the brightest parts of the frames one of "
            f"{brightest:.4g} ADU: it does not belong to them",
            "give one of the same camera with the same settings, with the shutter closed",
        )
    both = line.through(dark)
    apart = abs(both.slope - line.slope)
    if line.trouble or apart < max(_SAME_SLOPE * line.slope, _APART * line.slope_sigma):
        return both
    warnings.append(
        f"the dark movie does not lie on the line of variance against mean of the frames: with it the slope "
        f"is {both.slope:.3g} ADU, without it {line.slope:.3g} ± {line.slope_sigma:.2g} ADU, which is taken; "
        "was it recorded with the same camera, gain and exposure?"
    )
    return line


def _without_gain(
    camera: Camera, line: NoiseLine, dark: DarkLevel | None, baseline: float | None, warnings: list[str]
) -> CameraMatch:
    """The camera with its own gain, and what the dark movie or the user says of its baseline and read noise."""
    gain = camera.read_out.gain
    noise = None if camera.counts_photons else camera.read_out.read_noise
    kept, matched = "the camera's values are kept", None
    if gain is not None and dark is not None:
        matched = camera.with_read_out(ReadOut(gain, dark.baseline, dark.read_noise_adu / gain))
        kept = f"the camera's gain of {gain:g} is kept; baseline and read noise are those of the dark movie"
    elif gain is not None and baseline is not None:
        rms = _ASSUMED_READ_NOISE if noise is None else noise
        matched = camera.with_read_out(ReadOut(gain, baseline, rms))
        kept = f"the camera's gain of {gain:g} is kept, and the baseline that was given is taken"
    told = [*warnings, f"the movie cannot tell the gain: {line.trouble}; {kept}"]
    if matched is None:
        return CameraMatch(camera, line, told, [])
    return CameraMatch(matched, line, [*told, *_doubts_of_baseline(line, None if dark else baseline)], [])


def _with_gain(
    camera: Camera, line: NoiseLine, dark: DarkLevel | None, baseline: float | None, warnings: list[str]
) -> CameraMatch:
    """A camera of the line's slope; gain in ADU per electron that is read out."""
    per_electron = 1 / (camera.pixel_noise().excess * camera.multiplication)
    gain = line.slope * per_electron
    known = None if camera.counts_photons else camera.read_out.read_noise
    rms = _ASSUMED_READ_NOISE if known is None else known
    notes = [f"gain {gain:.4g} ± {line.slope_sigma * per_electron:.1g} ADU per electron"]
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
        if level < 0:
            notes.append(f"the noise says a baseline of {level:.3g} ± {line.zero_sigma:.2g} ADU: 0 is taken")
            level = 0.0
    matched = camera.with_read_out(ReadOut(gain, level, rms))
    if matched is None:
        notes = [f"a movie cannot tell the values of a camera of kind {camera.kind}: they are kept"]
        matched = camera
    if dark is None:
        warnings = [*warnings, *_doubts_of_baseline(line, baseline)]
    return CameraMatch(matched, line, warnings, notes)


def _doubts_of_baseline(line: NoiseLine, baseline: float | None) -> list[str]:
    """In words, why a baseline that was given cannot be that of these frames."""
    if baseline is None:
        return []
    darkest = float(line.mean[0])
    if baseline > darkest:
        fault = (
            f"above the mean of the darkest parts of the frames, {darkest:.4g} ADU, where the light would be "
            "below 0"
        )
    elif not line.trouble and baseline < line.zero - max(_ZERO_TOLERANCE, _APART * line.zero_sigma):
        fault = (
            f"below {line.zero:.4g} ± {line.zero_sigma:.2g} ADU, where the noise of the frames says that there "
            "is no light"
        )
    else:
        return []
    remedy = "give the right one (`baseline`), or a dark movie (`dark`)"
    return [f"the baseline that was given, {baseline:g} ADU, is {fault}: {remedy}"]


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
