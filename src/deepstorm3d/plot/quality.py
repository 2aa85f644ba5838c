"""The quality of a list in nine panels: what it measured, how well, how deep, how crowded, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis.quality import Distribution, ListQuality
from ..rendering.colour import depth_colours
from .panels import Target, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["quality_figure"]

_INK, _FILL = "#1f3b57", "#7fa6c9"
# x, y, z told apart by people who see no red or no green (Okabe & Ito 2008).
_AXES = {"sigma_x_nm": "#0072b2", "sigma_y_nm": "#d55e00", "sigma_z_nm": "#009e73"}


def quality_figure(quality: ListQuality, target: Target, *, title: str = "") -> None:
    """Draw the distributions of a list, its σ against depth, and its localizations per frame over time.

    target: path or open file. A panel whose column the list does not have says so.
    """
    figure = new_figure(12.0, 9.4, title or f"{quality.rows:,} localizations in {quality.frames:,} frames")
    panels = figure.subplots(3, 3).ravel()
    columns = quality.columns
    _histogram(panels[0], columns.get("photons"), "Photons", "photons of a localization")
    _histogram(panels[1], columns.get("background"), "Background", "photons per pixel")
    _sigmas(panels[2], quality)
    _histogram(panels[3], columns.get("fit_quality"), "Fit quality", "deviance per pixel", mark=1.0)
    _histogram(panels[4], columns.get("probability"), "Probability", "probability")
    if "detections" in columns:
        _histogram(panels[5], columns["detections"], "Frames joined into a row", "frames")
    else:
        _histogram(panels[5], quality.density, "Crowding of the frames", "neighbours within 1 µm, per µm²")
    _depths(panels[6], columns.get("z_nm"))
    _sigma_over_depth(panels[7], quality)
    _over_time(panels[8], quality)
    save_figure(figure, target)


def _style(axes: Axes, title: str, along: str, up: str) -> None:
    axes.set(xlabel=along, ylabel=up)
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.locator_params(nbins=6)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not in this list", transform=axes.transAxes, ha="center", va="center", color="#777777")
    axes.set(xticks=[], yticks=[])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _histogram(
    axes: Axes, values: Distribution | None, title: str, along: str, *, mark: float | None = None
) -> None:
    _style(axes, title, along, "localizations")
    if values is None:
        _absent(axes)
        return
    axes.stairs(values.counts, values.edges, fill=True, color=_FILL)
    axes.stairs(values.counts, values.edges, color=_INK, linewidth=0.9)
    label = f"median {_number(values.median)}"
    axes.axvline(values.median, color=_INK, linewidth=1.1, linestyle="--", label=label)
    if mark is not None:
        axes.axvline(mark, color="#009e73", linewidth=1.1, linestyle=":", label=f"{mark:g}: noise alone")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False, handlelength=1.4)


def _sigmas(axes: Axes, quality: ListQuality) -> None:
    _style(axes, "Precision (σ)", "σ (nm)", "localizations")
    known = {name: colour for name, colour in _AXES.items() if name in quality.columns}
    if not known:
        _absent(axes)
        return
    for name, colour in known.items():
        values = quality.columns[name]
        label = f"{name[6]}: median {values.median:.3g} nm"
        # The bins of the three have different widths: only the rows per nm compare.
        per_nm = values.counts / np.diff(values.edges)
        axes.stairs(per_nm, values.edges, color=colour, linewidth=1.4, label=label)
    axes.set(ylim=(0, None), ylabel="localizations per nm")
    axes.legend(fontsize=8, frameon=False, handlelength=1.4)


def _depths(axes: Axes, values: Distribution | None) -> None:
    """Bars in the colours that the rendering gives to depth."""
    _style(axes, "Depth", "z (nm)", "localizations")
    if values is None:
        _absent(axes)
        return
    colours = depth_colours(len(values.counts))
    axes.bar(values.edges[:-1], values.counts, np.diff(values.edges), align="edge", color=colours)
    axes.stairs(values.counts, values.edges, color="#444444", linewidth=0.6)


def _sigma_over_depth(axes: Axes, quality: ListQuality) -> None:
    _style(axes, "Precision against depth", "z (nm)", "σ (nm), median and quartiles")
    if quality.depth is None:
        _absent(axes)
        return
    for axis, (name, colour) in enumerate(_AXES.items()):
        low, middle, high = quality.depth.quartiles[:, axis].T
        axes.plot(quality.depth.at, middle, color=colour, linewidth=1.5, label=name[6])
        axes.fill_between(quality.depth.at, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False, ncols=3, handlelength=1.4)


def _over_time(axes: Axes, quality: ListQuality) -> None:
    _style(axes, "Localizations over time", "frame", "localizations per frame")
    if quality.time is None:
        _absent(axes)
        return
    axes.plot(quality.time.at, quality.time.mean, color=_INK, linewidth=1.1)
    axes.fill_between(quality.time.at, quality.time.mean, color=_FILL, alpha=0.5, linewidth=0)
    axes.set_ylim(bottom=0)
