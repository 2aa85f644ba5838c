"""The picture of aberrations across the field: the beads, and planes through their polynomials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...plot.panels import colour_bar, new_figure
from ...plot.style import GREY, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FieldPicture", "field_figure"]

Floats = NDArray[np.floating[Any]]
# Number of polynomials that are drawn: those that differ most.
_SHOWN = 4


@dataclass(frozen=True)
class FieldPicture:
    """Data of the picture.

    names: (P,) of the polynomials;  place_px: (B, 2) column and row of each bead;  values, sigma: (B, P) rad
    rms and σ;  plane: (3, P) rad: middle, gradient from left to right, gradient from top to bottom;
    size_px: width and height of the field.
    """

    names: Sequence[str]
    place_px: Floats
    values: Floats
    sigma: Floats
    plane: Floats
    size_px: tuple[float, float]


def field_figure(picture: FieldPicture, *, title: str) -> Figure:
    """Draw the four polynomials that differ most as maps, and all of them against their σ.

    title: above all.
    """
    order = np.argsort(-picture.values.std(0), kind="stable")[:_SHOWN]
    width, height = picture.size_px
    figure = new_figure(4.0 * (len(order) + 1), 1.2 + 3.6 * min(1.6, max(0.6, height / width)), title, dpi=110)
    panels: Any = figure.subplots(1, len(order) + 1, squeeze=False)
    ends = np.abs(picture.plane[0]) + 0.5 * np.abs(picture.plane[1:]).sum(0)
    top = max(float(np.abs(picture.values[:, order]).max()), float(ends[order].max()), 1e-6)
    for axes, k in zip(panels[0], order, strict=False):
        _map(axes, picture, int(k), top)
    _all(panels[0, -1], picture)
    return figure


def _map(axes: Axes, picture: FieldPicture, k: int, top: float) -> None:
    width, height = picture.size_px
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.5, 0.5, 41))
    surface = picture.plane[0, k] + picture.plane[1, k] * x + picture.plane[2, k] * y
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -top, "vmax": top}
    axes.imshow(surface, extent=(0, width, height, 0), interpolation="bilinear", aspect="equal", **look)
    column, row = picture.place_px.T
    drawn = axes.scatter(column, row, c=picture.values[:, k], s=90, edgecolors="black", **look)
    axes.set(title=picture.names[k], xlabel="column (px)", ylabel="row (px)")
    axes.title.set_fontsize(10)
    colour_bar(drawn, axes, "rad rms")


def _all(axes: Axes, picture: FieldPicture) -> None:
    """Each bead's value of each polynomial with its σ, as the difference from the mean of the beads."""
    places = np.arange(len(picture.names))
    away = picture.values - picture.values.mean(0)
    for bead in range(len(away)):
        shift = 0.5 * (bead / max(len(away) - 1, 1) - 0.5)
        axes.errorbar(
            away[bead], places + shift, xerr=picture.sigma[bead], fmt="o", color=series_colour(bead), ms=3, lw=1
        )
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(places, list(picture.names), fontsize=7)
    axes.invert_yaxis()
    axes.set(title="each bead, from the mean of all", xlabel="rad rms")
    axes.title.set_fontsize(10)
