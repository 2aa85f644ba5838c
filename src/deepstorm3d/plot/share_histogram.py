"""How the molecules of two channels divide their light, by dye where dyes were told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.dyes import shares_of_molecules
from ..emitters import Localizations
from .panels import new_figure
from .style import GREY, SKY_BLUE, series_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["shares"]

_BINS = 100
# Percentiles of the shares between which the histogram lies at least.
_BETWEEN = (0.5, 99.5)


def shares(found: Localizations, names: Sequence[str] = (), *, title: str = "") -> Figure:
    """Draw a histogram of the molecules' shares of light in the second channel, in the colours of their dyes.

    Rows of one molecule (column `molecule`) count once, with the mean of their shares weighted by 1/σ².

    Parameters
    ----------
    found : Localizations
        With the columns `share` and `sigma_share`.
    names : sequence of str
        Of the dyes, from dye 1; left out: their numbers.
    title : str
        Above the panel; default: the number of molecules.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        For a list without shares.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> rows = Localizations.proposals(torch.rand(4, 3), torch.arange(4), torch.ones(4))
    >>> rows = replace(rows, share=torch.tensor([0.2, 0.3, 0.7, 0.8]), sigma_share=torch.full((4,), 0.02))
    >>> plot.shares(rows).axes[0].get_title()
    'median 0.500 (dashed), median σ of a molecule 0.020'
    """
    molecules = shares_of_molecules(found)
    low, high = np.percentile(molecules.share, _BETWEEN)
    edges = np.linspace(min(low, 0.0), max(high, 1.0), _BINS + 1)
    figure = new_figure(8.0, 3.8, title or f"{len(molecules.share):,} molecules with a known share")
    axes = figure.subplots()
    if found.dye is None:
        axes.hist(molecules.share, edges.tolist(), color=SKY_BLUE)
    else:
        known = molecules.of_row >= 0
        dye = np.zeros(len(molecules.share), np.int64)
        dye[molecules.of_row[known]] = found.dye.cpu().numpy()[known]
        numbers = range(int(dye.max()) + 1)
        parts = [molecules.share[dye == number] for number in numbers]
        labels = [_label(number, len(part), names) for number, part in zip(numbers, parts, strict=True)]
        colours = [GREY if number == 0 else series_colour(number - 1) for number in numbers]
        axes.hist(parts, edges.tolist(), stacked=True, color=colours, label=labels)
        axes.legend(fontsize=8, frameon=False)
    median = float(np.median(molecules.share))
    axes.axvline(median, color="black", linewidth=1.0, linestyle="--")
    sigma = float(np.median(molecules.sigma))
    axes.set_title(f"median {median:.3f} (dashed), median σ of a molecule {sigma:.3f}", fontsize=10)
    axes.set(xlabel="share of the light in the second channel", ylabel="molecules")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _label(number: int, count: int, names: Sequence[str]) -> str:
    if number == 0:
        return f"none or in doubt, {count:,}"
    name = names[number - 1] if number <= len(names) else f"dye {number}"
    return f"{name}, {count:,}"
