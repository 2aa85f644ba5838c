"""The quality of a list in nine panels: values, precision, depth, density and change over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis.quality import Distribution, ListQuality, list_quality
from ..emitters import Localizations
from ..rendering.colour import depth_colours
from .panels import new_figure
from .style import AXIS_COLOURS, BLUE, GREEN, GREY, SKY_BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality", "quality_figure"]

# Colour of lines.
_INK = BLUE
# Colour of bars.
_FILL = SKY_BLUE
# A σ whose range is smaller than this, nm, is drawn as a line: its rows per nm would hide the other axes.
_ONE_VALUE_NM = 0.01
# Colour of the σ of each axis.
_SIGMAS = {f"sigma_{axis}_nm": colour for axis, colour in AXIS_COLOURS.items()}


def quality(found: Localizations, frames: int | None = None, *, title: str = "") -> Figure:
    """Draw the values of a list and their precision: nine panels of distributions, σ against depth, and time.

    Photons, background, σ, fit quality, probability, density and depth of the localizations; their σ against
    depth; and their number in a frame over the movie. If the list does not have the column of a panel, the
    panel states this.

    Parameters
    ----------
    found : Localizations
        A list of any program.
    frames : int, optional
        Frames of the movie; default: up to the last frame with a localization.
    title : str
        Above all panels; default: the number of localizations and frames.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> g = torch.Generator().manual_seed(0)
    >>> xyz, frame = 3 * torch.rand(500, 3, generator=g), torch.arange(500) // 10
    >>> figure = plot.quality(Localizations.proposals(xyz, frame, torch.rand(500, generator=g)))
    >>> figure.axes[6].get_xlabel(), figure.get_suptitle()
    ('z (nm)', '500 localizations in 50 frames')
    """
    if frames is None:
        frames = int(found.frame.max()) + 1 if len(found) else 0
    return quality_figure(list_quality(found, frames), title=title)


def quality_figure(quality: ListQuality, *, title: str = "") -> Figure:
    """The nine panels of `quality`, from distributions computed before."""
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
        _histogram(panels[5], quality.density, "Density in the frames", "neighbours within 1 µm, per µm²")
    _depths(panels[6], columns.get("z_nm"))
    _sigma_over_depth(panels[7], quality)
    _over_time(panels[8], quality)
    return figure


def _style(axes: Axes, title: str, along: str, up: str) -> None:
    axes.set(xlabel=along, ylabel=up)
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.locator_params(nbins=6)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not in this list", transform=axes.transAxes, ha="center", va="center", color=GREY)
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
        axes.axvline(mark, color=GREEN, linewidth=1.1, linestyle=":", label=f"{mark:g}: noise alone")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False, handlelength=1.4)


def _sigmas(axes: Axes, quality: ListQuality) -> None:
    _style(axes, "Precision (σ)", "σ (nm)", "localizations")
    known = {name: colour for name, colour in _SIGMAS.items() if name in quality.columns}
    if not known:
        _absent(axes)
        return
    for name, colour in known.items():
        values = quality.columns[name]
        label = f"{name[6]}: median {values.median:.3g} nm"
        if np.count_nonzero(values.counts) <= 1 or values.edges[-1] - values.edges[0] < _ONE_VALUE_NM:
            axes.axvline(values.median, color=colour, linewidth=1.4, label=label)
            continue
        # The bins of the three axes have different widths, so rows per nm are compared.
        per_nm = values.counts / np.diff(values.edges)
        axes.stairs(per_nm, values.edges, color=colour, linewidth=1.4, label=label)
    axes.set(ylim=(0, None), ylabel="localizations per nm")
    axes.legend(fontsize=8, frameon=False, handlelength=1.4)


def _depths(axes: Axes, values: Distribution | None) -> None:
    """Bars in the colours that the rendering uses for depth."""
    _style(axes, "Depth", "z (nm)", "localizations")
    if values is None:
        _absent(axes)
        return
    colours = depth_colours(len(values.counts))
    axes.bar(values.edges[:-1], values.counts, np.diff(values.edges), align="edge", color=colours)
    axes.stairs(values.counts, values.edges, color=GREY, linewidth=0.6)


def _sigma_over_depth(axes: Axes, quality: ListQuality) -> None:
    _style(axes, "Precision against depth", "z (nm)", "σ (nm), median and quartiles")
    if quality.depth is None:
        _absent(axes)
        return
    for axis, (name, colour) in enumerate(_SIGMAS.items()):
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
