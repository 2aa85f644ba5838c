"""Picture of a z-stack and the spots found in it: projections with marks, and intensity through the planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...extent import frame_extent
from ...plot.panels import colour_bar, new_figure, scale_bar, show_image
from ...plot.style import series_colour
from ...rendering.colour import depth_colormap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Profile", "axial_scan_figure"]

Floats = NDArray[np.float64]
Profile = tuple[float, Floats, Floats]
"""Depth of a spot, µm; its filtered intensity through the planes (K,), and that of the model (K,)."""


def axial_scan_figure(
    projection: Floats,
    xyz: Floats,
    focus: Floats,
    profiles: Sequence[Profile],
    *,
    pixel_um: float,
    title: str = "",
) -> Figure:
    """Draw the maximum projection with circles coloured by depth, and a few profiles with their fits.

    projection: (H, W) photons;  xyz: (N, 3) µm;  focus: (K,) nominal focal planes, µm;  profiles: at most 12
    are drawn.
    """
    figure = new_figure(14.0, 6.6, title or f"{len(xyz)} spots in a stack of {len(focus)} planes")
    whole, right = figure.subplots(1, 2, width_ratios=(1.1, 1.0))
    edges = frame_extent((projection.shape[0], projection.shape[1]), pixel_um)
    low, high = np.percentile(projection, [1, 99.7])
    show_image(whole, projection, edges, "Maximum over the planes", cmap="gray", vmin=low, vmax=high)
    marks = whole.scatter(
        xyz[:, 0], xyz[:, 1], c=xyz[:, 2], s=70, marker="o", cmap=depth_colormap(), linewidths=1.3
    )
    marks.set_facecolor("none")
    marks.set_edgecolor(marks.get_cmap()(marks.norm(xyz[:, 2])))
    colour_bar(marks, whole, "depth z (µm)")
    scale_bar(whole, edges)
    chosen = sorted(profiles, key=lambda each: each[0])
    chosen = [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, 12).astype(int))] if chosen else []
    for row, (depth, measured, model) in enumerate(chosen):
        top = max(float(model.max() - model.min()), 1e-9)
        colour = series_colour(row)
        right.plot(focus, row + 0.8 * (measured - model.min()) / top, "o", color=colour, markersize=2.5)
        right.plot(focus, row + 0.8 * (model - model.min()) / top, color=colour, linewidth=1.2)
        right.text(float(focus.max()), row + 0.15, f"  z {depth:.2f} µm", fontsize=8, va="bottom")
    right.set(
        xlabel="objective travel (nominal focal plane, µm)",
        ylabel="intensity of a spot, each scaled",
        yticks=[],
    )
    right.set_title("Through the planes: measured (dots), image model (lines)", fontsize=10)
    span = float(np.ptp(focus))
    right.set_xlim(float(focus.min()) - 0.02 * span, float(focus.max()) + 0.16 * span)
    right.grid(alpha=0.25)
    return figure
