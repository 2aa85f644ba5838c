"""Pixel values of simulated and real frames, as histograms side by side."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..errors import InputError
from .panels import Target, new_figure, save_figure

__all__ = ["histogram_figure"]


def histogram_figure(
    simulated: Tensor, real: Tensor, target: Target, *, unit: str = "photons", title: str = ""
) -> None:
    """Draw how often each pixel value occurs in simulated and in real frames.

    simulated, real: frames of any shape in the same unit;  target: path or open file.
    Raises InputError where either has no finite pixel value.
    """
    values = {}
    for name, frames in (("real", real), ("simulated", simulated)):
        flat = frames.detach().cpu().double().numpy().ravel()
        values[name] = flat[np.isfinite(flat)]
        if len(values[name]) == 0:
            raise InputError(f"the {name} frames hold no finite pixel value; there is nothing to compare")
    together = [np.percentile(each, [0.01, 99.99]) for each in values.values()]
    low, high = min(pair[0] for pair in together), max(pair[1] for pair in together)
    edges = np.linspace(low, max(high, low + 1e-6), 101)
    figure = new_figure(8.0, 4.8, title or "Do the simulated frames look like the real ones?")
    axes = figure.subplots()
    for (name, each), colour, style in zip(values.items(), ("#222222", "#e06c00"), ("-", "--"), strict=True):
        share = np.histogram(each, bins=edges)[0] / len(each)
        middle, spread = np.median(each), each.std()
        label = f"{name}: median {middle:.4g}, standard deviation {spread:.4g}"
        axes.stairs(share, edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.set(
        yscale="log",
        xlabel=f"pixel value ({unit})",
        ylabel="share of pixels",
        title="Histogram of pixel values",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    save_figure(figure, target)
