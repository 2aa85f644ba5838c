"""The mask that was found, on the page: slices measured and modelled, phase, amplitude, figures, warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from ...calibration.phase_retrieval.figure_data import RetrievalPicture, picture_of
from ...calibration.phase_retrieval.retrieval import Retrieval
from ...calibration.phase_retrieval.summary import summary_lines
from ..parts.notices import without_names
from ..parts.props import with_props
from .pictures import amplitude_of, as_address, coloured, slices_picture

__all__ = ["ResultView"]

_FAINT = "#8b96a6"
# Smallest end of the colours of the phase over the design, rad, and of the amplitude over 1.
_LEAST_RAD = 0.1
_LEAST_AMPLITUDE = 0.05


class ResultView:
    """A retrieval as it is shown; built where it is made."""

    def __init__(self) -> None:
        self._shown: Retrieval | None = None
        self._box = ui.element("div").classes("ds-result").props("data-test=mask-result")

    def show(self, found: Retrieval | None) -> bool:
        """Show a retrieval in place of the one before; returns whether it is another one."""
        if found is self._shown:
            return False
        self._shown = found
        self._box.clear()
        if found is not None:
            with self._box:
                _build(found)
        return True


def _build(found: Retrieval) -> None:
    picture = picture_of(found)
    pixels, positions = slices_picture(picture)
    with ui.element("div").classes("ds-planes-row"):
        for position in positions:
            ui.label(f"{position:+.2f} µm")
    with ui.element("div").classes("ds-strip").props("data-test=slices"):
        with_props(ui.element("img"), alt="slices", src=as_address(pixels))
    side = picture.measured.shape[-1]
    ui.label(
        f"the brightest bead at {picture.along}: measured, model, difference (blue −5 σ, red 5 σ); each slice "
        f"{side} px ({side * picture.pixel_um:.3g} µm) on a root scale of its own"
    ).classes("ds-words")
    with ui.element("div").classes("ds-masks"):
        _phases(picture)
        _amplitude(found)
        _agreement(picture)
    for text in found.warnings:
        ui.label(without_names(text)).classes("ds-words ds-doubt")
    for text in summary_lines(found):
        ui.label(text).classes("ds-words").props("data-test=mask-figure")


def _phases(picture: RetrievalPicture) -> None:
    wrapped = np.remainder(picture.phase + np.pi, 2 * np.pi) - np.pi
    _mask(wrapped, -np.pi, np.pi, "twilight", "phase found, −π … π")
    rms = float(np.sqrt(np.nanmean(picture.added**2)))
    top = max(float(np.nanpercentile(np.abs(picture.added), 99)), _LEAST_RAD)
    _mask(picture.added, -top, top, "RdBu_r", f"over the design: {rms:.2f} rad rms, ±{top:.2g}")


def _amplitude(found: Retrieval) -> None:
    amplitude = amplitude_of(found)
    away = max(float(np.nanpercentile(np.abs(amplitude - 1), 99)), _LEAST_AMPLITUDE)
    fitted = "amplitude" if found.figures["transmission_ln_rms"] else "amplitude (not fitted)"
    _mask(amplitude, 1 - away, 1 + away, "gray", f"{fitted}, {1 - away:.2f} … {1 + away:.2f}")


def _mask(values: NDArray[Any], low: float, high: float, name: Any, title: str) -> None:
    with ui.element("div").classes("ds-mask"):
        with ui.element("div"):
            with_props(ui.element("img"), alt=title, src=as_address(coloured(values, low, high, name)))
        ui.label(title).classes("ds-words")


def _agreement(picture: RetrievalPicture) -> None:
    """Correlation of each slice with its model, one line a bead."""
    series = [
        {
            "type": "line",
            "name": f"bead {bead + 1}",
            "symbolSize": 3,
            "lineStyle": {"width": 1.2},
            "data": sorted(
                [round(float(picture.position_each[k]), 3), round(float(picture.correlation[k]), 4)]
                for k in np.flatnonzero(picture.bead == bead)
            ),
        }
        for bead in np.unique(picture.bead).tolist()
    ]
    axis = {
        "axisLabel": {"color": _FAINT, "fontSize": 10},
        "splitLine": {"lineStyle": {"color": _FAINT, "opacity": 0.18}},
        "nameTextStyle": {"color": _FAINT, "fontSize": 11},
        "nameLocation": "middle",
        "type": "value",
        "scale": True,
    }
    with ui.element("div").classes("ds-mask"):
        ui.echart(
            {
                "animation": False,
                "grid": {"left": 44, "right": 8, "top": 8, "bottom": 34},
                "tooltip": {"trigger": "item"},
                "xAxis": {**axis, "name": f"{picture.along} (µm)", "nameGap": 20},
                "yAxis": {**axis, "max": 1},
                "series": series,
            }
        ).classes("ds-agreement")
        ui.label("correlation of each slice with its model").classes("ds-words")
