"""Checks frames against camera and model: byte order, baseline, gain, noise, level of light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..camera import Camera, Noise
from ..chip import Maps
from ..errors import InputError
from .byte_order import bytes_seem_swapped
from .mean_variance import NoiseLine, noise_line
from .no_light import full_count, without_light
from .trained_levels import TrainedLevels

__all__ = ["Finding", "check_frames", "sample_for_check"]

Kind = Literal["no light", "byte order", "below baseline", "gain", "baseline", "noise", "level"]

# Number of pixels that are checked.
_SAMPLE_PIXELS = 2**18
# Slope of the variance over the predicted one below which the gain is called wrong.
_GAIN_LOW = 0.7
# The same, upper limit.
_GAIN_HIGH = 1.4
# Number of σ from which a difference is significant.
_SURE = 5.0
# Variance over the predicted one for frames of uniform brightness, which give no slope: lower limit.
_NOISE_LOW = 0.6
# The same, upper limit.
_NOISE_HIGH = 1.6
# Variance over the predicted one below which the frames are called free of noise.
_NO_NOISE = 0.01
# Error of the baseline, as a fraction of the light in the dark parts, from which it is reported …
_BASELINE_SHARE = 0.3
# … if it is also more than this, photons.
_BASELINE_PHOTONS = 3.0
# Fraction of pixels too far below the baseline from which this is reported; a dead column has fewer.
_BELOW_SHARE = 0.05
# A pixel is too far below the baseline beyond this many σ of the noise.
_BELOW_SIGMA = 4.0
# Relative deviation from the levels of the training that is accepted.
_LEVEL_SHARE = 0.5
# Deviation from the levels of the training that is accepted, in σ.
_LEVEL_SIGMA = 3.0
# Quantile of the pixels that gives the level of the dark parts.
_DARK_QUANTILE = 0.1
# Side of the window over which the dark level is averaged, px.
_SMOOTH_PX = 9
# Number of frames from which their mean is a fixed pattern of the camera, not molecules of single frames.
_PATTERN_FROM = 16
# A pixel that exceeds its brightest neighbour by this factor is a hot pixel, not a molecule.
_HOT = 3.0


@dataclass(frozen=True)
class Finding:
    """One contradiction: its kind, and in words the observation, the likely cause and the remedy."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class _Seen:
    """Measurements on the frames, in photons according to the stated camera.

    dark, middle: level of the dark parts, median of the pixels;  below: fraction of pixels farther below 0 than
    the noise explains;  line: of variance over mean, None with too few pixels;  noise: of the camera, rounding
    included;  gain: ADU per detected photo-electron, None where it is a map.
    """

    dark: float
    middle: float
    below: float
    line: NoiseLine | None
    noise: Noise
    gain: float | None

    @property
    def slope(self) -> float:
        """Slope of the variance over the mean, 1 where the gain is right."""
        assert self.line is not None
        return self.line.slope / self.noise.excess

    @property
    def excess_zero(self) -> float:
        """Photons by which the measured level without noise exceeds that of the camera."""
        assert self.line is not None
        return self.line.zero + self.noise.mean_read_variance / self.noise.excess

    def noise_over_predicted(self, gain: float = 1.0) -> float:
        """Variance over the one the camera predicts, median over levels; gain: factor on the photons."""
        assert self.line is not None
        predicted = self.noise.variance(gain * self.line.mean)
        return float((gain**2 * self.line.variance / predicted.clamp(min=1e-9)).median())


def sample_for_check(counts: NDArray[Any]) -> NDArray[Any]:
    """Frames spread evenly over a block (B, H, W), with the number of pixels that a check needs."""
    if not counts.size:
        return counts
    return counts[_spread_evenly(counts)]


def _spread_evenly(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers of the frames of (B, H, W) that a check uses."""
    most = max(1, _SAMPLE_PIXELS // counts[0].size)
    return np.unique(np.linspace(0, len(counts) - 1, min(most, len(counts))).round().astype(np.int64))


def check_frames(
    counts: NDArray[Any],
    photons: Tensor,
    camera: Camera,
    levels: TrainedLevels | None = None,
    *,
    maps: Maps | None = None,
) -> list[Finding]:
    """Contradictions between these frames and the camera or the model; empty where there are none.

    counts: (B, H, W) as the file has them;  photons: (B, H, W) the same through `camera.to_photons`;
    levels: light levels that the model was trained for, where there is a model;  maps: of the camera's pixels,
    where it has some.
    The check uses pixels below the baseline, the level of the dark parts, and the straight line of variance
    over mean (`noise_line`), whose slope is the gain and whose zero is the baseline. A finding that follows
    from another one is left out.
    """
    if reason := without_light(counts, camera.saturation):
        return [Finding("no light", reason)]
    frames = _spread_evenly(counts)
    counts, photons = counts[frames], photons[torch.from_numpy(frames)]
    if bytes_seem_swapped(counts):
        return [Finding("byte order", _swapped(counts))]
    seen = _look(counts, photons, camera, maps)
    findings = _below(seen, camera, counts)
    if camera.is_calibrated:
        findings += _noise(seen, camera, told=bool(findings))
    if levels is not None and not any(finding.kind in ("below baseline", "baseline") for finding in findings):
        findings += _level(seen, levels)
    return findings


def _look(counts: NDArray[Any], photons: Tensor, camera: Camera, maps: Maps | None) -> _Seen:
    photons = photons.detach().float().cpu()
    gain = _gain(camera)
    noise = camera.pixel_noise(maps).averaged().at_least_shot_noise()
    least = -_BELOW_SIGMA * noise.mean_read_variance**0.5 - 1.0
    line = None
    if camera.is_calibrated:
        full = torch.from_numpy(np.asarray(counts >= full_count(counts, camera.saturation)))
        try:
            limit = float(photons.max()) + 1.0
            usable = photons.masked_fill(full | _isolated(photons), limit)
            line = noise_line(usable, saturation=limit, whole=False, pattern_from=_PATTERN_FROM)
        except InputError:
            line = None
    return _Seen(
        dark=_dark(photons),
        middle=float(photons.flatten()[:: max(1, photons.numel() // 10**6)].median()),
        below=float((photons < least).float().mean()),
        line=line,
        noise=noise,
        gain=gain,
    )


def _gain(camera: Camera) -> float | None:
    """ADU for each detected photo-electron; None where it differs from pixel to pixel."""
    gain = camera.read_out.gain
    return None if gain is None else gain * camera.multiplication


def _dark(photons: Tensor) -> float:
    """Level of the darkest tenth of the frames, averaged over 9 px so that noise does not lower it."""
    side = min(_SMOOTH_PX, *photons.shape[1:])
    smooth = functional.avg_pool2d(photons[:, None], side, stride=max(1, side // 2))
    return float(smooth.flatten().quantile(_DARK_QUANTILE))


def _isolated(photons: Tensor) -> Tensor:
    """Pixels of (B, H, W) far above all their neighbours: defective ones, which are not used for the noise."""
    around = functional.pad(photons[:, None], (1, 1, 1, 1), mode="replicate")
    windows = functional.unfold(around, 3).unflatten(-1, photons.shape[1:])
    neighbours = torch.cat([windows[:, :4], windows[:, 5:]], 1).amax(1)
    dark = photons.median()
    spread = 1.4826 * (photons - dark).abs().median() + 1.0
    hot = photons - dark > _HOT * (neighbours - dark).clamp(min=0) + 6 * spread
    # A pixel defective in one frame is left out of all, or the mean over frames would spread it to the others.
    return hot.any(0).expand_as(hot)


def _swapped(counts: NDArray[Any]) -> str:
    swapped = counts.byteswap()
    return (
        "the bytes seem to be swapped: the counts jump between neighbouring pixels, from "
        f"{int(counts.min())} to {int(counts.max())} (median {float(np.median(counts)):.0f}); in the other "
        f"byte order they are plausible, {int(swapped.min())} to {int(swapped.max())} (median "
        f"{float(np.median(swapped)):.0f}); write the file in the other byte order (raw movies: byte_order of "
        "the description)"
    )


def _below(seen: _Seen, camera: Camera, counts: NDArray[Any]) -> list[Finding]:
    sigma = seen.noise.mean_read_variance**0.5
    if seen.below < _BELOW_SHARE and seen.middle > -(1.0 + sigma):
        return []
    baseline = camera.read_out.baseline
    named = "" if baseline is None else f"of {baseline:g} ADU "
    text = (
        f"the camera's baseline {named}lies above the frames: half of the pixels have "
        f"{float(np.median(counts)):g} counts or less, and {seen.below:.0%} lie farther below the baseline "
        f"than the noise explains: give the baseline of this camera{_suggested(seen, camera)}"
    )
    return [Finding("below baseline", text)]


def _suggested(seen: _Seen, camera: Camera) -> str:
    """The baseline that follows from the noise, where it can be determined."""
    baseline = camera.read_out.baseline
    if seen.line is None or seen.line.trouble or seen.gain is None or baseline is None:
        return " (`camera` baseline=...)"
    return f" (the noise suggests about {baseline + seen.gain * seen.excess_zero:.0f}: `camera` baseline=...)"


def _noise(seen: _Seen, camera: Camera, *, told: bool) -> list[Finding]:
    """Findings on gain and baseline.  told: the baseline was already found wrong."""
    line = seen.line
    if line is None:
        return []
    if line.trouble:
        ratio = seen.noise_over_predicted()
        wrong = not _NOISE_LOW < ratio < _NOISE_HIGH and not told
        return [Finding("noise", _noise_words(seen, ratio, line))] if wrong else []
    findings = []
    sigma = line.slope_sigma / seen.noise.excess
    if not _GAIN_LOW < seen.slope < _GAIN_HIGH and abs(seen.slope - 1) > _SURE * sigma:
        findings.append(Finding("gain", _gain_words(seen, camera)))
    off = seen.excess_zero
    least = max(_BASELINE_SHARE * abs(seen.dark), _BASELINE_PHOTONS, _SURE * line.zero_sigma)
    if abs(off) > least and not told:
        findings.append(Finding("baseline", _baseline_words(seen, camera)))
    return findings


def _gain_words(seen: _Seen, camera: Camera) -> str:
    said = (
        f"the noise of these frames grows by {seen.slope * seen.noise.excess:.3g} photons² with each photon, "
        f"the camera predicts {seen.noise.excess:g}"
    )
    given = camera.read_out.gain
    if given is None:
        return f"{said}: correct the camera's gain map"
    if given != 1 and _GAIN_LOW < seen.slope * given**2 < _GAIN_HIGH:
        return (
            f"{said}: the gain of {given:g} seems to be inverted, photo-electrons per count instead of "
            f"counts per photo-electron; give 1/{given:g} (`camera` gain={1 / given:.4g})"
        )
    would = f"the gain would be {given * seen.slope:.3g} ADU/e-, not {given:g} (`camera` gain=...)"
    if seen.slope < 1:
        return f"{said}: {would}, or the frames were averaged, smoothed or scaled, which reduces the noise"
    if seen.noise.excess == 1 and seen.slope < 3:
        return f"{said}: {would}, or this is an electron-multiplying camera (`camera` kind=emccd)"
    return f"{said}: {would}"


def _baseline_words(seen: _Seen, camera: Camera) -> str:
    off, line = seen.excess_zero, seen.line
    assert line is not None
    if off > 0:
        cause = (
            f"{off:.3g} of the {seen.dark:.3g} photons of the dark parts have no noise, so they are not light: "
            "the baseline is higher than the camera states"
        )
    else:
        cause = (
            f"the dark parts are noisier than {seen.dark:.3g} photons and the read noise explain, as if "
            f"{-off:.3g} photons were missing: the baseline is lower than the camera states, or the read noise "
            f"is {(seen.noise.mean_read_variance - off * seen.noise.excess) ** 0.5:.2g} photons rms"
        )
    return f"{cause}{_suggested(seen, camera)}"


def _noise_words(seen: _Seen, ratio: float, line: NoiseLine) -> str:
    if ratio < _NO_NOISE:
        return (
            f"these frames have no noise (at {float(line.mean.median()):.3g} photons per pixel): they were "
            "drawn, averaged or smoothed, or their background was subtracted and cut at zero; the model was "
            "trained with camera noise, so give the frames as the camera recorded them"
        )
    said = (
        f"at {float(line.mean.median()):.3g} photons per pixel the variance of these frames is "
        f"{float(line.variance.median()):.3g} photons², {ratio:.2g} times the value the camera predicts"
    )
    if seen.gain is not None and seen.gain != 1:
        inverted = seen.noise_over_predicted(seen.gain**2)
        if _NOISE_LOW < inverted < _NOISE_HIGH:
            return (
                f"{said}: the gain of {seen.gain:g} seems to be inverted, photo-electrons per count "
                f"instead of counts per photo-electron (`camera` gain={1 / seen.gain:.4g})"
            )
    if ratio < 1:
        return (
            f"{said}: the camera's baseline is missing, its gain is too large, or the frames were averaged, "
            "smoothed or had their background subtracted (`camera` baseline=... gain=...)"
        )
    return f"{said}: the gain is too small, the baseline too high, or the read noise higher (`camera`)"


def _level(seen: _Seen, levels: TrainedLevels) -> list[Finding]:
    def beyond(level: float) -> float:
        noise = (seen.noise.excess * level + seen.noise.mean_read_variance) ** 0.5
        return max(_LEVEL_SHARE * level, _LEVEL_SIGMA * noise)

    if levels.low - beyond(levels.low) < seen.dark < levels.most + beyond(levels.most):
        return []
    trained = f"{levels.low:.3g}" if levels.low == levels.high else f"{levels.low:.3g} to {levels.high:.3g}"
    text = (
        f"the dark parts of these frames are at {seen.dark:.3g} photons per pixel, the model was trained for "
        f"{trained}: check baseline and gain (`camera`), or train with the background of this movie "
        "(`estimate`)"
    )
    return [Finding("level", text)]
