"""Pixel values of simulated and real frames, as histograms side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from ..frames.pixel_values import pixel_histograms
from .panels import new_figure
from .style import BLACK, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["histogram"]


def histogram(
    simulated: Tensor | NDArray[Any],
    real: Tensor | NDArray[Any],
    *,
    unit: str = "photons",
    title: str = "",
) -> Figure:
    """Draw the histograms of the pixel values of simulated and of real frames.

    Parameters
    ----------
    simulated, real : tensor or array
        Frames of any shape, both in the same unit.
    unit : str
        Unit of the pixel values.
    title : str
        Above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        Where one of them has no finite pixel value.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> rng = np.random.default_rng(0)
    >>> figure = plot.histogram(rng.poisson(20, (5, 32, 32)), rng.poisson(21, (5, 32, 32)), unit="counts")
    >>> figure.axes[0].get_xlabel()
    'pixel value (counts)'
    """
    edges, drawn = pixel_histograms({"real": real, "simulated": simulated})
    figure = new_figure(8.0, 4.8, title or "Do the simulated frames look like the real ones?")
    axes = figure.subplots()
    for (name, each), colour, style in zip(drawn.items(), (BLACK, VERMILION), ("-", "--"), strict=True):
        label = f"{name}: median {each.median:.4g}, standard deviation {each.deviation:.4g}"
        axes.stairs(each.share, edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.set(
        yscale="log",
        xlabel=f"pixel value ({unit})",
        ylabel="share of pixels",
        title="Histogram of pixel values",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    return figure
