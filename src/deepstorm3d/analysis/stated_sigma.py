"""The σ that a list states: medians over the rows that have one, and rows whose σ is of a failed fit.

A failed fit often states a σ of a millimetre, so a mean over all rows would not describe the others.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..emitters import UNKNOWN_SIGMA_UM, Localizations, knows

__all__ = ["failed_fits", "failed_fits_note", "median_sigma"]

# The σ of a failed fit is more than this many times the median of its axis, …
_TIMES = 10.0
# … and more than this, µm.
_LEAST_UM = 0.5
# A σ from here on says that the position is not known, as for `knows`, µm.
_UNKNOWN_UM = UNKNOWN_SIGMA_UM / 2
# Fraction of failed rows from which they are reported.
_TOLD_SHARE = 0.001


def median_sigma(table: Localizations) -> tuple[float, float, float] | None:
    """Median σ of x, y and z, µm, of the rows whose position is known; None where an axis has none."""
    medians = _medians(table)
    if table.sigma_source == "none" or None in medians:
        return None
    x, y, z = (value for value in medians if value is not None)
    return x, y, z


def failed_fits(table: Localizations) -> Tensor:
    """Rows (N,) bool whose position is not known, or whose σ is ten times the median of its axis or more, and
    above half a micrometre."""
    return _failed_axes(table).any(dim=1)


def failed_fits_note(table: Localizations) -> str | None:
    """How many rows are of failed fits, and how to remove them; None where they are few."""
    axes = _failed_axes(table)
    failed = axes.any(dim=1)
    count = int(failed.sum())
    if not count or count < _TOLD_SHARE * len(table):
        return None
    # A condition on an axis that the list does not know would keep nothing.
    kept = " & ".join(
        f"sigma_{name}_nm < {1000 * limit:.0f}"
        for name, limit, some in zip("xyz", _limits(table), axes.any(dim=0).tolist(), strict=True)
        if some
    )
    worst = float(table.sigma_xyz[failed].max())
    stated = f"a σ of up to {1000 * worst:,.0f} nm, ten times the median or more"
    if worst > _UNKNOWN_UM:
        stated = "that their place is not known (a σ of 1 mm), or a σ of ten times the median or more"
    return f"{count} of {len(table)} rows state {stated}: these fits failed; filter '{kept}' removes them"


def _failed_axes(table: Localizations) -> Tensor:
    """`failed_fits` by each axis, (N, 3) bool."""
    if table.sigma_source == "none":
        return torch.zeros_like(table.sigma_xyz, dtype=torch.bool)
    return table.sigma_xyz > torch.tensor(_limits(table), device=table.xyz.device)


def _medians(table: Localizations) -> list[float | None]:
    """Median σ of each axis over the rows that know it, µm; None where none does."""
    sigma = table.sigma_xyz.detach().cpu().double()
    known = [column[knows(column)] for column in sigma.T]
    return [float(np.median(column.numpy())) if len(column) else None for column in known]


def _limits(table: Localizations) -> list[float]:
    """σ of each axis above which a fit failed, µm."""
    return [
        _UNKNOWN_UM if median is None else min(max(_TIMES * median, _LEAST_UM), _UNKNOWN_UM)
        for median in _medians(table)
    ]
