"""The curves of a training from its log, as charts of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Curves", "accuracy_chart", "loss_chart", "read_curves"]

# Readable on dark and on light ground.
_COLOURS = ("#4f8fd6", "#d98032", "#3fa37a", "#b8739e")
_FAINT = "#8b96a6"
_LINE = "rgba(128,140,155,0.28)"
Point = tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """Figures of a training against its steps: the losses, the Jaccard index, and the errors (RMSE, nm)."""

    loss: list[Point] = field(default_factory=list)
    validation_loss: list[Point] = field(default_factory=list)
    jaccard: list[Point] = field(default_factory=list)
    lateral_nm: list[Point] = field(default_factory=list)
    axial_nm: list[Point] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loss)


_KEYS = {
    "loss": "loss",
    "validation_loss": "validation_loss",
    "jaccard": "jaccard",
    "lateral_nm": "rmse_lateral_nm",
    "axial_nm": "rmse_axial_nm",
}


def read_curves(log: Path) -> Curves:
    """The curves of a log as it is now; empty where there is none yet. A line that is half written waits."""
    curves = Curves()
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError:
        return curves
    for line in lines:
        try:
            values = json.loads(line)
            step = float(values["step"])
        except (ValueError, KeyError, TypeError):
            continue
        for name, key in _KEYS.items():
            if isinstance(values.get(key), int | float):
                getattr(curves, name).append((step, float(values[key])))
    return curves


def loss_chart(curves: Curves) -> dict[str, Any]:
    """Options of a chart: loss of training and validation."""
    return _chart(
        {"training": (curves.loss, 0, False), "validation": (curves.validation_loss, 0, True)},
        [_axis("loss", scale=True)],
    )


def accuracy_chart(curves: Curves) -> dict[str, Any]:
    """Options of a chart: Jaccard index on the left axis, errors on the right."""
    series = {
        "Jaccard index": (curves.jaccard, 0, True),
        "lateral": (curves.lateral_nm, 1, True),
        "axial": (curves.axial_nm, 1, True),
    }
    return _chart(series, [_axis("Jaccard index", max=1), _axis("RMSE, nm")])


def _chart(series: dict[str, tuple[list[Point], int, bool]], axes: list[dict[str, Any]]) -> dict[str, Any]:
    """series: points, number of the axis, and whether points are marked, by name."""
    return {
        "animation": False,
        "color": list(_COLOURS),
        "grid": {"left": 44, "right": 44 if len(axes) > 1 else 14, "top": 34, "bottom": 36},
        "legend": {"top": 0, "left": 0, "itemHeight": 8, "itemWidth": 14, "textStyle": {"color": _FAINT}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            **{"type": "value", "name": "step", "nameLocation": "middle", "nameGap": 22, "min": 0},
            **_style(),
            "splitLine": {"show": False},
        },
        "yAxis": axes,
        "series": [
            {
                **{"type": "line", "name": name, "data": [list(point) for point in points], "yAxisIndex": axis},
                **{"showSymbol": marked, "symbolSize": 5, "lineStyle": {"width": 1.6}},
            }
            for name, (points, axis, marked) in series.items()
        ],
    }


def _axis(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "value", "name": name, "nameLocation": "middle", "nameGap": 32, **_style(), **more}


def _style() -> dict[str, Any]:
    return {
        "nameTextStyle": {"color": _FAINT},
        "axisLabel": {"color": _FAINT, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": _LINE}},
        "splitLine": {"lineStyle": {"color": _LINE}},
    }
