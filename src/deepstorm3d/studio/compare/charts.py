"""A comparison as a table of figures, points in 3D, and errors against depth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ...analysis.depth_errors import DepthErrors
from ...analysis.evaluation import Evaluation
from ...analysis.metrics import FIGURES
from ...plot.style import AXIS_COLOURS, GREY
from ..limits.curves import chart, curve
from .outcome import FATES, Outcome

__all__ = ["MOST_IN_3D", "depth_chart", "figures_table", "space_points"]

MOST_IN_3D = 20_000
"""Most points of each fate in the view of all frames; of more an even sample."""

_TEXT = "#7f8a99"


def space_points(outcome: Outcome, frame: int | None) -> bytes:
    """Rows of one frame or (None) of all: x, y, z in µm and the index of the fate.

    Four little-endian float32 a row; of more than `MOST_IN_3D` rows of a fate an even sample.
    """
    parts = []
    for index, fate in enumerate(FATES):
        rows = outcome.places[fate]
        rows = rows.sample(MOST_IN_3D) if frame is None else rows.at(frame)
        parts.append(np.column_stack([rows.xyz_um, np.full(len(rows), index)]))
    return np.concatenate(parts).astype("<f4").tobytes()


def depth_chart(depth: DepthErrors | None) -> dict[str, Any]:
    """RMSE of x, y and z in bins of the true depth, and the share of the molecules that was found."""
    lines: list[dict[str, Any]] = []
    if depth is not None:
        middle = depth.middle_um.tolist()
        for number, axis in enumerate("xyz"):
            points = _points(middle, depth.rmse_nm[:, number].tolist())
            lines.append(curve(f"RMSE of {axis}", points, AXIS_COLOURS[axis], marked=True))
        recall = curve("recall", _points(middle, depth.recall.tolist()), GREY, "dotted", marked=True)
        lines.append({**recall, "yAxisIndex": 1})
    drawn = chart("true depth z (µm)", "RMSE (nm)", lines)
    share = {**drawn["yAxis"], "name": "recall", "min": 0, "max": 1, "splitLine": {"show": False}}
    drawn["yAxis"] = [{**drawn["yAxis"], "min": 0}, share]
    drawn["grid"] |= {"right": 48, "top": 28}
    drawn["legend"] = {"textStyle": {"color": _TEXT, "fontSize": 11}, "top": 0, "itemHeight": 8}
    return drawn


def _points(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float | None]]:
    """Points of a curve, with a gap where there is no value."""
    return [
        (round(at, 4), None if np.isnan(value) else round(value, 3)) for at, value in zip(x, y, strict=True)
    ]


def figures_table(evaluation: Evaluation | None) -> str:
    """The figures with their intervals as an HTML table."""
    if evaluation is None:
        return ""
    values, scored = evaluation.score.to_mapping(), evaluation.result
    rows = []
    for key, label, digits in FIGURES:
        value, interval = values[key], scored.intervals[key]
        shown = "–" if value is None else _rounded(value, digits)
        within = "–" if interval is None else " to ".join(_rounded(end, digits) for end in interval)
        rows.append(f"<tr><th>{escape(label)}</th><td class='ds-{key}'>{shown}</td><td>{within}</td></tr>")
    head = f"<tr><th>figure</th><th>value</th><th>{100 * scored.confidence:g} % interval</th></tr>"
    return f"<table class='ds-table'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _rounded(value: float, digits: int) -> str:
    """A number without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
