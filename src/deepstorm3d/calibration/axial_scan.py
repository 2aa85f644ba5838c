"""Places of emitters from a z-stack taken without a mask: the sharpest depth, and the spot in the plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..optics.assembly import Assembly
from ..optics.exact import ExactPSF
from ..optics.psf import patch_corner
from .shot_noise import band_pass, filtered

__all__ = ["AxialScan", "ScannedSpot", "best_focus", "scan_spots"]

Floats = NDArray[np.float64]

# σ of the filter's Gaussians, px: a sharp spot of the standard PSF, and what is taken for background around it.
_FINE_PX, _COARSE_PX = 1.2, 4.0
_DEPTH_STEP_UM = 0.05
_LEAST_SCORE, _ROUNDS, _SWEEPS = 7.0, 6, 3
# What is left of a spot that was taken away is at most this share of it; nothing dimmer is believed beside one.
_LEFT, _BESIDE_PX = 0.15, 12
_APART_PX = 7
# Two nearer than this are one: µm.
_ONE_LATERAL_UM, _ONE_AXIAL_UM = 0.15, 0.35
# Half side of the square in which the Gaussian is fitted, px.
_FIT_PX = 4
_LEAST_PLANES, _PLANES_PER_DEPTH = 5, 2.0
_LEAST_QUALITY, _CLEARLY, _NOISE = 0.5, 3.0, 0.05


@dataclass(frozen=True)
class ScannedSpot:
    """One emitter of a stack.

    xyz, sigma: (3,) µm, place and one σ from the residuals of the fits;  photons: in a plane;  quality: share
    of the axial profile's variance that the image model explains, 1 for all;  profile, model: (K,) filtered
    intensity through the planes, and that of the model, photons.
    """

    xyz: Floats
    sigma: Floats
    photons: float
    quality: float
    profile: Floats
    model: Floats


@dataclass(frozen=True)
class AxialScan:
    """A stack of a microscope without its mask.

    planes: (K, H, W) photons;  focus: (K,) nominal focal plane of each, µm;  psf: exact;  z_um: depths to
    look at.
    """

    planes: Tensor
    focus: Tensor
    psf: ExactPSF
    z_um: tuple[float, float]

    @property
    def depths(self) -> Tensor:
        """Depths of the tables, (D,) µm."""
        count = round((self.z_um[1] - self.z_um[0]) / _DEPTH_STEP_UM) + 1
        return torch.linspace(*self.z_um, max(count, 2))


def best_focus(psf: ExactPSF, z: Tensor, focus: Tensor) -> tuple[Tensor, Tensor]:
    """For each depth the nominal focal plane at which a spot is brightest (band-passed), and its brightness.

    z: (D,) µm;  focus: (K,) µm, fine steps;  returns (D,) and (D, K).  Objective travel is no depth:
    refraction makes the sharpest z of a standard PSF about 0.7 to 0.8 of the travel.
    """
    table = _profiles(psf, z, focus)
    return focus[table.argmax(1)], table


def scan_spots(
    scan: AxialScan, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[ScannedSpot]:
    """Find every emitter of a stack and measure its place.

    Each plane is band-passed; through the planes a spot follows the profile of the image model at its depth,
    which is compared with all depths.  The strongest are measured and taken away with their whole image, then
    the next are looked for, so that of two above one another both are found.  Depth: least squares of the
    profile, the image model's instead of a Gaussian because it is lopsided at depth; x and y: a 2D Gaussian
    with background in the mean of the planes where the spot is sharp.  Nehme et al. 2020, Fig. 5, whose
    positions from such a scan have this use.
    Raises InputError for too few planes, planes too far apart, and for profiles that look like no stack in
    this order.
    """
    _check_planes(scan)
    images = _images(scan.psf, scan.depths, scan.focus)
    table = _of_images(images)
    spots: list[ScannedSpot] = []
    left = scan.planes.clone()
    for turn in range(_ROUNDS):
        on_progress(turn, _ROUNDS + _SWEEPS)
        places = _candidates(left, table, spots, scan.psf.pixel_um)
        found = [spot for place in places if (spot := _measured(left, scan, table, place)) is not None]
        found = [spot for spot in found if not _remainder(spot, spots, scan.psf.pixel_um)]
        if not found:
            break
        left = left - _image(scan, images, found)
        spots += found
    for turn in range(_SWEEPS):
        on_progress(_ROUNDS + turn, _ROUNDS + _SWEEPS)
        merged = _merged(spots)
        left = left + _image(scan, images, spots) - _image(scan, images, merged)
        spots, left = _again(merged, left, scan, images, table)
    spots = _without_noise(spots)
    on_progress(_ROUNDS + _SWEEPS, _ROUNDS + _SWEEPS)
    _check_order(spots, scan, table)
    return spots


def _check_planes(scan: AxialScan) -> None:
    count = len(scan.focus)
    if count < _LEAST_PLANES:
        raise InputError(f"a stack of {count} planes shows no profile; at least {_LEAST_PLANES} are needed")
    step = float((scan.focus[1] - scan.focus[0]).abs())
    middle = scan.focus.new_tensor([sum(scan.z_um) / 2])
    fine = torch.arange(0.0, 2.5 * scan.z_um[1] + 2.0, 0.1)
    at, table = best_focus(scan.psf, middle, fine)
    width = float((table[0] > table[0].max() / 2).sum()) * 0.1
    if step * _PLANES_PER_DEPTH > width * 2:
        raise InputError(
            f"planes {step:.2g} µm apart are too few: a spot is sharp over {width:.2g} µm of travel; take "
            f"steps of at most {width:.2g} µm"
        )
    low, high = float(scan.focus.min()), float(scan.focus.max())
    if not low <= float(at) <= high:
        raise InputError(
            f"the planes reach from {low:.3g} to {high:.3g} µm of travel, but the middle of the depths "
            f"({float(middle):.3g} µm) is sharp at {float(at):.3g} µm; check --step-um, its sign, and "
            "--first-focus-um"
        )


def _profiles(psf: ExactPSF, z: Tensor, focus: Tensor) -> Tensor:
    """Filtered intensity at the middle of a spot of one photon, (D, K)."""
    return _of_images(_images(psf, z, focus))


def _of_images(images: Tensor) -> Tensor:
    """The same from images (D, K, h, w)."""
    kernel = band_pass(_FINE_PX, _COARSE_PX).to(images)
    middle = _middle(images.flatten(0, 1), kernel.shape[0])
    return (middle * kernel).sum((1, 2)).view(images.shape[:2])


def _images(psf: ExactPSF, z: Tensor, focus: Tensor) -> Tensor:
    """A spot of one photon on the middle of a pixel, at every depth in every plane: (D, K, h, w)."""
    depth, plane = (grid.flatten() for grid in torch.meshgrid(z, focus, indexing="ij"))
    xyz = torch.stack([torch.zeros_like(depth), torch.zeros_like(depth), depth], 1)
    with torch.no_grad():
        return psf(xyz, focus_um=plane).values.unflatten(0, (len(z), len(focus)))


def _middle(values: Tensor, side: int) -> Tensor:
    """The middle `side` pixels of patches; patches that are smaller get zeros around them."""
    missing = (side - values.shape[-1]) // 2
    if missing > 0:
        return functional.pad(values, (missing,) * 4)
    return values[:, -missing : values.shape[1] + missing, -missing : values.shape[2] + missing]


def _filtered(planes: Tensor) -> Tensor:
    """Planes band-passed, of their own size; near the edge the planes are continued by their edge pixels."""
    kernel = band_pass(_FINE_PX, _COARSE_PX).to(planes)
    reach = kernel.shape[0] // 2
    wide = functional.pad(planes[:, None], (reach,) * 4, mode="replicate")[:, 0]
    cut = 2 * reach
    return filtered(wide, kernel)[:, cut:-cut, cut:-cut]


def _candidates(
    left: Tensor, table: Tensor, spots: list[ScannedSpot], pixel_um: float
) -> list[tuple[int, int]]:
    """Row and column of the strongest spots of a residual stack, none near a stronger one."""
    seen = _filtered(left)
    spread = seen.flatten(1).abs().median(1).values / 0.6745
    weight = 1 / spread.clamp(min=1e-6)
    templates = table * weight
    templates = templates / templates.norm(dim=1, keepdim=True)
    score = torch.einsum("dk,khw->dhw", templates, seen * weight[:, None, None]).amax(0)
    top = functional.max_pool2d(score[None], 2 * _APART_PX + 1, stride=1, padding=_APART_PX)[0]
    rows, columns = ((score == top) & (score > _LEAST_SCORE)).nonzero().unbind(1)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _measured(left: Tensor, scan: AxialScan, table: Tensor, place: tuple[int, int]) -> ScannedSpot | None:
    """Fit the spot at a pixel of the residual stack; None where there is none."""
    pixel = scan.psf.pixel_um
    row, column = place
    reach = _FIT_PX + int(3 * _COARSE_PX) + 1
    top, left_edge = max(0, row - reach), max(0, column - reach)
    window = left[:, top : row + reach + 1, left_edge : column + reach + 1]
    profile = _filtered(window)[:, row - top, column - left_edge].double().numpy()
    depth, photons, sigma_z, quality, model = _depth(
        profile, scan.depths.double().numpy(), table.double().numpy()
    )
    if photons <= 0:
        return None
    # The planes in which the model has half of its peak or more.
    sharp = torch.from_numpy(model >= 0.5 * model.max())
    fitted = _gaussian(window[sharp].mean(0).double().numpy(), row - top, column - left_edge)
    if fitted is None:
        return None
    x, y, sigma_x, sigma_y, lost = fitted
    return ScannedSpot(
        np.array([(x + left_edge) * pixel, (y + top) * pixel, depth]),
        np.array([sigma_x * pixel, sigma_y * pixel, sigma_z]),
        photons * lost,
        quality,
        profile,
        model,
    )


def _depth(profile: Floats, depths: Floats, table: Floats) -> tuple[float, float, float, float, Floats]:
    """Depth, photons, σ of depth, quality and model of a profile (K,): least squares with a constant."""

    def fit(shape: Floats) -> tuple[float, float, float]:
        centred = shape - shape.mean()
        scale = float(centred @ (profile - profile.mean()) / max(centred @ centred, 1e-30))
        residual = profile - profile.mean() - scale * centred
        return float(residual @ residual), scale, float(profile.mean() - scale * shape.mean())

    costs = np.array([cost if scale > 0 else np.inf for cost, scale, _ in map(fit, table)])
    best = int(np.argmin(costs))
    near = np.linspace(max(best - 1, 0), min(best + 1, len(depths) - 1), 41)
    below = np.minimum(near.astype(int), len(depths) - 2)
    share = (near - below)[:, None]
    shapes = table[below] * (1 - share) + table[below + 1] * share
    fits = [fit(shape) for shape in shapes]
    index = int(np.argmin([cost for cost, _, _ in fits]))
    cost, scale, level = fits[index]
    depth = float(np.interp(near[index], np.arange(len(depths)), depths))
    total = float(np.square(profile - profile.mean()).sum())
    variance = cost / max(1, len(profile) - 3)
    after, before = min(best + 1, len(depths) - 1), max(best - 1, 0)
    slope = scale * (table[after] - table[before]) / (depths[after] - depths[before])
    sigma = (variance / max(float(np.square(slope).sum()), 1e-30)) ** 0.5
    return depth, scale, sigma, 1 - cost / max(total, 1e-30), level + scale * shapes[index]


def _gaussian(image: Floats, row: int, column: int) -> tuple[float, float, float, float, float] | None:
    """x, y and their σ (px) of a Gaussian near a pixel; and what its place off the middle cost the profile."""
    from scipy.optimize import least_squares

    top, left = max(0, row - _FIT_PX), max(0, column - _FIT_PX)
    part = image[top : row + _FIT_PX + 1, left : column + _FIT_PX + 1]
    if min(part.shape) < _FIT_PX + 1:
        return None
    y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]].astype(float)

    def residual(values: Floats) -> Floats:
        across, down, height, width, level = values
        return (level + height * np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * width**2)) - part).ravel()

    height = float(part.max() - np.median(part))
    start = [column, row, max(height, 1e-6), 1.4, float(np.median(part))]
    low = [column - 2.5, row - 2.5, 0.0, 0.7, -np.inf]
    high = [column + 2.5, row + 2.5, np.inf, 4.0, np.inf]
    fit = least_squares(residual, start, bounds=(low, high))
    variance = 2 * fit.cost / max(1, part.size - 5)
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * variance
    across, down = fit.x[:2]
    # The profile was read at the pixel's middle; of a band-passed Gaussian that loses this much.
    narrow = fit.x[3] ** 2 + _FINE_PX**2
    lost = float(np.exp(((across - column) ** 2 + (down - row) ** 2) / (2 * narrow)))
    return float(across), float(down), float(covariance[0, 0] ** 0.5), float(covariance[1, 1] ** 0.5), lost


def _remainder(spot: ScannedSpot, spots: list[ScannedSpot], pixel_um: float) -> bool:
    """Whether a spot is no more than what is left of a brighter one that was taken away."""
    return any(
        spot.photons < _LEFT * other.photons
        and float(np.hypot(*(spot.xyz - other.xyz)[:2])) < _BESIDE_PX * pixel_um
        for other in spots
    )


def _without_noise(spots: list[ScannedSpot]) -> list[ScannedSpot]:
    """Less the spots that are far dimmer than the others and have no profile: noise on a bright background."""
    if not spots:
        return spots
    usual = float(np.median([spot.photons for spot in spots]))
    return [spot for spot in spots if spot.photons > _NOISE * usual or spot.quality > _LEAST_QUALITY]


def _image(scan: AxialScan, images: Tensor, spots: list[ScannedSpot]) -> Tensor:
    """The stack that spots make, (K, H, W): images of the two nearest depths, moved by a part of a pixel."""
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
    """Spots too near one another to be told apart as one, in their common place.

    Where two stand above one another the first fits are wrong, and later rounds find what they left.
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
    """Every spot measured once more with all others taken away; those that are gone are dropped."""
    kept: list[ScannedSpot] = []
    height, width = scan.planes.shape[1:]
    for spot in spots:
        left = left + _image(scan, images, [spot])
        at = np.rint(spot.xyz / scan.psf.pixel_um)
        row, column = int(np.clip(at[1], 0, height - 1)), int(np.clip(at[0], 0, width - 1))
        new = _measured(left, scan, table, (row, column))
        if new is None or new.photons < 0.3 * spot.photons:
            continue
        left = left - _image(scan, images, [new])
        kept.append(new)
    return kept, left


def _check_order(spots: list[ScannedSpot], scan: AxialScan, table: Tensor) -> None:
    """Refuse a stack whose profiles are no profiles, or fit better in the opposite order."""
    if not spots:
        return
    quality = float(np.median([spot.quality for spot in spots]))
    if quality < _LEAST_QUALITY:
        raise InputError(
            f"through the planes the spots do not change as the image model says (it explains {quality:.0%} of "
            "it): are the planes in order, is the step right, and was the mask away?"
        )
    depths, tables = scan.depths.double().numpy(), table.double().numpy()
    reverse = [_depth(spot.profile[::-1].copy(), depths, tables)[3] for spot in spots]
    own = np.array([1 - spot.quality for spot in spots])
    ratio = (1 - np.array(reverse)) / np.maximum(own, 1e-6)
    # Pairs above one another fit neither way: only those count that fit one way much better than the other.
    if (ratio < 1 / _CLEARLY).sum() > (ratio > _CLEARLY).sum():
        raise InputError(
            "the planes fit better in the opposite order: give the step with the other sign (positive: the "
            "objective moves towards the sample from plane to plane)"
        )
