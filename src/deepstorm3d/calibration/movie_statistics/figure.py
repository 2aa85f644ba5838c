"""Simulated beside real frames: the frames, their histograms, spectra, and the variance line of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...extent import frame_extent
from ...frames.mean_variance import NoiseLine
from ...frames.similarity import Similarity, local_contrast, radial_spectrum
from ...plot.panels import colour_bar, new_figure, scale_bar, show_image
from ...plot.style import BLACK, BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .estimate import Estimate

__all__ = ["ComparedFrames", "estimate"]

Floats = NDArray[np.float64]
_REAL = BLACK
_LOOKS = (("real", _REAL, "-"), ("simulated", VERMILION, "--"))


@dataclass(frozen=True)
class ComparedFrames:
    """Simulated and real frames to compare.

    real, simulated: (B, H, W) in one unit;  line: variance of the real frames' counts against their mean;
    similarity: of the simulated to the real frames;  pixel_um: of a pixel in the sample;  unit: of the frames.
    """

    real: Floats
    simulated: Floats
    line: NoiseLine
    similarity: Similarity
    pixel_um: float
    unit: str = "photons"


def estimate(found: Estimate | ComparedFrames, *, title: str = "") -> Figure:
    """Draw frames simulated with an estimated experiment beside the real ones, and compare their statistics.

    Above: the first and the last frame of each, on one scale. Below: pixel values, local contrast, power
    spectra, and the variance of the real frames against their mean, which tells the camera's gain.

    Parameters
    ----------
    found : Estimate or ComparedFrames
        Result of `deepstorm3d.estimate`; or the frames to compare.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> import deepstorm3d as ds
    >>> from deepstorm3d.calibration.movie_statistics.figure import ComparedFrames
    >>> from deepstorm3d.frames.mean_variance import noise_line
    >>> from deepstorm3d.frames.similarity import compare_frames
    >>> movie, _ = ds.simulate("quickstart", frames=4, emitters=5, seed=1)
    >>> counts = torch.from_numpy(movie.astype(float))
    >>> real, made = counts[:2].numpy(), counts[2:].numpy()
    >>> frames = ComparedFrames(real, made, noise_line(counts), compare_frames(real, made), pixel_um=0.11)
    >>> figure = ds.plot.estimate(frames)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['Real, first of 2', 'Real, last of 2']
    """
    compared = found if isinstance(found, ComparedFrames) else _compared(found)
    real, simulated, similarity, unit = compared.real, compared.simulated, compared.similarity, compared.unit
    figure = new_figure(15.0, 8.2, title or "Do the simulated frames look like the real ones?", dpi=120)
    panels = figure.subplots(2, 4)
    low, high = np.quantile(real, [0.01, 0.998])
    high = max(high, low + 1e-9)
    grey: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": high}
    columns = [("Real", real, 0), ("Real", real, -1), ("Simulated", simulated, 0), ("Simulated", simulated, -1)]
    for axes, (name, frames, index) in zip(panels[0], columns, strict=True):
        frame = _middle(frames[index], simulated.shape[1:])
        edges = frame_extent((frame.shape[0], frame.shape[1]), compared.pixel_um)
        which = "first" if index == 0 else "last"
        shown = show_image(axes, frame, edges, f"{name}, {which} of {len(frames)}", **grey)
        scale_bar(axes, edges)
        if axes is panels[0][-1]:
            colour_bar(shown, axes, f"{unit} per pixel, same for all")
    label = f"Pixel values (distance {similarity.values:.2f})"
    _histograms(panels[1][0], (real, simulated), label, f"{unit} per pixel")
    contrasts = local_contrast(real), local_contrast(simulated)
    label = f"Local contrast (distance {similarity.contrasts:.2f})"
    _histograms(panels[1][1], contrasts, label, f"σ in 7 × 7 px ({unit})")
    _spectra(panels[1][2], real, simulated, f"Power spectrum (distance {similarity.spectra:.2f})")
    _transfer(panels[1][3], compared.line)
    return figure


def _compared(found: Estimate) -> ComparedFrames:
    return ComparedFrames(
        found.real.double().numpy(),
        found.simulated.double().numpy(),
        found.camera.line,
        found.similarity,
        found.experiment.microscope.pixel_um,
        found.camera.camera.unit,
    )


def _middle(frame: Floats, size: tuple[int, ...]) -> Floats:
    """The middle of a frame that is larger than the simulated ones."""
    height, width = (min(side, most) for side, most in zip(frame.shape, size, strict=True))
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width]


def _style(axes: Axes, title: str, along: str, up: str) -> None:
    axes.set(xlabel=along, ylabel=up)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)


def _histograms(axes: Axes, both: tuple[Floats, Floats], title: str, along: str) -> None:
    ends = [np.quantile(each, [0.0005, 0.9995]) for each in both]
    low, high = min(pair[0] for pair in ends), max(pair[1] for pair in ends)
    edges = np.linspace(low, max(high, low + 1e-6), 81)
    if np.array_equal(both[0], np.rint(both[0])):
        # Whole numbers: bins that hold now two and now three of them would look like combs.
        edges = np.arange(np.floor(low), high + 1, np.ceil((high - low) / 80)) - 0.5
    for (name, colour, style), each in zip(_LOOKS, both, strict=True):
        share = np.histogram(each, bins=edges)[0] / each.size
        label = f"{name}: mean {each.mean():.4g}"
        axes.stairs(share, edges, color=colour, linestyle=style, linewidth=1.5, label=label)
    _style(axes, title, along, "share")
    axes.set_yscale("log")
    axes.legend(fontsize=8)


def _spectra(axes: Axes, real: Floats, simulated: Floats, title: str) -> None:
    for (name, colour, style), each in zip(_LOOKS, (real, simulated), strict=True):
        spectrum = radial_spectrum(each)
        axes.plot(spectrum.frequency, spectrum.power, color=colour, linestyle=style, linewidth=1.5, label=name)
    _style(axes, title, "cycles per pixel", "power (photons²)")
    axes.set_yscale("log")
    axes.legend(fontsize=8)


def _transfer(axes: Axes, line: NoiseLine) -> None:
    mean, variance = line.mean.numpy(), line.variance.numpy()
    axes.plot(mean, variance, "o", color=_REAL, markersize=4, label="pixels of similar brightness")
    ends = np.array([min(float(mean.min()), line.zero), float(mean.max())])
    label = f"slope {line.slope:.3g}, zero at {line.zero:.4g}"
    axes.plot(ends, line.slope * (ends - line.zero), color=BLUE, linewidth=1.3, label=label)
    _style(axes, "Noise of the real frames", "mean (counts)", "variance (counts²)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
