"""Positions of emitters from a z-stack taken without a mask: the sharpest depth, and the spot in the plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...maxima import highest_around
from ...optics.assembly import Assembly
from ...optics.psf import patch_corner
from ...watch import SILENT, Watcher
from .profiles import band_passed, best_focus, profiles_of, scan_images
from .spot import AxialScan, ScannedSpot, fit_depth, measured_spot

__all__ = ["scan_spots"]

# Least value of a spot, in σ of the noise.
_LEAST_SCORE = 7.0
# Rounds in which spots are searched in the residual stack.
_ROUNDS = 6
# Number of times all spots are measured again, with the others subtracted.
_SWEEPS = 3
# Largest remainder of a subtracted spot, as a fraction of it; a dimmer spot next to it is not accepted.
_LEFT = 0.15
# Distance within which a spot may be a remainder, px.
_BESIDE_PX = 12
# Least distance of the spots found in one round, px.
_APART_PX = 7
# Lateral distance below which two spots are merged, µm.
_ONE_LATERAL_UM = 0.15
# Axial distance below which two spots are merged, µm.
_ONE_AXIAL_UM = 0.35
# Fewest planes of a stack.
_LEAST_PLANES = 5
# Fewest planes within twice the depth over which a spot is sharp.
_PLANES_PER_DEPTH = 2.0
# Least fraction of the profiles that the model must explain.
_LEAST_QUALITY = 0.5
# Ratio of residuals from which one order of the planes fits clearly better than the other.
_CLEARLY = 3.0
# Brightness, as a fraction of the median, below which a spot with a poor profile is noise.
_NOISE = 0.05


def scan_spots(scan: AxialScan, *, watch: Watcher = SILENT) -> list[ScannedSpot]:
    """Find every emitter of a stack and measure its position.

    Each plane is band-passed; through the planes a spot follows the profile of the image model at its depth,
    which is compared with all depths.  The strongest spots are measured and subtracted with their whole images,
    then the next are searched, so that of two spots above one another both are found.  Depth: least squares of
    the profile from the image model, not of a Gaussian, because the profile is asymmetric at depth; x and y: a
    2D Gaussian with background in the mean of the planes where the spot is sharp.  Nehme et al. 2020, Fig. 5,
    who use the positions of such a scan in the same way.
    Raises InputError for too few planes, planes too far apart, and for profiles that do not agree with this
    order of the planes.
    """
    _check_planes(scan)
    images = scan_images(scan.psf, scan.depths, scan.focus)
    table = profiles_of(images)
    spots: list[ScannedSpot] = []
    left = scan.planes.clone()
    for turn in range(_ROUNDS):
        watch.progress(turn, _ROUNDS + _SWEEPS)
        places = _candidates(left, table, spots, scan.psf.pixel_um)
        found = [spot for place in places if (spot := measured_spot(left, scan, table, place)) is not None]
        found = [spot for spot in found if not _remainder(spot, spots, scan.psf.pixel_um)]
        if not found:
            break
        left = left - _image(scan, images, found)
        spots += found
    for turn in range(_SWEEPS):
        watch.progress(_ROUNDS + turn, _ROUNDS + _SWEEPS)
        merged = _merged(spots)
        left = left + _image(scan, images, spots) - _image(scan, images, merged)
        spots, left = _again(merged, left, scan, images, table)
    spots = _without_noise(spots)
    watch.progress(_ROUNDS + _SWEEPS, _ROUNDS + _SWEEPS)
    _check_order(spots, scan, table)
    return spots


def _check_planes(scan: AxialScan) -> None:
    count = len(scan.focus)
    if count < _LEAST_PLANES:
        raise InputError(f"a stack of {count} planes has no profile; at least {_LEAST_PLANES} are needed")
    step = float((scan.focus[1] - scan.focus[0]).abs())
    middle = scan.focus.new_tensor([sum(scan.z_um) / 2])
    fine = torch.arange(0.0, 2.5 * scan.z_um[1] + 2.0, 0.1)
    at, table = best_focus(scan.psf, middle, fine)
    width = float((table[0] > table[0].max() / 2).sum()) * 0.1
    if step * _PLANES_PER_DEPTH > width * 2:
        raise InputError(
            f"planes {step:g} µm apart are too few: a spot is sharp over {width:.2g} µm of objective movement",
            f"take steps of at most {width:.2g} µm",
        )
    low, high = float(scan.focus.min()), float(scan.focus.max())
    if not low <= float(at) <= high:
        raise InputError(
            f"the planes cover {low:.3g} to {high:.3g} µm of objective positions, but the middle of the depths "
            f"({float(middle):.3g} µm) is sharp at {float(at):.3g} µm",
            "check the step (`step_um`), its sign, and the first focal plane (`first_focus_um`)",
        )


def _candidates(
    left: Tensor, table: Tensor, spots: list[ScannedSpot], pixel_um: float
) -> list[tuple[int, int]]:
    """Row and column of the strongest spots of a residual stack, none near a stronger one."""
    seen = band_passed(left)
    spread = seen.flatten(1).abs().median(1).values / 0.6745
    weight = 1 / spread.clamp(min=1e-6)
    templates = table * weight
    templates = templates / templates.norm(dim=1, keepdim=True)
    score = torch.einsum("dk,khw->dhw", templates, seen * weight[:, None, None]).amax(0)
    top = highest_around(score[None], _APART_PX)[0]
    rows, columns = ((score == top) & (score > _LEAST_SCORE)).nonzero().unbind(1)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _remainder(spot: ScannedSpot, spots: list[ScannedSpot], pixel_um: float) -> bool:
    """Whether a spot is only a remainder of a brighter one that was subtracted."""
    return any(
        spot.photons < _LEFT * other.photons
        and float(np.hypot(*(spot.xyz - other.xyz)[:2])) < _BESIDE_PX * pixel_um
        for other in spots
    )


def _without_noise(spots: list[ScannedSpot]) -> list[ScannedSpot]:
    """Without spots that are much dimmer than the others and have no profile: noise on a bright background."""
    if not spots:
        return spots
    usual = float(np.median([spot.photons for spot in spots]))
    return [spot for spot in spots if spot.photons > _NOISE * usual or spot.quality > _LEAST_QUALITY]


def _image(scan: AxialScan, images: Tensor, spots: list[ScannedSpot]) -> Tensor:
    """The stack that the spots produce, (K, H, W): images of the two nearest depths, shifted to subpixels."""
    shape = tuple(scan.planes.shape)
    out = torch.zeros(shape)
    side, count = images.shape[-1], len(scan.focus)
    frequency = torch.fft.fftfreq(side)
    for spot in spots:
        place = (spot.xyz[2] - scan.z_um[0]) / (scan.z_um[1] - scan.z_um[0]) * (len(images) - 1)
        below = int(np.clip(np.floor(place), 0, len(images) - 2))
        stack = torch.lerp(images[below], images[below + 1], float(place - below))
        corner, offset = patch_corner(torch.from_numpy(spot.xyz[None]).float(), scan.psf.pixel_um, side)
        phase = torch.exp(-2j * torch.pi * (frequency * offset[0, 0] + frequency[:, None] * offset[0, 1]))
        moved = torch.fft.ifft2(torch.fft.fft2(stack) * phase).real * spot.photons
        places = Assembly(corner.expand(count, 2), torch.arange(count), (side, side), shape)
        places.add(places.inside(moved), into=out)
    return out


def _merged(spots: list[ScannedSpot]) -> list[ScannedSpot]:
    """Merges spots that are too near each other to be separated, at their mean position.

    Where two are above one another the first fits are wrong, and later rounds find the remainders.
    """
    kept: list[ScannedSpot] = []
    for spot in sorted(spots, key=lambda each: -each.photons):
        for index, other in enumerate(kept):
            apart = spot.xyz - other.xyz
            if np.hypot(apart[0], apart[1]) < _ONE_LATERAL_UM and abs(apart[2]) < _ONE_AXIAL_UM:
                share = spot.photons / (spot.photons + other.photons)
                kept[index] = replace(
                    other, xyz=other.xyz + share * apart, photons=spot.photons + other.photons
                )
                break
        else:
            kept.append(spot)
    return kept


def _again(
    spots: list[ScannedSpot], left: Tensor, scan: AxialScan, images: Tensor, table: Tensor
) -> tuple[list[ScannedSpot], Tensor]:
    """Measures every spot again with all others subtracted; those that have vanished are dropped."""
    kept: list[ScannedSpot] = []
    height, width = scan.planes.shape[1:]
    for spot in spots:
        left = left + _image(scan, images, [spot])
        at = np.rint(spot.xyz / scan.psf.pixel_um)
        row, column = int(np.clip(at[1], 0, height - 1)), int(np.clip(at[0], 0, width - 1))
        new = measured_spot(left, scan, table, (row, column))
        if new is None or new.photons < 0.3 * spot.photons:
            continue
        left = left - _image(scan, images, [new])
        kept.append(new)
    return kept, left


def _check_order(spots: list[ScannedSpot], scan: AxialScan, table: Tensor) -> None:
    """Refuse a stack whose profiles do not agree with the model, or agree better in the opposite order."""
    if not spots:
        return
    quality = float(np.median([spot.quality for spot in spots]))
    if quality < _LEAST_QUALITY:
        raise InputError(
            "the spots do not change from plane to plane as the image model predicts (it explains "
            f"{quality:.0%} of the change)",
            "are the planes in order, is the step right, was the mask removed?",
        )
    depths, tables = scan.depths.double().numpy(), table.double().numpy()
    reverse = [fit_depth(spot.profile[::-1].copy(), depths, tables)[3] for spot in spots]
    own = np.array([1 - spot.quality for spot in spots])
    ratio = (1 - np.array(reverse)) / np.maximum(own, 1e-6)
    # Pairs above one another fit neither order: only spots that fit one order clearly better are counted.
    if (ratio < 1 / _CLEARLY).sum() > (ratio > _CLEARLY).sum():
        raise InputError(
            "the planes fit better in the opposite order",
            "give the step with the other sign (positive: the "
            "objective moves towards the sample from plane to plane)",
        )
