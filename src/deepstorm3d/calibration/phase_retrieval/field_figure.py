"""The picture of aberrations across the field: the beads, and planes through their polynomials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...optics.zernike import NAMES
from ...plot.panels import colour_bar, new_figure
from ...plot.style import GREY, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .field_aberrations import FieldAberrations

__all__ = ["field_dependence"]

# Number of polynomials that are drawn: those that differ most.
_SHOWN = 4


def field_dependence(found: FieldAberrations, *, title: str = "") -> Figure:
    """Draw the four polynomials that differ most over the field as maps, and all of them with their σ.

    Circles are the beads; the ground is the plane through their values (weighted least squares).

    Parameters
    ----------
    found : FieldAberrations
        Differences of the phase between beads, rad rms: ``.field`` of a retrieval (None there where there are
        fewer than four beads).
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.calibration.phase_retrieval.field_aberrations import FieldAberrations
    >>> places = torch.tensor([[10.0, 10.0], [90.0, 10.0], [10.0, 90.0], [90.0, 90.0]])
    >>> values, plane = (places - 50) / 100, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> sigma, size = torch.full((4, 2), 0.02), torch.tensor([100.0, 100.0])
    >>> field = FieldAberrations((5, 6), torch.arange(4), places, values, sigma, plane, 0 * plane, size)
    >>> figure = plot.field_dependence(field)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['oblique astigmatism', 'vertical astigmatism']
    """
    values, plane = found.values.numpy(), found.plane.numpy()
    width, height = found.size_px.tolist()
    order = np.argsort(-values.std(0), kind="stable")[:_SHOWN]
    figure = new_figure(4.0 * (len(order) + 1), 1.2 + 3.6 * min(1.6, max(0.6, height / width)), title, dpi=110)
    panels: Any = figure.subplots(1, len(order) + 1, squeeze=False)
    ends = np.abs(plane[0]) + 0.5 * np.abs(plane[1:]).sum(0)
    top = max(float(np.abs(values[:, order]).max()), float(ends[order].max()), 1e-6)
    for axes, k in zip(panels[0], order, strict=False):
        _map(axes, found, int(k), top)
    _all(panels[0, -1], found)
    return figure


def _map(axes: Axes, found: FieldAberrations, k: int, top: float) -> None:
    width, height = found.size_px.tolist()
    middle, right, down = found.plane[:, k].tolist()
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.5, 0.5, 41))
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -top, "vmax": top}
    surface = middle + right * x + down * y
    axes.imshow(surface, extent=(0, width, height, 0), interpolation="bilinear", aspect="equal", **look)
    column, row = found.place_px.numpy().T
    drawn = axes.scatter(column, row, c=found.values[:, k].numpy(), s=90, edgecolors="black", **look)
    axes.set(title=NAMES[found.indices[k]], xlabel="column (px)", ylabel="row (px)")
    axes.title.set_fontsize(10)
    colour_bar(drawn, axes, "rad rms")


def _all(axes: Axes, found: FieldAberrations) -> None:
    """Each bead's value of each polynomial with its σ, as the difference from the mean of the beads."""
    places, values = np.arange(len(found.indices)), found.values.numpy()
    away, sigma = values - values.mean(0), found.sigma.numpy()
    for bead in range(len(away)):
        shift = 0.5 * (bead / max(len(away) - 1, 1) - 0.5)
        axes.errorbar(
            away[bead], places + shift, xerr=sigma[bead], fmt="o", color=series_colour(bead), ms=3, lw=1
        )
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(places, [NAMES[index] for index in found.indices], fontsize=7)
    axes.invert_yaxis()
    axes.set(title="each bead, from the mean of all", xlabel="rad rms")
    axes.title.set_fontsize(10)
