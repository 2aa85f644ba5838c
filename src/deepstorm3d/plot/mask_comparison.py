"""The picture of a comparison of masks: completeness and errors against density, and each mask with its PSF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .mask import MaskedPSF, draw_mask_row
from .panels import Target, new_figure, save_figure

__all__ = ["comparison_figure"]

_PANELS = (
    ("jaccard", "Jaccard index"),
    ("rmse_lateral_nm", "lateral RMSE (nm)"),
    ("rmse_axial_nm", "axial RMSE (nm)"),
)


@torch.no_grad()
def comparison_figure(
    rows: Sequence[Mapping[str, Any]], psfs: Mapping[str, MaskedPSF], z_um: tuple[float, float], target: Target
) -> None:
    """Draw Jaccard index and RMSE against density, mean and range over trainings, above the masks.

    rows: mask, density, jaccard, rmse_lateral_nm, rmse_axial_nm;  psfs: by the masks' names;
    z_um: depths;  target: path or open file.
    """
    figure = new_figure(12.5, 4.2 + 1.75 * len(psfs), "Masks compared: equal training, equal emitters")
    parts = figure.subfigures(2, 1, height_ratios=[4.0, 1.75 * len(psfs)], squeeze=False)
    above, below = parts[:, 0]
    axes = above.subplots(1, 3)
    for axis, (key, label) in zip(axes, _PANELS, strict=True):
        for index, name in enumerate(psfs):
            mine = [row for row in rows if row["mask"] == name]
            at = sorted({row["density"] for row in mine})
            values = [_known(mine, density, key) for density in at]
            mean = np.array([np.mean(each) for each in values])
            spread = np.array([[m - min(v), max(v) - m] for m, v in zip(mean, values, strict=True)]).T
            axis.errorbar(at, mean, spread, marker="o", markersize=4, color=f"C{index}", capsize=2, label=name)
        axis.set(xlabel="emitters per µm²", ylabel=label)
        axis.set_ylim(0, 1.03 if key == "jaccard" else None)
        axis.grid(alpha=0.25)
    axes[0].legend(fontsize=9)
    grid = below.subplots(len(psfs), 8, squeeze=False)
    for line, (name, psf) in zip(grid, psfs.items(), strict=True):
        draw_mask_row(line, psf, z_um)
        line[0].set_ylabel(name, fontsize=10)
    save_figure(figure, target, dpi=130)


def _known(rows: Sequence[Mapping[str, Any]], density: float, key: str) -> list[float]:
    """One figure of all trainings at a density; NaN where nothing was found that could have an error."""
    found = [row[key] for row in rows if row["density"] == density and row[key] is not None]
    return found or [float("nan")]
