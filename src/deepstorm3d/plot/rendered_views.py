"""Pictures of a rendering on a black background: three views, a section, a diffraction-limited image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..extent import Extent
from ..rendering.canvas import Image
from ..rendering.colour import depth_colormap, dye_colours
from ..rendering.sections import Axis, Interval
from ..rendering.view import Look, View
from ..rendering.views import DepthRendering, Section
from .panels import fit_ticks, new_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

__all__ = ["Widefield", "beside_figure", "section_figure", "views_figure"]

# Label of each axis.
_LABELS: dict[Axis, str] = {"x": "x (µm)", "y": "y (µm)", "z": "depth z (µm)"}
# Label of the colour bar of depth.
_DEPTH_LABEL = "colour: depth z (µm)"
# Label of the colour bar of density.
_DENSITY_LABEL = "brightness: localizations per pixel"
# Colour of text and lines.
_INK = "#e6e6e6"
# Colour of the background.
_GROUND = "black"
# Steps, at most, of an axis that may be as narrow as a fifth of the field.
_FEW_TICKS = 3
# A field narrower than this part of the side view (few rows at one place) has room for one step.
_NARROW = 0.4
# Pixels per inch: high, because rendered pixels are small.
_DPI = 200


@dataclass(frozen=True)
class Widefield:
    """A diffraction-limited image of the field: light (h, w) in any unit, edges in µm, and a description."""

    light: Image
    edges_um: Extent
    title: str


def views_figure(rendering: DepthRendering, *, title: str = "") -> Figure:
    """Draw a rendering from above with its x–z view below and its y–z view on the right, on common axes.

    rendering: from `rendering.render_depth`.
    """
    left, top, right, bottom = rendering.xy.edges_um
    shallow, deep = rendering.z_range_um
    # A side view thinner than a fifth of the field could not be read, so z is stretched.
    width, height, depth = right - left, bottom - top, deep - shallow
    side = max(depth, 0.2 * max(width, height))
    inches = 8.0 / max(width + side, height + side)
    figure = new_figure(
        max((width + side) * inches + 1.6, 6.0),
        max((height + side) * inches + 1.9, 4.5),
        _headline(title or "Super-resolved image", rendering.localizations, rendering.pixel_um),
        dpi=_DPI,
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[width, side], height_ratios=[height, side])
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    beside = figure.add_subplot(grid[0, 1], sharey=above)
    show_image(above, rendering.xy.rgb, rendering.xy.edges_um, "From above (x–y)")
    scale_bar(above, rendering.xy.edges_um)
    stretched = "" if side < 1.05 * depth else f"(z drawn ×{side / depth:.2g})"
    above.set_xlabel("")  # the view below names the axis they share
    show_image(below, rendering.xz.rgb, rendering.xz.edges_um, f"Side view x–z {stretched}".strip())
    below.set(ylabel=_LABELS["z"], aspect=side / depth)
    show_image(beside, rendering.yz.rgb, rendering.yz.edges_um, f"Side view y–z\n{stretched}".strip())
    beside.set(xlabel=_LABELS["z"], ylabel="", aspect=depth / side)
    # Last: the side views have set the steps of the axes that they share.
    fit_ticks(above, rendering.xy.edges_um)
    if width < _NARROW * side:
        above.set_xticks([(left + right) / 2])
    if height < _NARROW * side:
        above.set_yticks([(top + bottom) / 2])
    beside.locator_params(axis="x", nbins=_FEW_TICKS)
    corner = figure.add_subplot(grid[1, 1])
    corner.axis("off")
    if rendering.look.colour == "depth":
        strip = corner.inset_axes((0.05, 0.78, 0.9, 0.1))
        bar = figure.colorbar(_depths(rendering.z_range_um), cax=strip, orientation="horizontal")
        _label(bar, _DEPTH_LABEL, ticks=_FEW_TICKS)
    elif rendering.look.colour == "dye":
        _dye_legend(corner, rendering.dyes, (0.0, 0.95))
    strip = corner.inset_axes((0.05, 0.28, 0.9, 0.1))
    bar = figure.colorbar(_densities(rendering.xy, rendering.look), cax=strip, orientation="horizontal")
    _label(bar, _DENSITY_LABEL.replace(": ", ":\n"), ticks=_FEW_TICKS)
    _darken(figure)
    return figure


def section_figure(section: Section, *, title: str = "") -> Figure:
    """Draw one section; the title gives the planes that limit it.

    section: from `rendering.render_section`.
    """
    left, top, right, bottom = section.view.edges_um
    width, height = right - left, bottom - top
    inches = min(8.0 / width, 7.0 / height)
    figure = new_figure(
        max(width * inches + 1.4, 6.5),
        max(height * inches, 1.2) + 2.5,
        f"{_headline(title or 'Section', section.localizations, section.pixel_um)}\n{_between(section)}",
        dpi=_DPI,
    )
    axes = figure.subplots()
    show_image(axes, section.view.rgb, section.view.edges_um, "")
    rows, columns = ("y", "x") if section.across == "z" else ("z", "x" if section.across == "y" else "y")
    axes.set(xlabel=_LABELS[columns], ylabel=_LABELS[rows])
    scale_bar(axes, section.view.edges_um)
    _bars(figure, [axes], section.view, section.z_range_um, section.look)
    if section.look.colour == "dye":
        _dye_legend(axes, section.dyes, (0.01, 0.98))
    _darken(figure)
    return figure


def beside_figure(rendering: DepthRendering, widefield: Widefield, *, title: str = "") -> Figure:
    """Draw a diffraction-limited image and, next to it, the rendering from above, of the same field.

    rendering: from `rendering.render_depth`.
    """
    edges = rendering.xy.edges_um
    left, top, right, bottom = edges
    inches = min(6.0 / (right - left), 7.0 / (bottom - top))
    figure = new_figure(
        max(2 * (right - left) * inches + 1.4, 9.0),
        (bottom - top) * inches + 2.6,
        _headline(title or "Super-resolved image", rendering.localizations, rendering.pixel_um),
        dpi=_DPI,
    )
    before, after = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = np.percentile(widefield.light, [1.0, 99.9])
    show_image(
        before, widefield.light, widefield.edges_um, widefield.title,
        cmap="gray", vmin=low, vmax=max(high, low + 1e-9),
    )  # fmt: skip
    show_image(after, rendering.xy.rgb, edges, "Super-resolved, from above (x–y)\n")
    after.set(ylabel="", xlim=(left, right), ylim=(bottom, top))
    for axes in (before, after):
        scale_bar(axes, edges)
    _bars(figure, [before, after], rendering.xy, rendering.z_range_um, rendering.look)
    if rendering.look.colour == "dye":
        _dye_legend(after, rendering.dyes, (0.01, 0.98))
    _darken(figure)
    return figure


def _headline(title: str, localizations: int, pixel_um: float) -> str:
    return f"{title}: {localizations:,} localizations, {1000 * pixel_um:g} nm pixels"


def _between(section: Section) -> str:
    """``Section x–y, z = 1.15 to 1.25 µm``"""
    plane = {"x": "y–z", "y": "x–z", "z": "x–y"}[section.across]
    low, high = getattr(section.box, section.across)
    if not np.isfinite([low, high]).all():
        return f"View {plane}"
    return f"Section {plane}, {section.across} = {low:.4g} to {high:.4g} µm"


def _bars(figure: Figure, axes: list[Axes], view: View, ends: Interval, look: Look) -> None:
    """Colour bars below the panels: depth, where there is colour, and brightness."""
    where: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 50}
    _label(figure.colorbar(_densities(view, look), ax=axes, **where), _DENSITY_LABEL)
    if look.colour == "depth":
        _label(figure.colorbar(_depths(ends), ax=axes, **where), _DEPTH_LABEL)


def _dye_legend(axes: Axes, dyes: int, at: tuple[float, float]) -> None:
    """The number of each dye in its colour, one below the other; at: the upper left corner in the panel."""
    for number, colour in enumerate(dye_colours(dyes).tolist()):
        text = f"dye {number}" if number else "none"
        down = number - 1 if number else dyes
        axes.annotate(
            text, at, (0, -11 * down), "axes fraction", "offset points", color=colour, fontsize=9, va="top"
        )


def _depths(ends: Interval) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(*ends), depth_colormap())


def _densities(view: View, look: Look) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    return ScalarMappable(PowerNorm(look.gamma, 0.0, view.full), "gray")


def _label(bar: Colorbar, text: str, ticks: int = 5) -> None:
    bar.set_label(text, fontsize=9)
    bar.ax.locator_params(nbins=ticks)
    bar.ax.tick_params(labelsize=8)


def _all_axes(figure: Figure) -> list[Axes]:
    """Panels and colour bars, including those inside a panel."""
    from matplotlib.axes import Axes

    return [each for each in figure.findobj(Axes) if isinstance(each, Axes)]


def _darken(figure: Figure) -> None:
    """Light text on a black background, colour bars included."""
    figure.set_facecolor(_GROUND)
    if title := figure.get_suptitle():
        figure.suptitle(title, color=_INK)
    for axes in _all_axes(figure):
        axes.set_facecolor(_GROUND)
        axes.tick_params(colors=_INK, which="both")
        for label in (axes.title, axes.xaxis.label, axes.yaxis.label):
            label.set_color(_INK)
        for spine in axes.spines.values():
            spine.set_color("#707070")
