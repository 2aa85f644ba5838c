"""Truth and detections of one frame in 3D, as in the figures of the DeepSTORM3D paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..analysis.matching import Matches, match
from ..analysis.metrics import Score, score
from ..emitters import Emitters, Localizations
from ..extent import far_rows
from .panels import new_figure
from .style import BLUE, GREY, ORANGE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["comparison"]

# Colour of hits.
_HIT = BLUE
# Colour of missed molecules.
_MISSED = VERMILION
# Colour of false localizations.
_FALSE = ORANGE
# Colour of rows that do not count.
_IGNORED = GREY


def comparison(
    truth: Emitters,
    found: Localizations,
    matches: Matches | None = None,
    *,
    frame: int | None = None,
    title: str = "",
) -> Figure:
    """Draw truth (open circles) and localizations (dots) of one frame: in 3D, from above and from the side.

    Blue rows were found, red ones missed, orange ones are false. The figures in the title are over all
    frames.

    Parameters
    ----------
    truth : Emitters
        True molecules.
    found : Localizations
        Localizations to compare with them.
    matches : Matches, optional
        Pairs of both; default: pairs within 150 nm in 3D (`analysis.matching.match`).
    frame : int, optional
        Frame to draw, from 0; default: the first frame with the most true molecules.
    title : str
        Above all panels, before the frame and the figures.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Emitters, Localizations
    >>> xyz, frame = torch.tensor([[1.0, 1.0, 0.5], [2.0, 1.5, 0.1]]), torch.zeros(2, dtype=torch.int64)
    >>> truth = Emitters(xyz, frame, torch.full((2,), 5000.0), torch.arange(2))
    >>> found = Localizations.proposals(xyz[:1] + 0.01, frame[:1], torch.ones(1))
    >>> [text.get_text() for text in plot.comparison(truth, found).legends[0].get_texts()]
    ['truth, found (1)', 'truth, missed (1)', 'localization, correct (1)', 'localization, false (0)']
    """
    matches = match(truth, found) if matches is None else matches
    shown = _fullest_frame(truth, found) if frame is None else frame
    all_frames = max(len(torch.unique(torch.cat([truth.frame.cpu(), found.frame.cpu()]))), 1)
    heading = title or "Truth and localizations"
    where = f"drawn: frame {shown} of {all_frames} frames; figures over all frames"
    if all_frames == 1:
        where = f"frame {shown}"
    figure = new_figure(13.0, 8.0, f"{heading} ({where})\n{_figures(score(truth, found, matches))}")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.45, 1.0], height_ratios=[2.0, 1.0])
    space: Any = figure.add_subplot(grid[:, 0], projection="3d")
    above, side = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    for points, style in _groups(truth, found, matches, shown):
        x, y, z = points.T
        space.scatter(x, y, z, depthshade=False, **style)
        above.scatter(x, y, **style)
        side.scatter(x, z, **style)
    space.set(xlabel="x (µm)", ylabel="y (µm)", zlabel="depth z (µm)", title="In 3D (deeper is down)")
    space.invert_yaxis()
    space.invert_zaxis()
    space.set_box_aspect((1.0, 1.0, 0.75), zoom=0.95)
    space.view_init(elev=22, azim=-60)
    space.locator_params(nbins=6)
    above.set(xlabel="x (µm)", ylabel="y (µm)", title="From above (y down, as in the image)", aspect="equal")
    above.invert_yaxis()
    side.set(xlabel="x (µm)", ylabel="depth z (µm)", title="From the side (deeper is down)")
    side.invert_yaxis()
    side.set_box_aspect(0.45)
    for axes in (space, above, side):
        axes.title.set_fontsize(10)
    handles, labels = space.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    return figure


def _fullest_frame(truth: Emitters, found: Localizations) -> int:
    frames = truth.frame if len(truth) else found.frame
    if len(frames) == 0:
        return 0
    values, counts = torch.unique(frames.cpu(), return_counts=True)
    return int(values[int(counts.argmax())])


def _figures(result: Score) -> str:
    text = f"Jaccard {result.jaccard:.3f}   recall {result.recall:.3f}   precision {result.precision:.3f}"
    if result.rmse_lateral_nm is not None and result.rmse_axial_nm is not None:
        text += f"   RMSE {result.rmse_lateral_nm:.1f} nm lateral, {result.rmse_axial_nm:.1f} nm axial"
    return text


def _groups(
    truth: Emitters, found: Localizations, matches: Matches, frame: int
) -> list[tuple[NDArray[np.float64], dict[str, Any]]]:
    """Positions and marker styles of the rows of one frame: hits, misses, false ones and ignored ones."""
    hit_truth, hit_found = torch.zeros(len(truth), dtype=torch.bool), torch.zeros(len(found), dtype=torch.bool)
    hit_truth[matches.truth_index.cpu()] = True
    hit_found[matches.found_index.cpu()] = True
    dim, off = matches.truth_ignored.cpu(), matches.found_ignored.cpu()
    # A false position a millimetre away would shrink all others to a dot.
    places = [table.xyz.detach().cpu().double().numpy() for table in (truth, found)]
    near = torch.from_numpy(~far_rows(np.concatenate(places)))
    in_truth = (truth.frame.cpu() == frame) & near[: len(truth)]
    in_found = (found.frame.cpu() == frame) & near[len(truth) :]
    kinds = [
        ("truth, found", truth, in_truth & hit_truth, _HIT, True),
        ("truth, missed", truth, in_truth & ~hit_truth & ~dim, _MISSED, True),
        ("truth, not counted", truth, in_truth & dim, _IGNORED, True),
        ("localization, correct", found, in_found & hit_found, _HIT, False),
        ("localization, false", found, in_found & ~hit_found & ~off, _FALSE, False),
        ("localization, not counted", found, in_found & off, _IGNORED, False),
    ]
    drawn = []
    for name, table, rows, colour, is_open in kinds:
        count = int(rows.sum())
        if count == 0 and "not counted" in name:
            continue
        style = {"edgecolors": colour, "linewidths": 1.2, "label": f"{name} ({count})"}
        style |= {"facecolors": "none", "s": 70} if is_open else {"facecolors": colour, "s": 16}
        drawn.append((table.xyz.detach().cpu()[rows].double().numpy(), style))
    return drawn
