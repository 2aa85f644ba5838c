"""The picture of a comparison of masks: completeness and errors against density, and each mask with its PSF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .panels import new_figure
from .phase_mask import MaskedPSF, draw_mask_row
from .style import series_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["mask_comparison"]

# Figures that are drawn, one panel each, and their labels.
_PANELS = (
    ("jaccard", "Jaccard index"),
    ("rmse_lateral_nm", "lateral RMSE (nm)"),
    ("rmse_axial_nm", "axial RMSE (nm)"),
)


def mask_comparison(
    rows: Sequence[Mapping[str, Any]],
    psfs: Mapping[str, MaskedPSF],
    z_um: tuple[float, float],
    *,
    title: str = "",
) -> Figure:
    """Draw Jaccard index and errors of masks against the density of molecules, above the masks and their PSFs.

    Points are means over trainings; bars show the range from the lowest to the highest value.

    Parameters
    ----------
    rows : sequence of mappings
        One for each mask, density and training: ``mask`` (a name of `psfs`), ``density`` (molecules per µm²),
        ``jaccard``, ``rmse_lateral_nm`` and ``rmse_axial_nm`` (None where no molecule was found).
    psfs : mapping of ExactPSF
        The PSF of each mask by its name, computed from the pupil.
    z_um : (float, float)
        Depths of the first and the last image of a PSF, µm.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.experiment.optics import experiment_mask
    >>> from deepstorm3d.experiment.presets import preset
    >>> from deepstorm3d.optics.computed import build_psf
    >>> quick = preset("quickstart")
    >>> psf = build_psf(quick.psf, quick.microscope, experiment_mask(quick))
    >>> row = {"mask": "mine", "density": 0.5, "jaccard": 0.9, "rmse_lateral_nm": 12.0, "rmse_axial_nm": 20.0}
    >>> plot.mask_comparison([row], {"mine": psf}, (0.0, 1.2)).axes[0].get_ylabel()
    'Jaccard index'
    """
    title = title or "Masks compared: equal training, equal emitters"
    figure = new_figure(12.5, 4.2 + 1.75 * len(psfs), title, dpi=130)
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
            axis.errorbar(
                at, mean, spread, marker="o", markersize=4, color=series_colour(index), capsize=2, label=name
            )
        axis.set(xlabel="emitters per µm²", ylabel=label)
        axis.set_ylim(0, 1.03 if key == "jaccard" else None)
        axis.grid(alpha=0.25)
    axes[0].legend(fontsize=9)
    grid = below.subplots(len(psfs), 8, squeeze=False)
    for line, (name, psf) in zip(grid, psfs.items(), strict=True):
        draw_mask_row(line, psf, z_um)
        line[0].set_ylabel(name, fontsize=10)
    return figure


def _known(rows: Sequence[Mapping[str, Any]], density: float, key: str) -> list[float]:
    """One figure of all trainings at a density; NaN where no molecule was found."""
    found = [row[key] for row in rows if row["density"] == density and row[key] is not None]
    return found or [float("nan")]
