"""Cramér-Rao bounds of the localization error against depth, photons, background and density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..experiment.limits import AXIS_NAMES, Bounds, LimitReport
from .panels import new_figure, plain_numbers
from .style import BLACK, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["limit"]

# Line styles of x, y and z.
_LINES = ("-", "--", ":")


def limit(report: LimitReport, *, title: str = "") -> Figure:
    """Draw the Cramér-Rao bounds of one or several masks in four panels: colours are masks, line styles axes.

    σ of x, y and z in nm: of one molecule against depth, photons and background, and of many molecules in a
    frame against their density. For a single mask, the root mean square over the molecules of dense frames is
    drawn in addition to their median; a few close pairs increase it.

    Parameters
    ----------
    report : LimitReport
        Bounds of each mask, and their conditions.
    title : str
        Above all panels; default: the experiment's name and the camera's noise.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.experiment.limits import Bounds, LimitReport, MaskLimits
    >>> two = Bounds(np.array([0.5, 1.0]), np.array([[5.0, 5.0, 9.0], [6.0, 6.0, 12.0]]))
    >>> mask = MaskLimits("mine", two, two, two, two, two, np.array([10, 20]))
    >>> conditions = {"experiment": "mine", "photons": 5000, "background": 20, "blur_px": 0.9}
    >>> camera = {"noise": "shot noise", "z_um": (0, 4), "frame_px": (64, 64), "margin_px": 8}
    >>> figure = plot.limit(LimitReport(masks=(mask,), **conditions, **camera))
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('depth z (µm)', 'σ of the position (nm)')
    """
    masks = report.masks
    light, haze = f"{report.photons:,.0f} photons", f"background {report.background:g} per pixel"
    title = title or f"{report.experiment}, {report.noise}"
    figure = new_figure(11.0, 8.8, f"{title}: least error of position (Cramér-Rao bound)")
    (deep, bright), (hazy, dense) = figure.subplots(2, 2)
    for index, mask in enumerate(masks):
        colour = series_colour(index)
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
    crowd = f"Many, estimated together ({which})\n{light}, {haze}"
    _label(dense, "density (molecules per µm²)", crowd)
    for axes in (bright, hazy, dense):
        axes.set(xscale="log", yscale="log")
        plain_numbers(axes)
        axes.tick_params(axis="x", labelsize=8)
    deep.set_ylim(bottom=0)
    if masks:
        _count_above(dense, masks[0].median.at, masks[0].emitters)
    _legend(figure, [mask.name for mask in masks])
    return figure


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


def _count_above(axes: Axes, density: NDArray[np.float64], emitters: NDArray[np.int64]) -> None:
    """The number of molecules in a frame, written along the upper edge."""
    top = axes.secondary_xaxis("top")
    top.set_xticks(density, [str(number) for number in emitters], fontsize=7)
    top.minorticks_off()
    top.set_xlabel("molecules in the frame", fontsize=8)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=series_colour(i), linewidth=3) for i in range(len(names))]
    handles += [Line2D([], [], color=BLACK, linestyle=line) for line in _LINES]
    labels = [*names, *(f"σ of {axis}" for axis in AXIS_NAMES)]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), fontsize=9)
