"""How well molecules can be localized, drawn against depth, photons, background and density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .panels import Target, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AXIS_NAMES", "Bounds", "MaskLimits", "limit_figure"]

AXIS_NAMES = ("x", "y", "z")

_LINES = ("-", "--", ":")
# Told apart by people who see no red or no green (Okabe & Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")


@dataclass(frozen=True)
class Bounds:
    """Bounds at several values of one condition.

    at: (K,) depth µm, photons, photons per pixel or emitters per µm²;  sigma_nm: (K, 3) σ of x, y, z, nm.
    """

    at: NDArray[np.float64]
    sigma_nm: NDArray[np.float64]


@dataclass(frozen=True)
class MaskLimits:
    """What one mask allows.

    depth: of one molecule at each depth;  photons, background: root mean square over the depths;
    median, rms: over molecules at random places, all of a frame estimated together, against their
    density;  emitters: (K,) how many in a frame these are.
    """

    name: str
    depth: Bounds
    photons: Bounds
    background: Bounds
    median: Bounds
    rms: Bounds
    emitters: NDArray[np.int64]


def limit_figure(
    masks: Sequence[MaskLimits], target: Target, *, photons: float, background: float, title: str = ""
) -> None:
    """Draw the bounds of one mask or several in four panels: colours tell masks, line styles axes.

    The root mean square over crowded molecules, which a few close pairs raise, is drawn beside the median
    where there is one mask.
    photons, background: of the molecules, where they are not what a panel varies;  target: path or open file.
    """
    light, haze = f"{photons:,.0f} photons", f"background {background:g} per pixel"
    figure = new_figure(11.0, 8.8, f"{title}: least error of position (Cramér-Rao bound)".removeprefix(": "))
    (deep, bright), (hazy, dense) = figure.subplots(2, 2)
    for index, mask in enumerate(masks):
        colour = _COLOURS[index % len(_COLOURS)]
        for axes, bounds in zip(
            (deep, bright, hazy, dense), (mask.depth, mask.photons, mask.background, mask.median), strict=True
        ):
            _draw(axes, bounds, colour, marked=axes is not deep)
        if len(masks) == 1:
            _draw(dense, mask.rms, colour, faint=True)
    _label(deep, "depth z (µm)", f"One molecule against depth\n{light}, {haze}")
    _label(bright, "photons of the molecule", f"One molecule against photons (rms over depth)\n{haze}")
    _label(hazy, "background (photons per pixel)", f"One molecule against background (rms over depth)\n{light}")
    which = "bold: median, thin: rms" if len(masks) == 1 else "median"
    crowd = f"Many at random places, estimated together ({which})\n{light}, {haze}"
    _label(dense, "density (molecules per µm²)", crowd)
    for axes in (bright, hazy, dense):
        axes.set(xscale="log", yscale="log")
        _plain_numbers(axes)
    deep.set_ylim(bottom=0)
    if masks:
        _count_above(dense, masks[0].median.at, masks[0].emitters)
    _legend(figure, [mask.name for mask in masks])
    save_figure(figure, target)


def _draw(axes: Axes, bounds: Bounds, colour: str, *, marked: bool = False, faint: bool = False) -> None:
    for axis, line in enumerate(_LINES):
        axes.plot(
            bounds.at,
            bounds.sigma_nm[:, axis],
            line,
            color=colour,
            linewidth=0.9 if faint else 1.7,
            alpha=0.45 if faint else 1.0,
            marker="o" if marked and not faint else None,
            markersize=3,
        )


def _label(axes: Axes, along: str, title: str) -> None:
    axes.set(xlabel=along, ylabel="σ of the position (nm)", title=title)
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25, which="both")


def _plain_numbers(axes: Axes) -> None:
    """1, 2, 5, 10 rather than powers of ten, so that a bound can be read off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)


def _count_above(axes: Axes, density: NDArray[np.float64], emitters: NDArray[np.int64]) -> None:
    """How many molecules a frame holds, written along the upper edge."""
    top = axes.secondary_xaxis("top")
    top.set_xticks(density, [str(number) for number in emitters], fontsize=7)
    top.minorticks_off()
    top.set_xlabel("molecules in the frame", fontsize=8)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=_COLOURS[i % len(_COLOURS)], linewidth=3) for i in range(len(names))]
    handles += [Line2D([], [], color="#444444", linestyle=line) for line in _LINES]
    labels = [*names, *(f"σ of {axis}" for axis in AXIS_NAMES)]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), fontsize=9)
