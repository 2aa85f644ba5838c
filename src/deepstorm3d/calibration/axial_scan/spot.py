"""One spot of an axial scan: its depth from the profile through the planes, x and y from a 2D Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...optics.exact import ExactPSF
from .profiles import COARSE_PX, FINE_PX, band_passed

__all__ = ["AxialScan", "ScannedSpot", "fit_depth", "measured_spot"]

Floats = NDArray[np.float64]

# Step of the depths in the tables, µm.
_DEPTH_STEP_UM = 0.05
# Half side of the square in which the Gaussian is fitted, px.
_FIT_PX = 4


@dataclass(frozen=True)
class ScannedSpot:
    """One emitter of a stack.

    xyz, sigma: (3,) µm, position and one σ from the residuals of the fits;  photons: in a plane;  quality:
    fraction of the axial profile's variance that the image model explains, at most 1;  profile, model: (K,)
    filtered intensity through the planes, and that of the model, photons.
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

    planes: (K, H, W) photons;  focus: (K,) nominal focal plane of each, µm;  psf: exact;  z_um: range of depths
    that is searched.
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


def measured_spot(left: Tensor, scan: AxialScan, table: Tensor, place: tuple[int, int]) -> ScannedSpot | None:
    """Fit the spot at a pixel of the residual stack; None where there is none."""
    pixel = scan.psf.pixel_um
    row, column = place
    reach = _FIT_PX + int(3 * COARSE_PX) + 1
    top, left_edge = max(0, row - reach), max(0, column - reach)
    window = left[:, top : row + reach + 1, left_edge : column + reach + 1]
    profile = band_passed(window)[:, row - top, column - left_edge].double().numpy()
    depth, photons, sigma_z, quality, model = fit_depth(
        profile, scan.depths.double().numpy(), table.double().numpy()
    )
    if photons <= 0:
        return None
    # The planes in which the model has at least half of its peak.
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


def fit_depth(profile: Floats, depths: Floats, table: Floats) -> tuple[float, float, float, float, Floats]:
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
    """x, y and their σ (px) of a Gaussian near a pixel; and the profile's loss by its offset from the pixel."""
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
    # The profile was measured at the middle of the pixel, where a band-passed Gaussian is lower by this factor.
    narrow = fit.x[3] ** 2 + FINE_PX**2
    lost = float(np.exp(((across - column) ** 2 + (down - row) ** 2) / (2 * narrow)))
    return float(across), float(down), float(covariance[0, 0] ** 0.5), float(covariance[1, 1] ** 0.5), lost
