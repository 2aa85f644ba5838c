"""The picture of a mask retrieval: measured and modelled slices, their agreement, and the phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...plot.panels import colour_bar, new_figure
from ...plot.phase_mask import phase_bar, show_phase
from ...plot.style import BLACK, GREY, SERIES, series_colour
from .figure_data import RetrievalPicture, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .retrieval import Retrieval

__all__ = ["retrieval"]

Floats = NDArray[np.floating[Any]]
# Columns of slices.
_COLUMNS = 8


def retrieval(found: Retrieval | RetrievalPicture, *, title: str = "") -> Figure:
    """Draw a retrieved mask: slices of the brightest bead above; phase, agreement and depth errors below.

    Above: measured, modelled, and their difference in σ of the noise, at eight positions of the stack. Below:
    the phase found and what it has over the design (rad), correlation and deviance of each slice, and the z
    at which each slice is localized with the phase found, from that of the bead (nm).

    Parameters
    ----------
    found : Retrieval or RetrievalPicture
        Result of `deepstorm3d.retrieve_mask`; or the arrays to draw.
    title : str
        Above all; default: beads and images used, and how well they are explained.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.calibration.phase_retrieval.figure_data import RetrievalPicture
    >>> z, slices = np.linspace(-1, 1, 5), np.random.default_rng(0).poisson(50.0, (5, 9, 9)) * 1.0
    >>> each = dict(bead=np.zeros(5, int), position_each=z, correlation=0.99 + 0 * z, deviance=1 + 0 * z)
    >>> depths = dict(z_error_nm=5 * z, z_sigma_nm=4 + 0 * z, used=np.full(5, True))
    >>> phase = dict(phase=np.zeros((21, 21)), added=np.full((21, 21), 0.3), axis_mm=2.0, along="focus")
    >>> stack = dict(measured=slices, modelled=0 * slices + 50, noise=0 * slices + 7, position_um=z)
    >>> figure = plot.retrieval(RetrievalPicture(**stack, **each, **depths, **phase, pixel_um=0.11))
    >>> [axes.get_title() for axes in figure.axes if "design" in axes.get_title()]
    ['found − design: 0.30 rad rms']
    """
    picture = found if isinstance(found, RetrievalPicture) else picture_of(found)
    figure = new_figure(16.0, 11.0, dpi=110)
    figure.suptitle(title or picture.title, fontsize=12)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.3, 1.0])
    above, below = halves
    _slices(above, picture)
    panels = below.subplots(1, 4, gridspec_kw={"width_ratios": [1.0, 1.0, 1.15, 1.15]})
    _phases(panels[:2], picture)
    _agreement(panels[2], picture)
    _depth_errors(panels[3], picture)
    return figure


def _slices(figure: Any, picture: RetrievalPicture) -> None:
    chosen = np.unique(np.linspace(0, len(picture.position_um) - 1, _COLUMNS).round().astype(int))
    rows: Any = figure.subplots(3, len(chosen), squeeze=False)
    labels = ("measured", "model", "(measured − model)/σ")
    drawn = None
    for column, k in enumerate(chosen):
        top = float(max(picture.measured[k].max(), picture.modelled[k].max()))
        low = float(np.median(picture.modelled[k]))
        for row, image in enumerate((picture.measured[k], picture.modelled[k])):
            look = np.sqrt(np.clip((image - low) / max(top - low, 1e-9), 0, None))
            rows[row, column].imshow(look, cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
        rest = (picture.measured[k] - picture.modelled[k]) / picture.noise[k]
        drawn = rows[2, column].imshow(rest, cmap="RdBu_r", vmin=-5, vmax=5, interpolation="nearest")
        rows[0, column].set_title(f"{picture.position_um[k]:+.2f} µm", fontsize=9)
        _bar(rows[1, column], picture.measured.shape[-1], picture.pixel_um)
        for axes in rows[:, column]:
            axes.set(xticks=[], yticks=[])
    for row, label in enumerate(labels):
        rows[row, 0].set_ylabel(label, fontsize=9)
    if drawn is not None:
        # Next to all rows, from which it takes equal room, so that the columns stay aligned.
        # The empty label keeps room at the edge, where the layout would cut the numbers off.
        bar = figure.colorbar(drawn, ax=rows, label=" ", fraction=0.02, pad=0.01, shrink=0.6)
        bar.ax.set_title("σ", fontsize=9)
    figure.suptitle(
        f"the brightest bead at {picture.along} (each slice on a root scale of its own; bar 1 µm)",
        fontsize=10,
    )


def _bar(axes: Axes, side: int, pixel_um: float) -> None:
    axes.plot([0.07 * side, 0.07 * side + 1.0 / pixel_um], [0.93 * side] * 2, color="white", linewidth=2)


def _phases(panels: Any, picture: RetrievalPicture) -> None:
    edge = (-picture.axis_mm, picture.axis_mm, picture.axis_mm, -picture.axis_mm)
    phase_bar(show_phase(panels[0], picture.phase, edge), panels[0])
    panels[0].set_title("phase found, −π to π", fontsize=10)
    rms = float(np.sqrt(np.nanmean(picture.added**2)))
    top = max(float(np.nanpercentile(np.abs(picture.added), 99)), 0.1)
    drawn = panels[1].imshow(picture.added, cmap="RdBu_r", vmin=-top, vmax=top, extent=edge)
    colour_bar(drawn, panels[1], "rad")
    panels[1].set_title(f"found − design: {rms:.2f} rad rms", fontsize=10)
    for axes in panels:
        axes.set(xlabel="ξ (mm)", ylabel="η (mm)")
        axes.locator_params(nbins=5)


def _agreement(axes: Axes, picture: RetrievalPicture) -> None:
    other = axes.twinx()
    for number, rows in _beads(picture):
        colour = series_colour(number)
        axes.plot(picture.position_each[rows], picture.correlation[rows], color=colour, linewidth=1.2)
        other.plot(
            picture.position_each[rows],
            picture.deviance[rows],
            color=colour,
            linewidth=0.9,
            linestyle=":",
            label=f"bead {number + 1}" if number < len(SERIES) else None,
        )
    for left in np.flatnonzero(~picture.used):
        axes.plot(picture.position_each[left], picture.correlation[left], "x", color=GREY, markersize=5)
    low = float(min(0.9, np.nanmin(picture.correlation) - 0.02))
    axes.set(xlabel=f"{picture.along} (µm)", ylabel="correlation (solid)", ylim=(low, 1.005))
    top = float(max(1.5, 1.1 * np.nanpercentile(picture.deviance, 98)))
    other.set(ylabel="deviance over noise (dotted)", ylim=(0.8, top))
    other.axhline(1.0, color=GREY, linewidth=0.8)
    other.legend(fontsize=7, frameon=False, loc="lower center", ncols=3)
    axes.set_title("agreement of each slice (×: left out)", fontsize=10)


def _depth_errors(axes: Axes, picture: RetrievalPicture) -> None:
    for number, rows in _beads(picture):
        colour = series_colour(number)
        axes.plot(
            picture.position_each[rows], picture.z_error_nm[rows], ".", color=colour, markersize=3.5, alpha=0.7
        )
    at, mean, bound = _by_position(picture)
    axes.fill_between(
        at, -2 * bound, 2 * bound, color=GREY, alpha=0.25, linewidth=0, label="± 2 σ of one image"
    )
    axes.plot(at, mean, color=BLACK, linewidth=1.4, label="weighted mean of the beads")
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    top = float(max(15.0, 1.3 * np.nanpercentile(np.abs(picture.z_error_nm[picture.used]), 97)))
    axes.set(xlabel=f"{picture.along} (µm)", ylabel="z found − z of the bead (nm)", ylim=(-top, top))
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("each slice localized with the phase found", fontsize=10)


def _beads(picture: RetrievalPicture) -> list[tuple[int, NDArray[np.integer[Any]]]]:
    """Rows of each bead in order of position."""
    found = []
    for number in np.unique(picture.bead):
        rows = np.flatnonzero(picture.bead == number)
        found.append((int(number), rows[np.argsort(picture.position_each[rows], kind="stable")]))
    return found


def _by_position(picture: RetrievalPicture) -> tuple[Floats, Floats, Floats]:
    """Positions, mean z error and median bound of the images used."""
    rows = np.flatnonzero(picture.used)
    at = np.unique(picture.position_each[rows])
    groups = [rows[picture.position_each[rows] == value] for value in at]
    weights = 1 / picture.z_sigma_nm**2
    mean = np.array([np.average(picture.z_error_nm[group], weights=weights[group]) for group in groups])
    return at, mean, np.array([np.median(picture.z_sigma_nm[group]) for group in groups])
