"""Checks whether dark and bright movies are suitable for camera maps, and warnings about the maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .photon_transfer import DarkCheck, LightLevel, PhotonTransfer
from .pixel_moments import PixelMoments

__all__ = ["refuse_level", "warnings_of"]

# Largest fraction of saturated pixels (hot ones) in a bright movie.
_FULL = 0.01
# Largest change of the light within a movie, as a factor; a larger one means several levels.
_STEADY = 2.0
# Relative change of the common light between frames that is reported, rms.
_FLICKER = 0.005
# Factor by which slow changes increase the variance, from which they are reported.
_SLOW = 1.02
# Relative difference of the gains of the levels that is reported.
_LEVELS_AGREE = 0.03
# Bias of other dark frames that is reported, e-.
_BIAS_SHARE = 0.1
# Scatter of other dark frames that is reported, relative to chance.
_SCATTER = 1.2
# Relative change of the variance of other dark frames that is reported.
_VARIANCE = 0.05
# Change of the dark level that is reported, relative to the noise of a pixel.
_DARK_DRIFT = 0.2
# Fraction of defective pixels that is reported.
_DEFECTS = 1e-3


def refuse_level(
    path: Path,
    common: NDArray[np.float64],
    dark: PixelMoments,
    full: NDArray[np.bool_] | None = None,
    end: float = np.inf,
) -> None:
    """Raises InputError for a bright movie that is dark, saturated, or of several levels.

    common: (n,) mean of its frames over the dark level, ADU;  full: pixels at the greatest count, end.
    """
    level, noise = float(common.min()), float(np.median(dark.variance)) ** 0.5
    # Below this level the light cannot be distinguished from the noise and drift of the dark frames' mean.
    if level <= max(0.5 * noise, 0.2):
        raise InputError(
            f"{path} is darker than it should be: its frames lie {level:+.2f} ADU from the dark movie's "
            f"{dark.mean.mean():.1f} ADU, whose noise is {noise:.2f} ADU",
            "give even light of 50 or more photons a pixel; were the dark and bright movies exchanged?",
        )
    if full is not None and full.mean() > _FULL:
        raise InputError(
            f"{path} is saturated: {full.mean():.0%} of the pixels reach the greatest count, {end:.0f} ADU",
            "take less light or a shorter exposure",
        )
    if float(common.max()) > _STEADY * level:
        raise InputError(
            f"the light of {path} changes from {level:.0f} to {common.max():.0f} ADU over the dark level",
            "give each level as a movie of its own, or let the lamp warm up",
        )


def warnings_of(
    transfer: PhotonTransfer,
    dark: PixelMoments,
    levels: Sequence[LightLevel],
    check: DarkCheck,
    names: Sequence[str],
) -> list[str]:
    """Reasons to doubt the maps, as sentences."""
    told: list[str] = []
    for level, name in zip(levels, names, strict=True):
        told += _of_light(level, name)
    by_level = transfer.by_level
    if len(by_level) > 1 and max(by_level) - min(by_level) > _LEVELS_AGREE * transfer.mean_gain:
        each = ", ".join(f"{name} {gain:.3g}" for name, gain in zip(names, by_level, strict=True))
        told.append(
            f"the levels give different gains ({each} ADU/e-): the camera is not linear or near saturation, or "
            "the light moved over the field"
        )
    if transfer.defects.mean() > _DEFECTS:
        told.append(
            f"{int(transfer.defects.sum())} pixels ({transfer.defects.mean():.2%}) are defective (no plausible "
            "gain, or one count in all dark frames) and got the mean; light that does not reach all of the "
            "field has the same effect"
        )
    told += _of_dark(dark)
    return told + _of_check(check, transfer.mean_gain)


def _of_light(level: LightLevel, name: str) -> list[str]:
    told = []
    flicker = float(level.light.std() / level.light.mean())
    if flicker > _FLICKER:
        ends = np.array_split(level.light, 4)
        drift = float(ends[-1].mean() / ends[0].mean() - 1)
        told.append(
            f"{name}: the lamp's light changes by {flicker:.1%} rms from frame to frame ({drift:+.1%} from the "
            "first to the last quarter); the part common to all pixels was corrected"
        )
    if level.moments.slowness > _SLOW:
        told.append(
            f"{name}: light that moves over the field adds {level.moments.slowness - 1:.0%} to the variance, "
            "and so to the gain: use a lamp whose light does not move, or less light and more frames"
        )
    if level.full.any():
        told.append(f"{name}: {int(level.full.sum())} saturated pixels were left out of the gain")
    return told


def _of_dark(dark: PixelMoments) -> list[str]:
    steps, noise = np.array(dark.level), float(np.median(dark.variance)) ** 0.5
    drift = float(steps.std())
    told = []
    if dark.blank:
        told.append(
            f"{dark.still.mean():.0%} of the pixels give one count in all {dark.count} dark frames, and get a "
            "read noise of 0: the movie is blank, clipped or processed, or the noise is lost in rounding"
        )
    elif drift > _DARK_DRIFT * noise:
        told.append(
            f"the dark level of whole frames changes by {drift:.2f} ADU rms, {drift / noise:.0%} of a pixel's "
            "noise: let the camera warm up, and record the dark movie right before or after the others"
        )
    return told


def _of_check(check: DarkCheck, gain: float) -> list[str]:
    told = []
    if abs(check.bias) > _BIAS_SHARE * gain or check.scatter > _SCATTER:
        told.append(
            f"dark frames of another time differ by {check.bias:+.2f} ADU ({check.bias / gain:+.2f} e-), and "
            f"the pixels scatter {check.scatter:.2f} times as much as chance gives: the baseline is not stable"
        )
    if abs(check.variance_ratio - 1) > _VARIANCE:
        told.append(
            f"the variance of dark frames of another time is {check.variance_ratio:.2f} times as large: "
            "exposure, temperature or read-out mode differ"
        )
    return told
