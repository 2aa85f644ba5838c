"""Trajectories of moving molecules, linked by the algorithm of Crocker and Grier as implemented in trackpy.

Crocker and Grier, J. Colloid Interface Sci. 179:298, 1996: of all ways to pair the molecules of one frame with
those of the next within a search range, the one with the least sum of squared distances is taken; a molecule
without a partner costs the square of the range. Here z is scaled, because error and range differ on it.
"""

from __future__ import annotations

import importlib
import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Localizations
from ..errors import InputError, MissingPackage, refuse_um
from ..watch import SILENT, Watcher
from .steps import StepModel, expected_wrong, nearest_um, neighbours_within, step_model

__all__ = ["SearchRange", "drop_short", "find_range", "link_tracks"]


# Least search range, in σ of the steps: 99.9 % of Gaussian steps in 3D are within 4 σ.
_LEAST_REACH = 4.0
# Largest search range, in σ of the steps: leaves room for molecules faster than the others.
_MOST_REACH = 6.0
# Mean number of other molecules within the range up to which the wider range is used.
_FREE_OF_OTHERS = 0.02
# Expected fraction of wrong links above which no range is suggested.
_MOST_WRONG = 0.05
# Rows with a next frame below which the steps are not estimated.
_FEW_ROWS = 50


@dataclass(frozen=True)
class SearchRange:
    """How far a molecule may move from one row of its trajectory to the next.

    lateral_um, axial_um: half axes of the ellipsoid, µm;  wrong: expected fraction of wrong links, from the
    steps and the density (None: not known);  reason: how the range was chosen, as text for the user.
    """

    lateral_um: float
    axial_um: float
    wrong: float | None = None
    reason: str = "as given"

    def __post_init__(self) -> None:
        for value in (self.lateral_um, self.axial_um):
            if not 0 < value < math.inf:
                raise InputError(f"the search range must be above 0 nm, got {1000 * value:g}")
            refuse_um("a search range", 1000 * value)


def find_range(table: Localizations) -> SearchRange:
    """The range that the list itself suggests: 4 to 6 σ of its steps on each axis (`step_model`).

    It is 6 σ where hardly any row has another molecule within it, smaller where molecules are denser, at least
    4. Raises InputError, with the numbers, where steps cannot be distinguished from chance, or where more than
    one link in twenty would be wrong.
    """
    xyz, frame = _arrays(table)
    steps = step_model(xyz, frame)
    if steps is None:
        raise InputError(
            "no two rows lie in adjacent frames, so the steps cannot be estimated",
            "give the search range (`range_nm`), and the frames (`gap`) that a molecule may miss in between",
        )
    if not steps.clear:
        raise InputError(_unclear(xyz, frame, steps))
    lateral, axial = steps.lateral_um, steps.axial_um
    told = f"steps of {1000 * lateral:.0f} nm in x and y and {1000 * axial:.0f} nm in z"
    if not np.ptp(xyz[:, 2]):
        # Without depths any range in z is the same.
        axial, told = lateral, f"steps of {1000 * lateral:.0f} nm in x and y (all rows have one depth)"
    wrong = expected_wrong(xyz, frame, lateral, axial)
    if wrong > _MOST_WRONG:
        raise InputError(
            f"molecules lie too near each other for {told} from frame to frame: about {100 * wrong:.0f} % of "
            "the links would be wrong",
            "record frames in quicker succession, or give the search range (`range_nm`) to link them anyway",
        )
    reach = _MOST_REACH
    while neighbours_within(xyz, frame, reach * lateral, reach * axial) > _FREE_OF_OTHERS:
        if reach <= _LEAST_REACH:
            break
        reach -= 0.25
    return SearchRange(reach * lateral, reach * axial, wrong, f"{reach:g} σ of the {told} that the list shows")


def link_tracks(table: Localizations, reach: SearchRange, *, gap: int = 0, watch: Watcher = SILENT) -> Tensor:
    """The trajectory of each row: (N,) int64, counted from 0 in order of first appearance.

    gap: consecutive frames in which a molecule may be missing; the range is the same across them.
    Raises InputError where trackpy is not installed, or where so many molecules lie within the range of each
    other that the assignment cannot be solved.
    """
    if gap < 0:
        raise InputError(f"a molecule cannot be missing for {gap} frames; give 0 or more")
    if not len(table):
        return torch.zeros(0, dtype=torch.int64, device=table.frame.device)
    trackpy = _trackpy()
    xyz, frame = _arrays(table)
    order = np.argsort(frame, kind="stable")
    first, last = int(frame.min()), int(frame.max())
    edges = np.searchsorted(frame[order], np.arange(first, last + 2))
    rows = [order[begin:end] for begin, end in itertools.pairwise(edges.tolist())]
    scaled = xyz / np.array([reach.lateral_um, reach.lateral_um, reach.axial_um])
    track = np.empty(len(frame), np.int64)
    try:
        # The same strategy with or without numba, and no time lost to compile.
        found = trackpy.link_iter(
            ((t, scaled[some]) for t, some in enumerate(rows)), 1.0, memory=gap, link_strategy="recursive"
        )
        for t, numbers in found:
            track[rows[t]] = numbers
            watch.progress(t + 1, len(rows))
    except trackpy.SubnetOversizeException as error:
        raise InputError(
            f"more than 30 molecules lie within the search range ({1000 * reach.lateral_um:.0f} nm, "
            f"{1000 * reach.axial_um:.0f} nm in z) of one another: too dense to link",
            "give a smaller search range (`range_nm`)",
        ) from error
    _, begin, number = np.unique(track[order], return_index=True, return_inverse=True)
    track[order] = np.argsort(np.argsort(begin))[number]
    return torch.from_numpy(track).to(table.frame.device)


def drop_short(table: Localizations, least: int) -> Localizations:
    """The rows of trajectories with at least this number of rows; trajectories are numbered again from 0."""
    assert table.track is not None
    kept = table.select(torch.bincount(table.track)[table.track] >= least) if len(table) else table
    assert kept.track is not None
    number = torch.unique(kept.track, return_inverse=True)[1]
    return replace(kept, track=number)


def _arrays(table: Localizations) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return table.xyz.detach().cpu().double().numpy(), table.frame.cpu().numpy()


def _unclear(xyz: NDArray[np.float64], frame: NDArray[np.int64], steps: StepModel) -> str:
    """Why no range can be suggested, with the numbers."""
    if steps.rows < _FEW_ROWS:
        return (
            f"only {steps.rows} rows have a next frame: too few to estimate how far molecules move; give "
            "the search range (`range_nm`)"
        )
    own, following = nearest_um(xyz, frame)
    return (
        f"the step of a molecule cannot be distinguished from chance: the nearest row of the next frame is "
        f"{1000 * following:.0f} nm away, of the same frame {1000 * own:.0f} nm (medians); molecules move too "
        "far for their density, or most rows are false: record frames in quicker succession, filter the list, "
        "or give the search range (`range_nm`)"
    )


def _trackpy() -> Any:
    try:
        module = importlib.import_module("trackpy")
    except ImportError as error:
        raise MissingPackage("tracking needs trackpy", "tracks") from error
    module.quiet()
    return module
