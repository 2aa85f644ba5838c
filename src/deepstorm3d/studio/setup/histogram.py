"""The histograms of simulated and real pixel values as a curve on the page."""

from __future__ import annotations

from typing import Any

from .look import ExperimentView

__all__ = ["histogram_options"]

# Colours that are read on a dark and on a light page.
_COLOURS = {"simulated": "#e07a2f", "real": "#4d9be6"}
_FAINT = "#8b96a6"


def histogram_options(view: ExperimentView) -> dict[str, Any]:
    """Options of an ECharts chart: share of the pixels, on a logarithmic axis, against their value."""
    middles = (view.edges[1:] + view.edges[:-1]) / 2
    series = [
        {
            "name": f"{name}: median {each.median:.4g}, standard deviation {each.deviation:.4g}",
            "type": "line",
            "step": "middle",
            "showSymbol": False,
            "lineStyle": {"width": 1.6, "color": _COLOURS[name]},
            "itemStyle": {"color": _COLOURS[name]},
            "data": [
                [round(float(at), 3), float(share) or None]
                for at, share in zip(middles, each.share, strict=True)
            ],
        }
        for name, each in view.histograms.items()
    ]
    axis = {
        "axisLabel": {"color": _FAINT, "fontSize": 10},
        "nameTextStyle": {"color": _FAINT, "fontSize": 11},
        "splitLine": {"lineStyle": {"color": _FAINT, "opacity": 0.18}},
        "axisLine": {"lineStyle": {"color": _FAINT}},
    }
    value = {
        "type": "value",
        "name": "pixel value (ADU)",
        "nameLocation": "middle",
        "nameGap": 22,
        "scale": True,
    }
    share = {"type": "log", "name": "share of pixels", "nameLocation": "middle", "nameGap": 44}
    return {
        "animation": False,
        "grid": {"left": 62, "right": 12, "top": 26, "bottom": 36},
        "legend": {"top": 0, "left": 60, "textStyle": {"color": _FAINT, "fontSize": 11}, "itemHeight": 8},
        "tooltip": {"trigger": "axis"},
        "xAxis": {**axis, **value},
        "yAxis": {**axis, **share},
        "series": series,
    }
