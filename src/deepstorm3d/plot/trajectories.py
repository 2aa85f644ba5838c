"""Trajectories from above and from the side, coloured by time, and their mean squared displacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..analysis.diffusion import Diffusion, Displacements, diffusion, mean_square_displacement
from ..emitters import Localizations
from ..errors import InputError
from .panels import colour_bar, new_figure, plain_numbers
from .style import AXIS_COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

__all__ = ["tracks", "tracks_figure"]

# Marker of each axis.
_MARKS = {"x": "o", "y": "s", "z": "^"}
# Label of each axis.
_LABELS = ("x (µm)", "y (µm)", "depth z (µm)")
# Most steps that are drawn.
_MOST_SEGMENTS = 100_000
# A field longer than this to 1 gets a panel of its shape, …
_LONG = 3.0
# … but not one longer than this to 1.
_LONGEST = 5.0
# Most bins of the histogram of lengths.
_MOST_BINS = 40
# Longest lag that is drawn, frames; at most a quarter of the longest trajectory, beyond which few pairs are
# left, …
_MOST_LAGS = 100
# … but not less than this.
_FEWEST_LAGS = 4


def tracks(
    found: Localizations, *, interval_s: float | None = None, exposure_s: float = 0.0, title: str = ""
) -> Figure:
    """Draw trajectories from above and from the side, coloured by time, and their mean squared displacement.

    The mean squared displacement of each axis is drawn with the line expected of free diffusion with the
    measured diffusion coefficient D.

    Parameters
    ----------
    found : Localizations
        A tracked list: with the column `track`.
    interval_s : float, optional
        Time between frames, s; default: times are in frames, and D is per frame.
    exposure_s : float
        Time the shutter is open in each frame, s.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        Where the list is not tracked.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> walk = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).mul(0.05).cumsum(0)
    >>> found = Localizations.proposals(walk, torch.arange(100), torch.ones(100))
    >>> figure = plot.tracks(replace(found, track=torch.zeros(100, dtype=torch.int64)), interval_s=0.03)
    >>> [axes.get_xlabel() for axes in figure.axes[:2]]
    ['x (µm)', 'time (s)']
    """
    if found.track is None:
        raise InputError("the list has no column track: link its rows to trajectories first (track)")
    longest = int(torch.bincount(found.track[found.track >= 0].cpu()).max()) if len(found) else 0
    moved = mean_square_displacement(found, min(_MOST_LAGS, max(_FEWEST_LAGS, longest // 4)))
    spread = diffusion(found, interval=interval_s or 1.0, exposure=exposure_s)
    return tracks_figure(found, moved, spread, interval=interval_s, title=title)


def tracks_figure(
    table: Localizations,
    displacements: Displacements,
    found: Diffusion | None,
    *,
    interval: float | None = None,
    title: str = "",
) -> Figure:
    """The picture of `tracks`, from displacements and diffusion measured before.

    table: with `track`;  interval: between frames, s (None: times are in frames).
    """
    figure = new_figure(12.0, 8.5, title)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1.0), height_ratios=(2.0, 1.0))
    above, moved = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    side, lengths = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    step, unit = (interval or 1.0), "s" if interval else "frames"
    drawn = _draw_tracks(above, table, (0, 1), step)
    _draw_tracks(side, table, (0, 2), step)
    above.invert_yaxis()
    side.invert_yaxis()
    above.set(title="From above\n(y down, as in the image)")
    side.set(title="From the side\n(deeper is down)")
    if drawn is not None:
        colour_bar(drawn, above, f"time ({unit})")
        colour_bar(drawn, side, f"time ({unit})")
    _draw_displacements(moved, displacements, found, step, unit)
    assert table.track is not None
    counts = np.bincount(table.track.cpu().numpy()) if len(table) else np.zeros(1)
    lengths.hist(counts[counts > 0], bins=_length_bins(int(counts.max())), color=GREY)
    lengths.set(title="Lengths", xlabel="rows of a trajectory", ylabel="trajectories")
    for axes in (above, side, moved, lengths):
        axes.title.set_fontsize(10)
    return figure


def _length_bins(longest: int) -> list[float]:
    """Edges of at most 40 bins, each with the same number of whole numbers."""
    width = 1 + longest // _MOST_BINS
    return [0.5 + width * number for number in range(-(-longest // width) + 1)]


def _draw_tracks(
    axes: Axes, table: Localizations, plane: tuple[int, int], interval: float
) -> LineCollection | None:
    from matplotlib.collections import LineCollection

    axes.set(xlabel=_LABELS[plane[0]], ylabel=_LABELS[plane[1]])
    segments, times = _segments(table, plane)
    if not len(segments):
        return None
    lines = LineCollection(
        list(segments), cmap="viridis", linewidths=1.1, capstyle="round", rasterized=len(segments) > 5000
    )
    lines.set_array(times * interval)
    axes.add_collection(lines)
    axes.autoscale_view()
    _fit_panel(axes)
    return lines


def _fit_panel(axes: Axes) -> None:
    """Equal scales, in a panel of the field's own shape where that is long.

    The short side of a field longer than `_LONGEST` to 1 is stretched, or nothing could be seen along it; its
    label says so.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    ratio = (right - left) / (high - low)
    if 1 / _LONG <= ratio <= _LONG:
        axes.set_aspect("equal", adjustable="datalim")
        return
    stretch = max(1.0, max(ratio, 1 / ratio) / _LONGEST)
    axes.set_aspect(stretch if ratio > 1 else 1 / stretch, adjustable="box")
    short = axes.xaxis if ratio < 1 else axes.yaxis
    axes.locator_params(axis="x" if ratio < 1 else "y", nbins=3)
    if stretch > 1.05:
        short.set_label_text(f"{short.get_label_text()[:-1]}, ×{stretch:.2g})")


def _segments(table: Localizations, plane: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps of all trajectories as lines (S, 2, 2) µm in a plane, and the frame in which each one ends."""
    assert table.track is not None
    frame, track = table.frame.cpu().numpy(), table.track.cpu().numpy()
    order = np.lexsort((frame, track))
    place = table.xyz.detach().cpu().double().numpy()[order][:, plane]
    same = np.flatnonzero((np.diff(track[order]) == 0) & (track[order][1:] >= 0))
    same = same[:: max(1, -(-len(same) // _MOST_SEGMENTS))]
    return np.stack([place[same], place[same + 1]], axis=1), frame[order][same + 1].astype(np.float64)


def _draw_displacements(
    axes: Axes, displacements: Displacements, found: Diffusion | None, interval: float, unit: str
) -> None:
    """Mean squared displacement of each axis, and the line of free diffusion with the measured D."""
    time = displacements.lags * interval
    for index, (name, colour) in enumerate(AXIS_COLOURS.items()):
        square, error = displacements.square_um2[:, index], displacements.error_um2[:, index]
        axes.errorbar(
            time, square, error, fmt=_MARKS[name], color=colour, markersize=4, linewidth=1, label=name
        )
        if found is not None and len(time):
            axis = found.axes[index]
            line = 2 * axis.coefficient * time + 2 * axis.sigma_um**2
            axes.plot(time, np.maximum(line, 1e-12), color=colour, linewidth=1, alpha=0.7)
    if len(time):
        axes.set(xscale="log", yscale="log")
        plain_numbers(axes)
        axes.legend(fontsize=8)
    per = "s" if unit == "s" else "frame"
    told = "" if found is None else f": D {found.coefficient:.3g} ± {found.coefficient_error:.2g} µm²/{per}"
    axes.set(
        title=f"Mean squared displacement{told}\nlines: free diffusion",
        xlabel=f"time ({unit})",
        ylabel="mean squared displacement on each axis (µm²)",
    )
    axes.grid(alpha=0.25, which="both")
