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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .spot import AxialScan, ScannedSpot

__all__ = ["axial_scan"]

Floats = NDArray[np.float64]
# Most profiles that are drawn.
_MOST_PROFILES = 12


def axial_scan(scan: AxialScan, spots: Sequence[ScannedSpot], *, title: str = "") -> Figure:
    """Draw the spots found in a z-stack that was taken without a mask, and how they go through its planes.

    Left: the maximum of each pixel over the planes, with a circle for each spot, coloured by its depth. Right:
    the filtered intensity of up to twelve spots against the focal plane, with the image model's at that depth.

    Parameters
    ----------
    scan : AxialScan
        The stack.
    spots : sequence of ScannedSpot
        What `deepstorm3d.calibration.axial_scan.scan.scan_spots` found in it.
    title : str
        Above all; default: the number of spots and planes.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import deepstorm3d as ds
    >>> from deepstorm3d.calibration.axial_scan.spot import AxialScan, ScannedSpot
    >>> from deepstorm3d.optics.computed import build_psf
    >>> from deepstorm3d.optics.masks import ZeroMask
    >>> setup = ds.preset("quickstart")
    >>> psf = build_psf(setup.psf, setup.microscope, ZeroMask().build(setup.microscope), patch_px=15)
    >>> focus, planes = torch.linspace(0, 2, 9), torch.rand(9, 30, 40)
    >>> profile = np.exp(-((focus.double().numpy() - 0.8) ** 2))
    >>> spot = ScannedSpot(np.array([1.0, 2.0, 0.8]), np.full(3, 0.01), 5000.0, 0.99, profile, profile)
    >>> figure = ds.plot.axial_scan(AxialScan(planes, focus, psf, (0.0, 2.0)), [spot])
    >>> figure.get_suptitle(), figure.axes[1].get_xlabel()
    ('1 spot in a stack of 9 planes', 'nominal focal plane (µm)')
    """
    projection, focus = scan.planes.amax(0).double().numpy(), scan.focus.double().numpy()
    xyz = np.array([spot.xyz for spot in spots]).reshape(-1, 3)
    number = f"{len(xyz)} spot{'' if len(xyz) == 1 else 's'}"
    figure = new_figure(14.0, 6.6, title or f"{number} in a stack of {len(focus)} planes")
    whole, right = figure.subplots(1, 2, width_ratios=(1.1, 1.0))
    _projection(whole, projection, xyz, scan.psf.pixel_um)
    _profiles(right, focus, spots)
    return figure


def _projection(axes: Axes, projection: Floats, xyz: Floats, pixel_um: float) -> None:
    edges = frame_extent((projection.shape[0], projection.shape[1]), pixel_um)
    low, high = np.percentile(projection, [1, 99.7])
    show_image(axes, projection, edges, "Maximum over the planes", cmap="gray", vmin=low, vmax=high)
    marks = axes.scatter(
        xyz[:, 0], xyz[:, 1], c=xyz[:, 2], s=70, marker="o", cmap=depth_colormap(), linewidths=1.3
    )
    marks.set_facecolor("none")
    marks.set_edgecolor(np.asarray(marks.to_rgba(xyz[:, 2])).tolist())
    colour_bar(marks, axes, "depth z (µm)")
    scale_bar(axes, edges)


def _profiles(axes: Axes, focus: Floats, spots: Sequence[ScannedSpot]) -> None:
    """Spots of all depths, one above the other."""
    chosen = sorted(spots, key=lambda spot: spot.xyz[2])
    if chosen:
        rows = np.unique(np.linspace(0, len(chosen) - 1, _MOST_PROFILES).astype(int))
        chosen = [chosen[row] for row in rows]
    for row, spot in enumerate(chosen):
        low, top = spot.model.min(), max(float(np.ptp(spot.model)), 1e-9)
        colour = series_colour(row)
        axes.plot(focus, row + 0.8 * (spot.profile - low) / top, "o", color=colour, markersize=2.5)
        axes.plot(focus, row + 0.8 * (spot.model - low) / top, color=colour, linewidth=1.2)
        axes.text(float(focus.max()), row + 0.15, f"  z {spot.xyz[2]:.2f} µm", fontsize=8, va="bottom")
    axes.set(xlabel="nominal focal plane (µm)", ylabel="intensity of each spot, over its peak", yticks=[])
    axes.set_title("Through the planes: measured (dots), image model (lines)", fontsize=10)
    span = float(np.ptp(focus))
    axes.set_xlim(float(focus.min()) - 0.02 * span, float(focus.max()) + 0.16 * span)
    axes.grid(alpha=0.25)
