"""What the figures of a retrieval mean: sentences for the microscopist."""

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

# Unexplained share of the signal's power, and deviance over its expectation, that are not noise.
_SHARE, _DEVIANCE = 0.02, 1.15
# Deviance below that of noise, and share of its light that a bead loses, from which they are told.
_TOO_SMOOTH, _BLEACHED = 0.8, 0.4
# Correlation by which the stack run backwards has to be better to be believed.
_BACKWARDS = 0.05
_GROW = "positions grow as the objective moves towards the sample (or as the bead goes deeper)"
_SIGN = f"The sign of the step was taken as said; were it wrong, all depths would be mirrored: {_GROW}"
# Phase over the design, rad rms, that is more than an aberration; jumps at the aperture's edge.
_FAR = 2.0
_SPACING_UM = 0.3
_COVERED = 0.85
_DRIFT_UM = 0.3
# Phase by which beads differ across the field, rad rms, from which one mask does not serve all of it.
_FIELD = 0.15
# Scatter of the slices' depths over their bound: 1.0 to 1.1 where all is right, 1.8 with an index of 1.35 for
# 1.33, 3.5 with steps 5 % wrong, 8 with a jitter of 50 nm (simulated, benchmarks/RESULTS.md).
_SCATTER = 1.4
# Steps found that are not those said: by their length, and rms from even ones, nm.
_STRETCH, _UNEVEN_NM = 0.02, 20.0


def about_start(first: FirstLook, tried: int) -> list[str]:
    """Does the design explain the stack, and does the stage run the way that was given?"""
    told = _about_travel(first)
    if first.stretched is not None and first.stretched.correlation > first.reversed_correlation:
        other = first.stretched
        told.append(
            f"the design explains the stack better with steps {other.stretch:g} times as long (correlation "
            f"{other.correlation:.2f} against {first.correlation:.2f}): check the step (`step_um`), or find "
            "the positions, too (`positions=True`)"
        )
    if tried:
        told.append(
            f"the design did not explain the beads: {tried} other starts were tried. Check the result in the "
            "picture; parts of the phase may be whole turns off, which the images do not show"
        )
    if tried and first.doubtful and not first.backwards:
        told.append(
            "beads alone do not show which way the stage ran: the phase found, turned by 180° and with the "
            f"opposite sign, explains the reversed stack exactly as well. {_SIGN}"
        )
    return told


def _about_travel(first: FirstLook) -> list[str]:
    """What explains the stack better: the stage run the other way, or the mask turned?"""
    poses = first.poses
    if first.backwards and poses is not None:
        best = max(poses.as_told, poses.turned)
        return [
            f"the design explains the stack if it ran the other way (correlation {first.correlation:.2f} "
            f"against {first.reversed_correlation:.2f}), and with the mask turned in no way as well (of the "
            f"square roots {poses.backwards:.2f} against {best:.2f}): the positions were taken with the "
            "opposite sign. Check the sign of the step; if it is right, the phase of the design has the wrong "
            "sign, and depths found with this mask are mirrored"
        ]
    if poses is not None and poses.turned > poses.as_told + _BACKWARDS:
        return [
            f"the design explains the stack better {poses.orientation} (correlation of the square roots "
            f"{poses.turned:.2f}) than as it is ({poses.as_told:.2f}); as it is, the stack run the other way: "
            f"{poses.backwards:.2f}. Is the mask turned, or the sign of the step wrong? {_SIGN}"
        ]
    if first.reversed_correlation > first.correlation + _BACKWARDS:
        return [
            "the design explains the stack better if it ran the other way (correlation "
            f"{first.reversed_correlation:.2f} against {first.correlation:.2f}): check the sign of the step; "
            f"{_GROW}"
        ]
    return []


def about_images(bad: int, images: int, beads_out: list[str]) -> list[str]:
    """Which images were left out.  bad: so many of all images are explained much worse than the others."""
    told = [
        f"{name}: explained much worse than the others, left out: two beads in one, a clump, or out of place"
        for name in beads_out
    ]
    if bad > 0.1 * images and not beads_out:
        told.append(f"{bad} of {images} images are explained much worse than the others, left out")
    return told


def about_fit(deviance: float, share: float, left: float, noise: NoiseKind) -> list[str]:
    """Is what is left noise?

    share: of the signal's power that is unexplained, 0 to 1;  left: rms of what is left, over the signal's;
    noise: whose noise the images have: a deviance means something where it is the camera's.
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
        else f"{100 * left:.0f} % rms are left"
    )
    return [
        f"the model leaves {100 * share:.1f} % of the signal unexplained ({measure}): wrong positions or step, "
        "refractive index, NA, magnification or pixel size, focal length, mask pitch or camera gain, light "
        "spread unevenly over the pupil (`amplitude=True`), polarization at a high NA (`psf.kind=vectorial`), "
        "or an uneven background"
    ]


def about_bleaching(falls_by: float) -> list[str]:
    """Did the beads stay as bright as they were?  falls_by: share of its light that a bead lost, 0 to 1."""
    if falls_by < _BLEACHED:
        return []
    return [
        f"the light of the beads fell by {100 * falls_by:.0f} % from the first slice to the last: they bleach. "
        "Each slice is fitted with its own light, so the phase does not suffer, but the last slices say less: "
        "expose shorter or use dimmer light"
    ]


def about_slices(z_off_nm: float, scatter: float) -> list[str]:
    """Does every slice lie where it was said to lie?  scatter: of the depths found, over the bound."""
    if scatter < _SCATTER:
        return []
    return [
        f"localized with the phase found, slices lie {z_off_nm:.0f} nm off on average, {scatter:.1f} times "
        "what noise gives: uneven or wrong steps (give measured ones, `positions`, or find them, "
        "`positions=True`), or a refractive index that is not the sample's; depths found with this mask will "
        "be off as well"
    ]


def about_steps(stretch: float, uneven_nm: float) -> list[str]:
    """Are the steps that were found those that were said?"""
    if abs(stretch - 1) < _STRETCH and uneven_nm < _UNEVEN_NM:
        return []
    return [
        f"steps were found {stretch:.3f} times as long as said, and slices {uneven_nm:.0f} nm rms from even "
        "ones: check the stage's scale, and the refractive indices, which shift slices as well"
    ]


def about_phase(rms_rad: float, wavelength: float) -> list[str]:
    """Is it still the mask that was designed?"""
    if rms_rad < _FAR:
        return []
    return [
        f"the phase found is {rms_rad:.1f} rad rms ({1000 * rms_rad * wavelength / 6.2832:.0f} nm) from the "
        "design: more than aberrations; another or a turned mask, or mask_pitch or focal_length wrong"
    ]


def about_positions(positions_um: list[float], low: float, high: float) -> list[str]:
    """Enough slices, dense enough?"""
    told = []
    distinct = sorted(set(positions_um))
    widest = max(b - a for a, b in pairwise(distinct))
    if widest > _SPACING_UM:
        told.append(f"slices are up to {widest:.2f} µm apart: 0.05 to 0.2 µm leave less room for ambiguity")
    if len(distinct) < 15:
        told.append(f"{len(distinct)} slices are few; 20 to 60 between {low:.1f} and {high:.1f} µm are good")
    return told


def about_depths(
    position_um: tuple[float, float], needed_um: tuple[float, float], z_um: tuple[float, float], moves: Moves
) -> list[str]:
    """Does the stack show what molecules at the ends of the depth range look like?"""
    low, high = needed_um
    seen = min(high, position_um[1]) - max(low, position_um[0])
    if seen >= _COVERED * (high - low):
        return []
    what = "focus" if moves == "objective" else "depth"
    return [
        f"the stack covers {100 * max(seen, 0.0) / (high - low):.0f} % of the depth range {z_um[0]:g} to "
        f"{z_um[1]:g} µm; beyond, the PSF is a prediction. A stack from {low:.1f} to {high:.1f} µm of {what} "
        "shows all of it"
    ]


def about_drift(drift_um: float) -> list[str]:
    """Did the sample stay where it was?"""
    if drift_um < _DRIFT_UM:
        return []
    return [f"the beads drifted by {1000 * drift_um:.0f} nm during the stack; it is fitted, but wait longer"]


def about_mask_offset(mm: float, sigma_mm: float, change_rad: float) -> list[str]:
    """The mask moves over the pupil from place to place.  change_rad: by that, rms over the field."""
    where = "behind" if mm > 0 else "before"
    return [
        f"the mask seems to stand {abs(mm):.2f} ± {sigma_mm:.2f} mm {where} the pupil plane, which changes the "
        f"phase by {change_rad:.2f} rad rms over the field: the experiment found holds it "
        "(psf.field.mask_offset); better move the mask, coma and trefoil that rise over the field look alike "
        "to first order"
    ]


def about_field(differ_rad: float, left_rad: float, wavelength: float) -> list[str]:
    """Is the phase the same everywhere?  left_rad: what planes through the beads' aberrations leave, rms."""
    if differ_rad < _FIELD:
        return []
    told = (
        f"aberrations differ across the field by {differ_rad:.2f} rad rms "
        f"({1000 * differ_rad * wavelength / 6.2832:.0f} nm): one mask does not serve all of it"
    )
    if left_rad < _FIELD:
        return [
            f"{told}. The experiment found holds planes through them (psf.field), which leave {left_rad:.2f} "
            "rad: train and localize with it, on movies of the same part of the camera as these stacks"
        ]
    return [
        f"{told}, and planes through them leave {left_rad:.2f} rad: retrieve the mask from beads in the part "
        "that you image, or localize parts (`roi`) with masks of their own (`mask`)"
    ]
