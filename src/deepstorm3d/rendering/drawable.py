"""Rows of a list that a picture shows (without far outliers and rows without σ), and the size of its pixels."""

from __future__ import annotations

import numpy as np
import torch

from ..emitters import Localizations
from ..extent import limits
from .sections import AXES, Box

__all__ = ["drawable", "picture_pixel_nm"]

# Rendered pixels along the longer side of the field, so that the picture fits on a screen.
_PICTURE_PX = 800
# Smallest rendered pixel, nm.
_FINEST_NM = 10.0


def drawable(
    table: Localizations, box: Box | None = None, *, by_sigma: bool = False
) -> tuple[Localizations, tuple[str, ...]]:
    """The rows that are drawn, and notes about the others for the user.

    box: the part that the user asked for; on an axis where it has a limit, no row counts as an outlier;
    by_sigma: whether each row is drawn as wide as its σ.
    """
    box = box or Box()
    xyz = table.xyz.detach().cpu().double().numpy()
    inside, notes = box.inside(xyz), []
    far = np.zeros(len(xyz), dtype=np.bool_)
    for column, axis in zip(xyz.T, AXES, strict=True):
        if not np.isfinite(getattr(box, axis)).any():
            low, high = limits(column[inside])
            far |= inside & ((column < low) | (column > high))
    if far.any():
        first = ", ".join(f"{axis} {value:.4g}" for axis, value in zip(AXES, xyz[far][0], strict=True))
        notes.append(
            f"{far.sum()} of {inside.sum()} localizations lie far beyond all others (the first at {first} µm) "
            "and are not drawn; give the part to draw (`box`) to change this"
        )
    keep = ~far
    vague = (table.sigma_xyz.detach().cpu() <= 0).any(dim=1).numpy() & inside & keep
    if by_sigma and table.sigma_source != "none" and vague.any():
        notes.append(
            f"{vague.sum()} of {inside.sum()} localizations have no σ and are not drawn; give one to all "
            "(`blur_um`), or draw a `histogram`, which needs none"
        )
    if not far.any():
        return table, tuple(notes)
    return table.select(torch.from_numpy(keep).to(table.frame.device)), tuple(notes)


def picture_pixel_nm(table: Localizations) -> float:
    """Size of a rendered pixel for the field, nm: 10, or more where molecules would be too small to see."""
    if not len(table):
        return _FINEST_NM
    extent_um = float((table.xyz[:, :2].amax(0) - table.xyz[:, :2].amin(0)).max())
    return max(_FINEST_NM, round(1000 * extent_um / _PICTURE_PX))
