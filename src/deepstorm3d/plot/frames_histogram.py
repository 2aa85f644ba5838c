"""In how many frames each molecule of a list was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis.frames_of_molecules import frames_of_molecules
from ..emitters import Localizations
from .panels import new_figure
from .style import BLUE, SKY_BLUE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["molecule_durations"]

# Frames up to which each number has a bar of its own.
_MOST_BARS = 60


def molecule_durations(found: Localizations, *, title: str = "") -> Figure:
    """Draw how many molecules were found in one frame, in two, three, …

    Parameters
    ----------
    found : Localizations
        With the column `molecule`, as the fit over several frames gives it.
    title : str
        Above the panel; default: the number of molecules.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        For a list whose rows were found frame by frame.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> rows = Localizations.proposals(torch.rand(4, 3), torch.arange(4), torch.ones(4))
    >>> rows = replace(rows, molecule=torch.tensor([0, 0, 0, 1]))
    >>> plot.molecule_durations(rows).axes[0].get_title()
    'mean 2.00 frames'
    """
    frames = frames_of_molecules(found)
    figure = new_figure(8.0, 3.4, title or f"{len(frames):,} molecules")
    axes = figure.subplots()
    most = int(frames.max(initial=1))
    shown = min(most, _MOST_BARS)
    counts = np.bincount(np.minimum(frames, shown), minlength=shown + 1)[1:]
    axes.bar(np.arange(1, shown + 1), counts, width=0.9, color=SKY_BLUE, edgecolor=BLUE, linewidth=0.6)
    more = f"; the last bar: {shown} and more, up to {most}" if most > shown else ""
    mean = float(frames.mean()) if len(frames) else 0.0
    axes.set_title(f"mean {mean:.2f} frames{more}", fontsize=10)
    axes.set(xlabel="frames in which a molecule was found", ylabel="molecules", xlim=(0.4, shown + 0.6))
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
