"""By how much depths of the second channel exceed those of the first, and whether that is one number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DepthOffset", "depth_offset"]

Floats = NDArray[np.float64]

# Fewest pairs that tell an offset.
_LEAST = 4
# A slope is told from this many of its σ, and where over the range it makes more than this, µm.
_SIGMAS = 5.0
_MATTERS_UM = 0.03
# Differences farther from the median than this many robust σ are left out.
_FAR = 4.0


@dataclass(frozen=True)
class DepthOffset:
    """Depth in the second channel less that in the first.

    median_um, sigma_um: of the difference;  scatter_um: of single pairs;  pairs: how many;
    changes: sentences, one for each of z, x, y along which the difference changes.
    """

    median_um: float
    sigma_um: float
    scatter_um: float
    pairs: int
    changes: tuple[str, ...]


def depth_offset(xy: Floats, first: Floats, second: Floats) -> DepthOffset | None:
    """Of partners: xy (P, 2) µm in the first channel, depths (P,) µm in both; None for lists without depth."""
    if len(first) < _LEAST or float(np.ptp(first)) == 0 or float(np.ptp(second)) == 0:
        return None
    difference = second - first
    middle = float(np.median(difference))
    scatter = 1.4826 * float(np.median(np.abs(difference - middle)))
    near = np.abs(difference - middle) <= max(_FAR * scatter, 1e-9)
    # The standard error of a median is 1.25 times that of the mean.
    sigma = 1.2533 * scatter / np.sqrt(len(difference))
    # Both depths are measured: their mean, not one of them, shows a slope that is none of the noise.
    along = np.column_stack([(first + second) / 2, xy])[near]
    changes = _changes(along, difference[near])
    return DepthOffset(middle, float(sigma), scatter, len(difference), changes)


def _changes(along: Floats, difference: Floats) -> tuple[str, ...]:
    """Sentences for the axes along which the difference has a slope, by least squares for all three at once."""
    count = len(difference)
    if count < 12:
        return ()
    design = np.column_stack([np.ones(count), along - along.mean(0)])
    solved, _, rank, _ = np.linalg.lstsq(design, difference, rcond=None)
    if rank < design.shape[1]:
        return ()
    left = difference - design @ solved
    variance = float(left @ left) / (count - design.shape[1]) * np.linalg.inv(design.T @ design).diagonal()
    told = []
    for axis, name in enumerate(("depth", "x", "y")):
        slope, error = float(solved[1 + axis]), float(np.sqrt(variance[1 + axis]))
        low, high = np.quantile(along[:, axis], (0.05, 0.95))
        if abs(slope) > _SIGMAS * error and abs(slope) * (high - low) > _MATTERS_UM:
            told.append(
                f"the depth offset changes with {name}: by {1000 * slope * (high - low):+.0f} nm from "
                f"{low:z.1f} to {high:z.1f} µm (slope {1000 * slope:+.1f} ± {1000 * error:.1f} nm/µm)"
            )
    return tuple(told)
