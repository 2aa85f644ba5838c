"""The σ that a list states: medians over the rows that have one, and rows whose σ is of a failed fit.

A failed fit often states a σ of a millimetre, so a mean over all rows would not describe the others.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..emitters import Localizations

__all__ = ["failed_fits", "failed_fits_note", "median_sigma"]

# The σ of a failed fit is more than this many times the median of its axis, …
_TIMES = 10.0
# … and more than this, µm.
_LEAST_UM = 0.5
# Fraction of failed rows from which they are reported.
_TOLD_SHARE = 0.001


def median_sigma(table: Localizations) -> tuple[float, float, float] | None:
    """Median σ of x, y and z, µm; None where an axis has none."""
    if table.sigma_source == "none":
        return None
    sigma = table.sigma_xyz.detach().cpu().double()
    known = [column[column > 0] for column in sigma.T]
    if not all(len(column) for column in known):
        return None
    x, y, z = (float(np.median(column.numpy())) for column in known)
    return x, y, z


def failed_fits(table: Localizations) -> Tensor:
    """Rows (N,) bool whose σ is ten times the median of its axis or more, and above half a micrometre."""
    median = median_sigma(table)
    if median is None:
        return torch.zeros(len(table), dtype=torch.bool, device=table.xyz.device)
    bound = torch.tensor(median, device=table.xyz.device).mul(_TIMES).clamp(min=_LEAST_UM)
    return (table.sigma_xyz > bound).any(dim=1)


def failed_fits_note(table: Localizations) -> str | None:
    """How many rows are of failed fits, and how to remove them; None where they are few."""
    failed = failed_fits(table)
    count = int(failed.sum())
    if not count or count < _TOLD_SHARE * len(table):
        return None
    median = median_sigma(table)
    assert median is not None
    x, y, z = (max(_TIMES * value, _LEAST_UM) * 1000 for value in median)
    worst = 1000 * float(table.sigma_xyz[failed].max())
    return (
        f"{count} of {len(table)} rows state a σ of up to {worst:,.0f} nm, ten times the median or more: these "
        f"fits failed; filter 'sigma_x_nm < {x:.0f} & sigma_y_nm < {y:.0f} & sigma_z_nm < {z:.0f}' removes them"
    )
