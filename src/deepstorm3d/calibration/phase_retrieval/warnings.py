"""Warnings about a retrieval, derived from its figures, as sentences for the microscopist."""

from __future__ import annotations

from itertools import pairwise

from ..beads.image_noise import NoiseKind
from ..beads.images import Moves
from .initial_guess import FirstLook

__all__ = [
    "about_bleaching",
    "about_depths",
    "about_drift",
    "about_field",
    "about_fit",
    "about_images",
    "about_mask_offset",
    "about_phase",
    "about_positions",
    "about_slices",
    "about_start",
    "about_steps",
]

# Unexplained fraction of the signal's power that noise does not give.
_SHARE = 0.02
# Deviance over its expectation that noise does not give.
_DEVIANCE = 1.15
# Deviance over its expectation below which the images have too little noise.
_TOO_SMOOTH = 0.8
# Fraction of its light that a bead loses, from which bleaching is reported.
_BLEACHED = 0.4
# Amount by which the correlation of the reversed stack must be better.
_BACKWARDS = 0.05
# How the sign of the positions is defined.
_GROW = "positions grow as the objective moves towards the sample (or as the bead goes deeper)"
# The consequence of a wrong sign.
_SIGN = f"The sign of the step was taken as given; if it is wrong, all depths are mirrored: {_GROW}"
# Phase relative to the design that is more than an aberration, rad rms.
_FAR = 2.0
# Largest distance between slices, µm.
_SPACING_UM = 0.3
# Least fraction of the depth range that the stack covers.
_COVERED = 0.85
# Largest drift of the beads, µm.
_DRIFT_UM = 0.3
# Phase difference between beads across the field above which one mask is not valid for all of it, rad rms.
_FIELD = 0.15
# Scatter of the slices' depths over their bound: 1.0 to 1.1 if all is right, 1.8 with an index of 1.35 instead
# of 1.33, 3.5 with an error of 5 % in the steps, 8 with a jitter of 50 nm (simulated, benchmarks/RESULTS.md).
_SCATTER = 1.4
# Relative difference of fitted and nominal steps that is reported.
_STRETCH = 0.02
# Deviation of the fitted positions from equal steps that is reported, nm rms.
_UNEVEN_NM = 20.0


def about_start(first: FirstLook, tried: int) -> list[str]:
    """Does the design explain the stack, and is the stage direction the given one?"""
    told = _about_travel(first)
    if first.stretched is not None and first.stretched.correlation > first.reversed_correlation:
        other = first.stretched
        told.append(
            f"the design explains the stack better with steps {other.stretch:g} times as long (correlation "
            f"{other.correlation:.2f} against {first.correlation:.2f}): check the step (`step_um`), or fit the "
            "positions as well (`fit_positions=True`)"
        )
    if tried:
        told.append(
            f"the design did not explain the beads: {tried} other starts were tried. Check the result in the "
            "picture; parts of the phase may be wrong by whole turns, which the images do not show"
        )
    if tried and first.doubtful and not first.backwards:
        told.append(
            "beads alone do not show in which direction the stage moved: the phase found, turned by 180° and "
            f"with the opposite sign, explains the reversed stack exactly as well. {_SIGN}"
        )
    return told


def _about_travel(first: FirstLook) -> list[str]:
    """Is the stack explained better with the other stage direction, or with the mask turned?"""
    poses = first.poses
    if first.backwards and poses is not None:
        best = max(poses.as_designed, poses.turned)
        return [
            f"the design explains the reversed stack (correlation {first.correlation:.2f} against "
            f"{first.reversed_correlation:.2f}), and no turned mask explains the stack as well (correlation of "
            f"the square roots {poses.backwards:.2f} against {best:.2f}): the positions were taken with the "
            "opposite sign. Check the sign of the step; if it is right, the phase of the design has the wrong "
            "sign, and depths found with this mask are mirrored"
        ]
    if poses is not None and poses.turned > poses.as_designed + _BACKWARDS:
        return [
            f"the design explains the stack better {poses.orientation} (correlation of the square roots "
            f"{poses.turned:.2f}) than as designed ({poses.as_designed:.2f}); as designed, in the reversed "
            f"stack: {poses.backwards:.2f}. Is the mask turned, or the sign of the step wrong? {_SIGN}"
        ]
    if first.reversed_correlation > first.correlation + _BACKWARDS:
        return [
            "the design explains the reversed stack better (correlation "
            f"{first.reversed_correlation:.2f} against {first.correlation:.2f}): check the sign of the step; "
            f"{_GROW}"
        ]
    return []


def about_images(bad: int, images: int, beads_out: list[str]) -> list[str]:
    """Which images were left out?  bad: number of images with much larger residuals than the others."""
    told = [
        f"{name}: explained much worse than the others, left out: two beads in one, a clump, or out of place"
        for name in beads_out
    ]
    if bad > 0.1 * images and not beads_out:
        told.append(f"{bad} of {images} images are explained much worse than the others, left out")
    return told


def about_fit(deviance: float, share: float, left: float, noise: NoiseKind) -> list[str]:
    """Are the residuals noise alone?

    share: unexplained fraction of the signal's power, 0 to 1;  left: rms of the residual, over the signal's;
    noise: whose noise the images have; the deviance is meaningful only with that of the camera.
    """
    if noise == "camera" and deviance < _TOO_SMOOTH:
        return [
            f"the deviance is {deviance:.3g} of what noise gives: these images have less noise than the camera "
            f"of the experiment would give them. camera.gain is too large (by {1 / max(deviance, 1e-3):.2g} "
            "times, if it is the gain alone), camera.baseline too small, or the images were averaged or "
            "filtered"
        ]
    if share < _SHARE and (noise != "camera" or deviance < _DEVIANCE):
        return []
    measure = (
        f"deviance {deviance:.2f} of what noise gives"
        if noise == "camera"
        else f"the residual is {100 * left:.0f} % rms"
    )
    return [
        f"the model leaves {100 * share:.1f} % of the signal unexplained ({measure}): wrong positions or step, "
        "refractive index, NA, magnification or pixel size, focal length, mask pitch or camera gain, light "
        "spread unevenly over the pupil (`amplitude=True`), polarization at a high NA (`psf.kind=vectorial`), "
        "or an uneven background"
    ]


def about_bleaching(falls_by: float) -> list[str]:
    """Did the beads bleach?  falls_by: fraction of its light that a bead lost, 0 to 1."""
    if falls_by < _BLEACHED:
        return []
    return [
        f"the light of the beads fell by {100 * falls_by:.0f} % from the first slice to the last: they bleach. "
        "Each slice is fitted with its own light, so the phase has no error from this, but the last slices "
        "contain less information: use a shorter exposure or less light"
    ]


def about_slices(z_off_nm: float, scatter: float) -> list[str]:
    """Are the slices at their nominal positions?  scatter: of the fitted depths, over the bound."""
    if scatter < _SCATTER:
        return []
    return [
        f"localized with the phase found, slices lie {z_off_nm:.0f} nm off on average, {scatter:.1f} times "
        "what noise gives: uneven or wrong steps (give measured ones, `positions`, or fit them, "
        "`fit_positions=True`), or a refractive index that is not the sample's; depths found with this mask "
        "will have errors as well"
    ]


def about_steps(stretch: float, uneven_nm: float) -> list[str]:
    """Are the fitted steps the nominal ones?"""
    if abs(stretch - 1) < _STRETCH and uneven_nm < _UNEVEN_NM:
        return []
    return [
        f"the fitted steps are {stretch:.3f} times the given ones, and slices deviate by {uneven_nm:.0f} nm "
        "rms from equal steps: check the stage's scale, and the refractive indices, which shift slices as well"
    ]


def about_phase(rms_rad: float, wavelength: float) -> list[str]:
    """Is it still the designed mask?"""
    if rms_rad < _FAR:
        return []
    return [
        f"the phase found differs by {rms_rad:.1f} rad rms ({1000 * rms_rad * wavelength / 6.2832:.0f} nm) "
        "from the design: more than aberrations; another or a turned mask, or mask_pitch or focal_length wrong"
    ]


def about_positions(positions_um: list[float], low: float, high: float) -> list[str]:
    """Are there enough slices, close enough?"""
    told = []
    distinct = sorted(set(positions_um))
    widest = max(b - a for a, b in pairwise(distinct))
    if widest > _SPACING_UM:
        told.append(f"slices are up to {widest:.2f} µm apart: with 0.05 to 0.2 µm the phase is less ambiguous")
    if len(distinct) < 15:
        told.append(f"{len(distinct)} slices are few; 20 to 60 between {low:z.1f} and {high:z.1f} µm are good")
    return told


def about_depths(
    position_um: tuple[float, float], needed_um: tuple[float, float], z_um: tuple[float, float], moves: Moves
) -> list[str]:
    """Does the stack contain the images of molecules at the ends of the depth range?"""
    low, high = needed_um
    seen = min(high, position_um[1]) - max(low, position_um[0])
    if seen >= _COVERED * (high - low):
        return []
    what = "focus" if moves == "objective" else "depth"
    return [
        f"the stack covers {100 * max(seen, 0.0) / (high - low):.0f} % of the depth range {z_um[0]:g} to "
        f"{z_um[1]:g} µm; beyond, the PSF is a prediction. A stack from {low:z.1f} to {high:z.1f} µm of {what} "
        "shows all of it"
    ]


def about_drift(drift_um: float) -> list[str]:
    """Did the sample drift?"""
    if drift_um < _DRIFT_UM:
        return []
    return [f"the beads drifted by {1000 * drift_um:.0f} nm during the stack; it is fitted, but wait longer"]


def about_mask_offset(mm: float, sigma_mm: float, change_rad: float) -> list[str]:
    """Is the mask in the pupil plane?  change_rad: change of the phase over the field by the offset, rms."""
    where = "behind" if mm > 0 else "before"
    return [
        f"the mask seems to stand {abs(mm):.2f} ± {sigma_mm:.2f} mm {where} the pupil plane, which changes the "
        f"phase by {change_rad:.2f} rad rms over the field: the experiment found contains this offset "
        "(psf.field.mask_offset); it is better to move the mask, because coma and trefoil that change over the "
        "field look the same to first order"
    ]


def about_field(differ_rad: float, left_rad: float, wavelength: float) -> list[str]:
    """Is the phase the same everywhere?  left_rad: rms that planes through the beads' aberrations leave."""
    if differ_rad < _FIELD:
        return []
    told = (
        f"aberrations differ across the field by {differ_rad:.2f} rad rms "
        f"({1000 * differ_rad * wavelength / 6.2832:.0f} nm): one mask is not valid for all of it"
    )
    if left_rad < _FIELD:
        return [
            f"{told}. The experiment found contains planes through them (psf.field), which leave "
            f"{left_rad:.2f} rad: train and localize with it, on movies of the same part of the camera as "
            "these stacks"
        ]
    return [
        f"{told}, and planes through them leave {left_rad:.2f} rad: retrieve the mask from beads in the part "
        "that you image, or localize parts (`roi`) with masks of their own (`mask`)"
    ]
