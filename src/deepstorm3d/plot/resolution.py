"""The picture of a list's resolution: Fourier ring and shell correlations, and the fits of the precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.fourier import THRESHOLD, Correlation
from ..analysis.neighbours import AxisPrecision
from .panels import Target, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["resolution_figure"]

# Told apart by people who see no red or no green (Okabe & Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_AXES = ("x", "y", "z")


def resolution_figure(
    correlations: Mapping[str, Correlation],
    precision: tuple[AxisPrecision, ...] | None,
    target: Target,
    *,
    title: str = "",
) -> None:
    """Draw the correlations above, and below how far molecules lie apart in adjacent frames.

    correlations: by name;  precision: of x, y, z, or None;  target: path or open file.
    """
    figure = new_figure(11.0, 8.0 if precision else 4.8, title)
    if precision is None:
        _draw_correlations(figure.subplots(), correlations)
        save_figure(figure, target)
        return
    above, *below = figure.subplot_mosaic([["frc"] * 3, ["x", "y", "z"]], height_ratios=[1.35, 1]).values()
    _draw_correlations(above, correlations)
    for index, (axes, fit) in enumerate(zip(below, precision, strict=True)):
        _draw_fit(axes, fit, index)
    below[0].set_ylabel("pairs in adjacent frames")
    save_figure(figure, target)


def _draw_correlations(axes: Axes, correlations: Mapping[str, Correlation]) -> None:
    last = 0.0
    for (name, each), colour in zip(correlations.items(), _COLOURS, strict=False):
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
    axes.axhline(THRESHOLD, color="#444444", linewidth=0.9, linestyle="--")
    axes.axhline(0, color="#888888", linewidth=0.7)
    limit = min(last, max(each.nyquist for each in correlations.values()))
    axes.text(0.995 * limit, THRESHOLD + 0.015, "1/7", ha="right", fontsize=9, color="#444444")
    axes.set(xlim=(0, limit), ylim=(-0.12, 1.05), xlabel="spatial frequency (1/µm)")
    axes.set(ylabel="correlation of the halves")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, loc="upper right")


def _label(name: str, each: Correlation) -> str:
    if each.resolution_um is None:
        return f"{name}: no resolution ({each.verdict})"
    spread = "" if each.spread_um is None else f" ± {1000 * each.spread_um:.1f}"
    return f"{name}: {1000 * each.resolution_um:.1f}{spread} nm"


def _draw_fit(axes: Axes, fit: AxisPrecision, index: int) -> None:
    apart, colour = 1000 * fit.apart_um, _COLOURS[index]
    axes.bar(apart, fit.counts, width=apart[1] - apart[0], color=colour, alpha=0.3, linewidth=0)
    fine = np.linspace(apart[0], apart[-1], 400)
    axes.plot(fine, np.interp(fine, apart, fit.background), "--", color="#444444", linewidth=1)
    axes.plot(apart, fit.fitted, color=colour, linewidth=1.6)
    beside = "" if fit.stated_um is None else f", these rows state {1000 * fit.stated_um:.1f} nm"
    name = _AXES[index]
    axes.set_title(f"σ of {name}: {1000 * fit.sigma_um:.1f} nm{beside}", fontsize=10)
    axes.set(xlabel=f"difference in {name} (nm)", xlim=(apart[0], apart[-1]), ylim=(0, None))
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.25)
