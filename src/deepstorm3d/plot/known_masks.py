"""The picture of a recommendation: Jaccard index and errors of each known mask, with its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .panels import new_figure
from .style import BLACK, BLUE, GREEN, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..experiment.recommendation import Recommendation

__all__ = ["recommendation"]


def recommendation(report: Recommendation, *, title: str = "") -> Figure:
    """Draw what to expect of each known mask, best at the top.

    Bars show the expected Jaccard index and errors, black lines the joint Cramér-Rao bound.

    Parameters
    ----------
    report : Recommendation
        From ``ds.recommend``.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.experiment.recommendation import Advice, Recommendation, Sample
    >>> flat = Advice("flat", "no mask", (), 0.8, 0.9, 12.0, 25.0, 10.0, 20.0, 1.1)
    >>> report = Recommendation(Sample((0.0, 1.0), 0.5, 5000.0, 20.0), (flat,), ())
    >>> plot.recommendation(report).axes[0].get_xlabel()
    'expected Jaccard index'
    """
    masks = report.advice[::-1]
    figure = new_figure(11.0, 1.6 + 0.36 * len(masks), title or report.sample.describe())
    found, lateral, axial = figure.subplots(1, 3, sharey=True)
    names = [each.mask for each in masks]
    found.barh(names, [each.jaccard for each in masks], color=BLUE)
    found.set(xlabel="expected Jaccard index", xlim=(0, 1))
    panels = (
        (lateral, "lateral", VERMILION, [(each.rmse_lateral_nm, each.bound_lateral_nm) for each in masks]),
        (axial, "axial", GREEN, [(each.rmse_axial_nm, each.bound_axial_nm) for each in masks]),
    )
    for axes, which, colour, values in panels:
        axes.barh(names, [rmse for rmse, _ in values], color=colour)
        axes.plot(
            [bound for _, bound in values],
            names,
            "|",
            color=BLACK,
            markersize=12,
            markeredgewidth=2,
            label="bound",
        )
        axes.set_xlabel(f"expected {which} RMSE (nm)")
        axes.legend(fontsize=8)
    for axes in (found, lateral, axial):
        axes.grid(axis="x", alpha=0.25)
    return figure
