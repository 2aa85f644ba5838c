"""The shares of light of a list's molecules, and the dyes that were found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis.dyes import DyesFound
from .panels import new_figure
from .style import GREY, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dyes"]

# Bins of the histogram of shares.
_BINS = 100
# Shares at which the curves are computed.
_CURVE_POINTS = 400
# Molecules whose σ stand for those of all in the curves.
_MOST_SIGMAS = 2000
# Most positions that are drawn.
_MOST_POINTS = 200_000
# Area of a position, points².
_POINT = 3.0


def dyes(found: DyesFound, *, title: str = "") -> Figure:
    """Draw the shares with the mixture that explains them, and the positions in the colours of their dyes.

    Parameters
    ----------
    found : DyesFound
        From `ds.dyes`.
    title : str
        Above both panels; default: the number of molecules.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch, deepstorm3d as ds
    >>> from dataclasses import replace
    >>> g = torch.Generator().manual_seed(0)
    >>> rows = ds.Localizations.proposals(torch.rand(300, 3, generator=g), torch.arange(300), torch.ones(300))
    >>> share = torch.where(torch.arange(300) < 100, 0.3, 0.7) + 0.05 * torch.randn(300, generator=g)
    >>> rows = replace(rows, share=share, sigma_share=torch.full((300,), 0.05))
    >>> figure = ds.plot.dyes(ds.dyes(rows, {"red": 0.3, "far red": 0.7}))
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['share of the light in the second channel', 'x (µm)']
    """
    figure = new_figure(11.0, 4.6, title or f"{len(found.shares.share):,} molecules")
    left, right = figure.subplots(1, 2)
    _draw_shares(left, found)
    _draw_positions(right, found)
    return figure


def _draw_shares(axes: Axes, found: DyesFound) -> None:
    """Histogram of the molecules' shares with the expected number of each dye."""
    shares, mixture = found.shares, found.mixture
    edges = np.linspace(*mixture.between, _BINS + 1)
    axes.hist(shares.share, edges.tolist(), color="0.85", label="molecules")
    at = np.linspace(*mixture.between, _CURVE_POINTS)
    sigma = shares.sigma[:: max(1, len(shares.sigma) // _MOST_SIGMAS)]
    # The density at a share is a mean over the σ of the molecules.
    density = np.stack([mixture.densities(np.full_like(sigma, point), sigma).mean(0) for point in at])
    expected = density * len(shares.share) * (edges[1] - edges[0])
    axes.plot(at, expected.sum(1), color="black", linewidth=1.0, label="all together")
    for number, name in enumerate(found.names):
        share, spread = mixture.shares[number], mixture.spreads[number]
        label = f"{name}: {share:.3f} ± {spread:.3f}, {found.molecules[number + 1]:,}"
        axes.plot(at, expected[:, number + 1], color=series_colour(number), linewidth=1.6, label=label)
    label = f"none or in doubt, {found.molecules[0]:,}"
    axes.plot(at, expected[:, 0], color=GREY, linewidth=1.2, linestyle="--", label=label)
    axes.set(xlabel="share of the light in the second channel", ylabel="molecules", xlim=mixture.between)
    axes.set_title(f"{100 * found.misassigned:.2f} % of the given dyes are expected to be wrong", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def _draw_positions(axes: Axes, found: DyesFound) -> None:
    """Positions from above in the colours of the dyes, grey where there is none."""
    table = found.localizations
    every = max(1, len(table) // _MOST_POINTS)
    x, y, dye = (values[::every] for values in (table["x_nm"] / 1000, table["y_nm"] / 1000, table["dye"]))
    for number in range(len(found.names) + 1):
        colour = GREY if number == 0 else series_colour(number - 1)
        rows = dye == number
        axes.scatter(x[rows], y[rows], s=_POINT, color=colour, linewidths=0, alpha=0.3 if number == 0 else 0.8)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", aspect="equal")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
