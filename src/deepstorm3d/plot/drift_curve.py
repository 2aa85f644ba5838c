"""The picture of a drift curve: x, y and z over the movie, with the band of one standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis.drift import DriftCurve
from .panels import new_figure
from .style import AXIS_COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drift"]

# Most points of a line: more than the columns of a screen look the same and take long to draw.
_MOST_POINTS = 4000


def drift(curve: DriftCurve, *, title: str = "") -> Figure:
    """Draw the drift of x, y and z over the movie, in nm, each in a panel of its own, all on one scale.

    Parameters
    ----------
    curve : DriftCurve
        Shift of the sample in each of F frames, (F, 3) µm, and its σ. Bands of one and two σ are drawn where
        σ is known.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.analysis.drift import DriftCurve
    >>> frames = np.arange(1000)
    >>> shift = 1e-4 * np.stack([frames, -frames, 0 * frames], axis=1)
    >>> figure = plot.drift(DriftCurve(frames, shift, np.full((1000, 3), 0.005)))
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['drift in x (nm)', 'drift in y (nm)', 'drift in z (nm)']
    """
    figure = new_figure(9.0, 7.0, title)
    every = slice(None, None, max(1, len(curve.frames) // _MOST_POINTS))
    frames, shift, sigma = curve.frames[every], 1000 * curve.shift_um[every], 1000 * curve.sigma_um[every]
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for index, (axes, (name, colour)) in enumerate(zip(panels, AXIS_COLOURS.items(), strict=True)):
        middle, band = shift[:, index], sigma[:, index]
        axes.axhline(0, color=GREY, linewidth=0.7)
        for factor, strength in ((2, 0.18), (1, 0.30)):
            low, high = middle - factor * band, middle + factor * band
            axes.fill_between(frames, low, high, color=colour, alpha=strength, linewidth=0)
        axes.plot(frames, middle, color=colour, linewidth=1.6)
        spread = float(np.sqrt(np.mean(band**2)))
        known = f", σ {spread:.1f} nm (rms)" if spread > 0 else ", σ not known"
        axes.set_title(
            f"{name}: {np.ptp(middle):.0f} nm from least to greatest{known}", fontsize=10, loc="left"
        )
        axes.set_ylabel(f"drift in {name} (nm)")
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel("frame")
    panels[-1].set_xlim(float(frames[0]), float(frames[-1]) if len(frames) > 1 else float(frames[0]) + 1)
    return figure
