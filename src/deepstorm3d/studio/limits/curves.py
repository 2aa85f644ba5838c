"""Bounds as curves for the page: options of ECharts from a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...experiment.limits import AXIS_NAMES, Bounds, LimitReport
from ...plot.style import SERIES
from .learned import LearnedSoFar, thinned

__all__ = ["Against", "bounds_chart", "chart", "curve", "learning_chart", "mask_colour"]

Against = Literal["depth", "photons", "density"]

# Bounds of a mask, label of the abscissa, whether it is logarithmic.
_AGAINST: dict[Against, tuple[str, str, bool]] = {
    "depth": ("depth", "depth z (µm)", False),
    "photons": ("photons", "photons, rms over depth", True),
    "density": ("median", "molecules per µm², median", True),
}
_LINES = {"x": "solid", "y": "dashed", "z": "solid"}
# Readable on a dark and on a light page.
_TEXT = "#7f8a99"
_GRID = "rgba(127, 138, 153, 0.25)"
# The last of the series is black, which a dark page swallows.
_COLOURS = SERIES[:-1]
# A number with three digits that count, as JavaScript.
_SHORT = "value => Number(Number(value).toPrecision(3)).toLocaleString('en')"


def mask_colour(number: int) -> str:
    """CSS colour of a mask's curves by its place in the comparison, from 0."""
    return _COLOURS[number % len(_COLOURS)]


def bounds_chart(
    report: LimitReport | None, against: Against, axes: Sequence[str], waiting: str = ""
) -> dict[str, Any]:
    """σ of some axes for each mask; colour: the mask, dashed: y.

    waiting: what stands in place of axes while there is no curve.
    """
    attribute, label, logarithmic = _AGAINST[against]
    lines = []
    for number, mask in enumerate(() if report is None else report.masks):
        bounds: Bounds = getattr(mask, attribute)
        for axis in axes:
            values = bounds.sigma_nm[:, AXIS_NAMES.index(axis)]
            points = list(zip(bounds.at.tolist(), values.round(3).tolist(), strict=True))
            lines.append(
                curve(
                    f"{mask.name}, σ of {axis}", points, mask_colour(number), _LINES[axis], marked=logarithmic
                )
            )
    if not any(line["data"] for line in lines):
        return _words(waiting)
    named = "σ of x —, y - - (nm)" if len(axes) > 1 else f"σ of {axes[0]} (nm)"
    return chart(label, named, lines, log_x=logarithmic, log_y=logarithmic)


def _words(text: str) -> dict[str, Any]:
    """A chart without axes that says something."""
    style = {"color": _TEXT, "fontSize": 12, "fontWeight": "normal"}
    title = {"text": text, "left": "center", "top": "middle", "textStyle": style}
    return {"title": title, "xAxis": {"show": False}, "yAxis": {"show": False}, "series": []}


def learning_chart(learned: LearnedSoFar) -> dict[str, Any]:
    """The bound against steps; or the loss, and with it the Jaccard index on an axis of its own."""
    curves = {name: thinned(points) for name, points in learned.curves.items()}
    if bound := curves.get("bound_nm"):
        drawn = chart("step", "σx + σy + σz (nm)", [curve("σx + σy + σz", bound, SERIES[0])])
        drawn["yAxis"]["scale"] = True
        return drawn
    lines = [curve("loss", curves.get("loss", []), SERIES[0])]
    drawn = chart("step", "loss", lines)
    drawn["yAxis"]["scale"] = True
    if jaccard := curves.get("jaccard"):
        second = {**drawn["yAxis"], "name": "Jaccard index", "min": 0, "max": 1, "splitLine": {"show": False}}
        drawn["yAxis"] = [drawn["yAxis"], second]
        drawn["grid"]["right"] = 52
        drawn["series"].append({**curve("Jaccard index", jaccard, SERIES[2], marked=True), "yAxisIndex": 1})
    return drawn


def curve(
    name: str,
    points: Sequence[Sequence[float | None]],
    colour: str,
    line: str = "solid",
    *,
    marked: bool = False,
) -> dict[str, Any]:
    """One line through points (x, y)."""
    return {
        "name": name,
        "type": "line",
        "data": [list(point) for point in points],
        "symbol": "circle",
        "symbolSize": 4,
        "showSymbol": marked,
        "color": colour,
        "lineStyle": {"type": line, "width": 1.7},
        "animation": False,
    }


def chart(
    label: str, unit: str, lines: Sequence[dict[str, Any]], *, log_x: bool = False, log_y: bool = False
) -> dict[str, Any]:
    """Lines over labelled axes; values under the pointer, rounded."""
    x = {"type": "log" if log_x else "value", "name": label, "nameLocation": "middle", "nameGap": 22}
    y = {"type": "log" if log_y else "value", "name": unit, "nameLocation": "middle", "nameGap": 34}
    looks = {
        "axisLabel": {"color": _TEXT, "fontSize": 10, "hideOverlap": True, ":formatter": _SHORT},
        "nameTextStyle": {"color": _TEXT, "fontSize": 11},
        "axisLine": {"show": True, "lineStyle": {"color": _TEXT}},
        "splitLine": {"lineStyle": {"color": _GRID}},
    }
    points = [point for line in lines for point in line["data"] if None not in point]
    x |= _ends([point[0] for point in points], logarithmic=False)
    y |= _ends([point[1] for point in points], logarithmic=True) if log_y else {}
    return {
        "grid": {"left": 48, "right": 14, "top": 10, "bottom": 38},
        "xAxis": {**x, **looks},
        "yAxis": {**y, **looks},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "textStyle": {"fontSize": 11},
            ":valueFormatter": f"value => value == null ? '–' : ({_SHORT})(value)",
        },
        "series": list(lines),
    }


def _ends(values: Sequence[float], *, logarithmic: bool) -> dict[str, float]:
    """Ends of an axis: those of the values, or on a logarithmic one the next of 1, 2, 5 × 10ⁿ."""
    if not values:
        return {}
    low, high = min(values), max(values)
    if not logarithmic or low <= 0:
        return {"min": low, "max": high}
    steps = [step * 10.0**power for power in range(-6, 9) for step in (1, 2, 5)]
    return {
        "min": max((step for step in steps if step <= low), default=low),
        "max": min((step for step in steps if step >= high), default=high),
    }
