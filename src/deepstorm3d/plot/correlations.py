"""The picture of a list's resolution: Fourier ring and shell correlations, and the fits of the precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.fourier import THRESHOLD, Correlation
from ..analysis.neighbours import AxisPrecision
from ..analysis.resolution import ResolutionReport
from .panels import new_figure
from .style import AXIS_COLOURS, GREY, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["resolution"]


def resolution(report: ResolutionReport, *, title: str = "") -> Figure:
    """Draw the Fourier correlations of a list, and below them the distances between rows of adjacent frames.

    A curve crosses the threshold of 1/7 at one over the resolution. In the lower panels bars count pairs, the
    solid line is the fit, whose width is the precision, and the dashed line is the pairs of different
    molecules.

    Parameters
    ----------
    report : ResolutionReport
        Correlations and precision of a list. The lower panels are drawn where there is a precision.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> from deepstorm3d.analysis.resolution import resolution_of
    >>> g = torch.Generator().manual_seed(0)
    >>> sites = torch.rand(30, 3, generator=g).repeat(40, 1) * torch.tensor([1.0, 1.0, 0.05])
    >>> xyz = sites + 0.01 * torch.randn(1200, 3, generator=g)
    >>> found = Localizations.proposals(xyz, torch.arange(40).repeat_interleave(30), torch.ones(1200))
    >>> figure = plot.resolution(resolution_of(found))
    >>> figure.axes[0].get_xlabel()
    'spatial frequency (1/µm)'
    """
    figure = new_figure(11.0, 8.0 if report.precision else 4.8, title)
    if report.precision is None:
        _draw_correlations(figure.subplots(), report.correlations)
        return figure
    above, *below = figure.subplot_mosaic([["frc"] * 3, ["x", "y", "z"]], height_ratios=[1.35, 1]).values()
    _draw_correlations(above, report.correlations)
    for name, axes, fit in zip("xyz", below, report.precision, strict=True):
        _draw_fit(axes, fit, name)
    below[0].set_ylabel("pairs in adjacent frames")
    return figure


def _draw_correlations(axes: Axes, correlations: Mapping[str, Correlation]) -> None:
    last = 0.0
    for (name, each), colour in zip(correlations.items(), SERIES, strict=False):
        axes.plot(each.frequency, each.raw.mean(0), ".", color=colour, markersize=2, alpha=0.25)
        axes.plot(each.frequency, each.smooth.mean(0), color=colour, linewidth=1.8, label=_label(name, each))
        if len(each.smooth) > 1:
            low, high = each.smooth.min(0), each.smooth.max(0)
            axes.fill_between(each.frequency, low, high, color=colour, alpha=0.2, linewidth=0)
        if each.resolution_um is None:
            last = max(last, each.nyquist)
            continue
        crossing = 1 / each.resolution_um
        axes.plot([crossing, crossing], [0, THRESHOLD], ":", color=colour, linewidth=1.2)
        axes.plot(crossing, THRESHOLD, "o", color=colour, markersize=6, markeredgecolor="white", zorder=5)
        last = max(last, 2.2 * crossing)
    axes.axhline(THRESHOLD, color=GREY, linewidth=0.9, linestyle="--")
    axes.axhline(0, color=GREY, linewidth=0.7)
    limit = min(last, max(each.nyquist for each in correlations.values()))
    axes.text(0.995 * limit, THRESHOLD + 0.015, "1/7", ha="right", fontsize=9, color=GREY)
    axes.set(xlim=(0, limit), ylim=(-0.12, 1.05), xlabel="spatial frequency (1/µm)")
    axes.set(ylabel="correlation of the halves")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, loc="upper right")


def _label(name: str, each: Correlation) -> str:
    if each.resolution_um is None:
        return f"{name}: no resolution ({each.status})"
    spread = "" if each.spread_um is None else f" ± {1000 * each.spread_um:.1f}"
    return f"{name}: {1000 * each.resolution_um:.1f}{spread} nm"


def _draw_fit(axes: Axes, fit: AxisPrecision, name: str) -> None:
    apart, colour = 1000 * fit.apart_um, AXIS_COLOURS[name]
    axes.bar(apart, fit.counts, width=apart[1] - apart[0], color=colour, alpha=0.3, linewidth=0)
    fine = np.linspace(apart[0], apart[-1], 400)
    axes.plot(fine, np.interp(fine, apart, fit.background), "--", color=GREY, linewidth=1)
    axes.plot(apart, fit.fitted, color=colour, linewidth=1.6)
    beside = "" if fit.stated_um is None else f", these rows state {1000 * fit.stated_um:.1f} nm"
    axes.set_title(f"σ of {name}: {1000 * fit.sigma_um:.1f} nm{beside}", fontsize=10)
    axes.set(xlabel=f"difference in {name} (nm)", xlim=(apart[0], apart[-1]), ylim=(0, None))
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.25)
