"""The picture of a drift curve: x, y and z over the movie, with the band of one standard deviation."""

from __future__ import annotations

import numpy as np

from ..analysis.drift import DriftCurve
from .panels import Target, new_figure, save_figure

__all__ = ["drift_figure"]

# Told apart by people who see no red or no green (Okabe & Ito 2008).
_AXES = (("x", "#0072b2"), ("y", "#d55e00"), ("z", "#009e73"))
_MOST_POINTS = 4000


def drift_figure(curve: DriftCurve, target: Target, *, title: str = "") -> None:
    """Draw the curve of each axis in a panel of its own, on one scale; target: path or open file."""
    figure = new_figure(9.0, 7.0, title)
    every = slice(None, None, max(1, len(curve.frames) // _MOST_POINTS))
    frames, shift, sigma = curve.frames[every], 1000 * curve.shift_um[every], 1000 * curve.sigma_um[every]
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for index, (axes, (name, colour)) in enumerate(zip(panels, _AXES, strict=True)):
        middle, band = shift[:, index], sigma[:, index]
        axes.axhline(0, color="#888888", linewidth=0.7)
        for factor, strength in ((2, 0.18), (1, 0.30)):
            axes.fill_between(
                frames,
                middle - factor * band,
                middle + factor * band,
                color=colour,
                alpha=strength,
                linewidth=0,
            )
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
    save_figure(figure, target)
