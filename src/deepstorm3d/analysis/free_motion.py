"""Whether molecules move as free diffusion at their D would move them: on each axis, in all, all at one D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..emitters import Localizations
from .diffusion import Diffusion, Displacements, diffusion

__all__ = ["axes_doubts", "motion_doubts", "weight_doubts"]

# Where the displacement is held against free diffusion, frames.
_CHECKED_LAG = 10
# So far from free diffusion it is told: in standard errors, and as a share.
_TOLD_SIGMA = 3.0
_TOLD_SHARE = 0.2
# Chance of axes that differ as much, below which it is told that their D is not the same.
_TOLD_CHANCE = 1e-3
# Fewest trajectories of which it is told that one has more than half of the steps.
_FEWEST_TRACKS = 3

Floats = NDArray[np.float64]


def motion_doubts(found: Diffusion, moved: Displacements, interval: float, exposure: float) -> list[str]:
    """Where the mean square displacement after ten frames is not 2 D t, on an axis or on all together.

    Each axis is held against its own D, as motion need not be alike on all: molecules of a membrane move in it
    alone.
    """
    late = np.flatnonzero(moved.lags == min(_CHECKED_LAG, int(moved.lags[-1])))[0]
    lag = int(moved.lags[late])
    if lag <= 2:
        return []
    d = np.array([axis.coefficient for axis in found.axes]) * interval
    d_error = np.array([axis.coefficient_error for axis in found.axes]) * interval
    sigma = np.array([axis.sigma_um for axis in found.axes])
    free, free_error = 2 * lag * d, 2 * lag * d_error
    seen = moved.square_um2[late] - 2 * sigma**2 + 4 * (exposure / interval / 6) * d
    # Few trajectories scatter less than they should by chance: no error is below that of free diffusion.
    least = np.abs(moved.square_um2[late]) * np.sqrt(4 * lag / 3 / moved.pairs[late])
    error = np.hypot(np.maximum(moved.error_um2[late], least), free_error)
    off = [axis for axis in range(3) if _apart(seen[axis], free[axis], error[axis])]
    if not off and _apart(seen.sum(), free.sum(), float(np.sqrt((error**2).sum()))):
        return [_told("in all", lag, [seen.sum() / free.sum()])] if free.sum() > 0 else []
    known = free > 2 * free_error
    still = [axis for axis in off if not known[axis]]
    notes = []
    if still:
        notes.append(
            f"{_on(still)} D is not above 0, yet after {lag} frames molecules moved: the motion is not free"
        )
    for less in (True, False):
        alike = [axis for axis in off if known[axis] and (seen[axis] < free[axis]) == less]
        if alike:
            notes.append(_told(_on(alike), lag, [seen[axis] / free[axis] for axis in alike]))
    return notes


def axes_doubts(found: Diffusion) -> list[str]:
    """Where D of the axes differs beyond chance and by more than a fifth, so that no mean describes them."""
    each = {
        name: axis.coefficient
        for name, axis, measured in zip("xyz", found.axes, found.measured, strict=True)
        if measured
    }
    if found.alike > _TOLD_CHANCE:
        return []
    if max(each.values()) - min(each.values()) < _TOLD_SHARE * abs(found.coefficient):
        return []
    shown = ", ".join(f"{d:.3g} on {name}" for name, d in each.items())
    return [
        f"D differs between the axes by more than chance ({shown}): molecules do not move alike on all, or the "
        f"depth scale is off; D of all, {found.coefficient:.3g}, is a mean that describes none of them: use D "
        "of each axis"
    ]


def weight_doubts(table: Localizations, found: Diffusion, interval: float, exposure: float) -> list[str]:
    """Where one trajectory has more than half of all steps, so that D says little of the other molecules.

    table: with `track`, of which `found` is the diffusion.
    """
    if found.tracks < _FEWEST_TRACKS or 2 * found.most <= found.steps:
        return []
    assert table.track is not None
    alone = table.track == found.longest
    one, others = (diffusion(table.select(of), interval=interval, exposure=exposure) for of in (alone, ~alone))
    assert one is not None and others is not None
    apart = (
        f"D of it alone is {one.coefficient:.3g} ± {one.coefficient_error:.2g}, of the others "
        f"{others.coefficient:.3g} ± {others.coefficient_error:.2g}"
    )
    return [
        f"one of {found.tracks} trajectories (track {found.longest}) has {found.most} of {found.steps} steps: "
        f"D of all is mostly that of this one molecule ({apart})"
    ]


def _apart(seen: float, free: float, error: float) -> bool:
    return bool(abs(seen - free) > max(_TOLD_SIGMA * error, _TOLD_SHARE * abs(free)))


def _on(axes: Sequence[int]) -> str:
    return f"on {', '.join('xyz'[axis] for axis in axes)}"


def _told(where: str, lag: int, ratios: Sequence[float]) -> str:
    kind = "confined or hindered" if ratios[0] < 1 else "directed"
    times = ", ".join(f"{max(ratio, 0.0):.2f}" for ratio in ratios)
    return (
        f"{where} molecules have got {times} times as far (mean square) after {lag} frames as free diffusion "
        f"at this D takes them: {kind}; D is that of the shortest time"
    )
