"""Local maxima of a heat map on voxels, and their sub-voxel positions."""

from __future__ import annotations

import torch
from torch import Tensor

from ..maxima import highest_around

__all__ = ["centre_of_gravity", "find_peaks", "gaussian_vertex"]

# Voxels above the threshold are few if the cubes around them hold less than 1/16 of all voxels.
_FEW = 16


def find_peaks(heat: Tensor, threshold: float, radius: int = 1) -> Tensor:
    """Voxels above the threshold that are the maximum of the cube within `radius` voxels.

    heat: (B, D, H, W), not negative;  returns (K, 4) int64 indices (frame, plane, row, column), in that order.
    """
    bright = _above(heat, threshold)
    if _FEW * len(bright) * (2 * radius + 1) ** 3 > heat.numel():
        return torch.nonzero((heat == highest_around(heat, radius)) & (heat > threshold))
    # Nearly every voxel of a trained network's output is empty: only the cubes of the others are compared.
    cubes = _neighbourhoods(heat, bright, radius)
    return bright[cubes[:, radius, radius, radius] == cubes.amax((1, 2, 3))]


def _above(heat: Tensor, threshold: float) -> Tensor:
    """Voxels above the threshold: (K, 4), in the order of their indices.

    The few columns of voxels that have any are looked for first: listing all voxels takes ten times as long.
    """
    frame, row, column = torch.nonzero(heat.amax(1) > threshold).unbind(1)
    which, plane = torch.nonzero(heat[frame, :, row, column] > threshold).unbind(1)
    _, planes, height, width = heat.shape
    frame, row, column = frame[which], row[which], column[which]
    order = (((frame * planes + plane) * height + row) * width + column).argsort()
    return torch.stack([frame, plane, row, column], 1)[order]


def _neighbourhoods(heat: Tensor, peaks: Tensor, radius: int) -> Tensor:
    """Cubes around the peaks, zero outside the volume: (K, w, w, w), w = 2·radius + 1, plane first."""
    reach = torch.arange(-radius, radius + 1, device=heat.device)
    around = torch.stack(torch.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    place = peaks[:, None, 1:] + around
    size = torch.tensor(heat.shape[1:], device=heat.device)
    inside = ((place >= 0) & (place < size)).all(-1)
    plane, row, column = place.clamp(min=0).minimum(size - 1).unbind(-1)
    values = heat[peaks[:, :1], plane, row, column] * inside
    width = 2 * radius + 1
    return values.view(-1, width, width, width)


def centre_of_gravity(heat: Tensor, peaks: Tensor, radius: int = 1) -> Tensor:
    """Centre of gravity of each peak's cube, in voxels: (K, 3), ordered column, row, plane."""
    cubes = _neighbourhoods(heat, peaks, radius)
    reach = torch.arange(-radius, radius + 1, device=heat.device, dtype=heat.dtype)
    weight = cubes.sum((1, 2, 3)).clamp(min=1e-12)
    shift = [(cubes.sum(axes) * reach).sum(1) / weight for axes in ((1, 2), (1, 3), (2, 3))]
    return peaks[:, [3, 2, 1]] + torch.stack(shift, 1)


def gaussian_vertex(heat: Tensor, peaks: Tensor) -> Tensor:
    """Centre of the Gaussian through three samples of each peak along each axis, in voxels.

    The logarithm of a Gaussian is a parabola, so δ = (l₋ − l₊)/(2(l₋ − 2l₀ + l₊)) is exact for a heat
    map of Gaussians. A centre of gravity in a small window would be biased towards the voxel's centre.
    Returns (K, 3), ordered column, row, plane.
    """
    logs = _neighbourhoods(heat, peaks, 1).clamp(min=1e-4).log()
    middle = logs[:, 1, 1, 1]
    pairs = (
        (logs[:, 1, 1, 0], logs[:, 1, 1, 2]),
        (logs[:, 1, 0, 1], logs[:, 1, 2, 1]),
        (logs[:, 0, 1, 1], logs[:, 2, 1, 1]),
    )
    shift = [(low - high) / (2 * (low - 2 * middle + high).clamp(max=-1e-3)) for low, high in pairs]
    return peaks[:, [3, 2, 1]] + torch.stack(shift, 1).clamp(-0.75, 0.75)
