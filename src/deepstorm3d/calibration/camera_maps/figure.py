"""Picture of the maps of a camera, and of the line of variance against mean that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...plot.panels import new_figure, plain_numbers
from ...plot.style import BLACK, GREY, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .photon_transfer import PhotonTransfer

__all__ = ["camera_maps"]

Image = NDArray[np.float64]
# Number of bins of brightness.
_BINS = 30
# Fewest pixels in a bin.
_LEAST = 20


def camera_maps(found: PhotonTransfer, *, names: Sequence[str] = (), title: str = "") -> Figure:
    """Draw the maps of a camera with their histograms, and the photon transfer line they come from.

    Above: baseline (ADU), gain (ADU/e-) and read noise (e- rms) of each pixel, and variance against mean of the
    light, in bins of pixels of similar brightness, on logarithmic axes. Below: the histograms of the maps, and
    the variance over the mean, which is the gain.

    Parameters
    ----------
    found : PhotonTransfer
        The maps: ``.transfer`` of what `deepstorm3d.jobs.camera_maps.measure_camera` returns.
    names : sequence of str
        Of the bright movies, for the legend; default: level 1, level 2, …
    title : str
        Above all; default: the number of pixels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        Where there is not one name for each bright movie.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.calibration.camera_maps.photon_transfer import PhotonTransfer
    >>> one = np.ones((20, 30))
    >>> light = np.linspace(50, 500, 600)
    >>> lines = ((light, 2 * light),)
    >>> found = PhotonTransfer(100 * one, 2 * one, 1.6 * one, 2.0, 0.0, 0.01, one < 0, (2.0,), lines)
    >>> figure = plot.camera_maps(found)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['baseline: median 100 ADU', 'gain: median 2 ADU/e-']
    """
    names = names or [f"level {number}" for number in range(1, len(found.lines) + 1)]
    if len(names) != len(found.lines):
        raise InputError(
            f"{len(names)} names were given for {len(found.lines)} bright movies: give one for each"
        )
    height, width = found.gain.shape
    figure = new_figure(15.0, 6.6, title or f"Camera maps: {width} × {height} pixels", dpi=110)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(2, 4)
    maps = (("baseline", "ADU"), ("gain", "ADU/e-"), ("read_noise", "e- rms"))
    for column, (name, unit) in enumerate(maps):
        values = getattr(found, name)
        _map(axes[0, column], name.replace("_", " "), unit, values)
        _histogram(axes[1, column], unit, values)
    lines = [(name, mean, variance) for name, (mean, variance) in zip(names, found.lines, strict=True)]
    _transfer(axes[0, 3], lines, found.mean_gain, log=True)
    _transfer(axes[1, 3], lines, found.mean_gain, log=False)
    return figure


def _range(values: Image) -> tuple[float, float]:
    low, high = np.quantile(values, [0.005, 0.995])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def _map(axes: Axes, name: str, unit: str, values: Image) -> None:
    low, high = _range(values)
    image = axes.imshow(values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(f"{name}: median {np.median(values):.4g} {unit}")
    axes.set_xlabel("column (px)")
    axes.set_ylabel("row (px)")
    axes.figure.colorbar(image, ax=axes, label=unit, extend="both")


def _histogram(axes: Axes, unit: str, values: Image) -> None:
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1, 81)
    axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=GREY)
    axes.set_yscale("log")
    axes.set_xlabel(unit)
    axes.set_ylabel("pixels")


def _transfer(axes: Axes, lines: Sequence[tuple[str, Image, Image]], gain: float, *, log: bool) -> None:
    if not lines:
        axes.text(0.5, 0.5, "no bright movie:\nthe gain was given", ha="center", va="center")
        axes.set_axis_off()
        return
    top = 0.0
    for number, (name, mean, variance) in enumerate(lines):
        x, y, spread = _binned(mean, variance)
        axes.errorbar(
            x,
            y if log else y / x,
            spread if log else spread / x,
            fmt="o",
            color=series_colour(number),
            ms=3.5,
            lw=1,
            label=name,
        )
        top = max(top, float(x.max(initial=0.0)))
    ends = np.array([top / 1000 if log else 0.0, 1.05 * top])
    axes.plot(ends, gain * ends if log else [gain, gain], color=BLACK, lw=1, label=f"gain {gain:.4g} ADU/e-")
    axes.set_xlabel("mean over the dark level (ADU)")
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_numbers(axes)
        axes.set_xlim(left=0.3 * min(float(np.quantile(mean, 0.01).clip(1e-3)) for _, mean, _ in lines))
        axes.set_ylim(bottom=0.3 * gain * axes.get_xlim()[0])
        axes.set_ylabel("variance over that of the dark (ADU²)")
        axes.set_title("photon transfer")
    else:
        axes.set_ylabel("variance over mean (ADU/e-)")
    axes.legend(fontsize=8)


def _binned(mean: Image, variance: Image) -> tuple[Image, Image, Image]:
    """Mean, variance and its standard error in bins of equal numbers of pixels."""
    order = np.argsort(mean)
    parts = [part for part in np.array_split(order, _BINS) if len(part) >= _LEAST] or [order]
    x = np.array([mean[part].mean() for part in parts])
    y = np.array([np.median(variance[part]) for part in parts])
    spread = np.array([1.25 * variance[part].std() / len(part) ** 0.5 for part in parts])
    return x, y, spread
