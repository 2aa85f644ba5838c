"""The picture in two dimensions: how it is drawn, and the molecule that was clicked."""

from __future__ import annotations

import math
from typing import Any

from nicegui import ui

from ...rendering.categories import CATEGORIES
from ..desk import Desk
from ..parts.depth import depth_hex
from ..parts.icon_button import icon_button
from ..parts.notices import guarded
from ..parts.picture_view import PictureView
from ..parts.props import with_props
from .legend import legend_of, offered_colours
from .molecule import lifetime_chart, rows_of_molecule
from .picture import home, nearest

__all__ = ["PicturePart"]

_METHODS = {"gaussian": "Gaussians, each σ", "blur": "Gaussians, one σ", "histogram": "Histogram"}
_SEEN = {"xy": "x – y", "xz": "x – z", "yz": "z – y"}


class PicturePart:
    """Controls, the picture, and a line about a molecule."""

    def __init__(self, desk: Desk) -> None:
        self.look = desk.result
        self.ranged: object = None
        with ui.element("div").classes("ds-row ds-result-tools"):
            self.method = self._select(_METHODS, "method", "Drawn as", 196)
            self.blur = (
                ui.number("σ, nm", value=10, min=1, format="%.4g", on_change=self._use_blur)
                .props("dense outlined debounce=300")
                .style("width: 76px")
            )
            self.seen = self._select(_SEEN, "seen", "Seen", 134).props("data-test=seen")
            self.colour = self._select(offered_colours(None), "colour", "Colour", 132)
            self.colour.props("data-test=picture-colour")
            with ui.element("div").classes("ds-result-range"):
                self.depths = ui.label().classes("ds-faint").props("data-test=section")
                self.section = (
                    ui.range(min=0, max=1, step=0.01, value={"min": 0, "max": 1})
                    .props("dense data-test=section-range")
                    .on("update:model-value", guarded(self._cut), throttle=0.1)
                )
            self.gamma = (
                ui.slider(min=0.2, max=1.2, step=0.05, value=0.6)
                .props("dense label")
                .style("width: 80px")
                .on("update:model-value", guarded(lambda event: self._use(gamma=event.args)), throttle=0.1)
                .tooltip("Brightness: the exponent of the density; lower shows sparse structures")
            )
            icon_button(
                "save", "Save the picture on the screen (PNG)", lambda: self.view.save("picture.png")
            ).props("data-test=save-picture")
        self.view = PictureView().props("data-test=picture")
        self.view.on_pick(guarded(self._pick))
        self.molecule = ui.label().classes("ds-words ds-result-molecule").props("data-test=molecule")
        self.lifetime = ui.echart({}).classes("ds-result-lifetime").props("data-test=lifetime")
        self.lifetime.set_visibility(False)

    def _select(self, options: dict[str, str], field: str, label: str, width: int) -> ui.select:
        return (
            ui.select(options, label=label, on_change=guarded(lambda event: self._use(**{field: event.value})))
            .props("dense outlined options-dense")
            .style(f"width: {width}px")
        )

    def _use(self, **changes: object) -> None:
        if self.look.opened is not None and None not in changes.values():
            self.look.picture.use(**changes)

    @guarded
    def _use_blur(self, event: Any) -> None:
        if event.value:
            self._use(blur_nm=float(event.value))

    def _cut(self, event: Any) -> None:
        opened = self.look.opened
        if opened is None:
            return
        low, high = opened.limits[2]
        first, last = float(event.args["min"]), float(event.args["max"])
        cut = (-math.inf if first <= low else first, math.inf if last >= high else last)
        if cut[0] < cut[1]:
            self.look.picture.cut("z", cut)

    def _pick(self, x: float, y: float, reach: float) -> None:
        kept = self.look.kept
        if kept is None:
            return
        values = nearest(kept, self.look.picture.drawing, (x, y), reach)
        told = " · ".join(f"{name} {_number(value)}" for name, value in values.items())
        self.molecule.set_text(told or "no molecule there")
        rows = rows_of_molecule(kept.opened, int(values["molecule"])) if "molecule" in values else None
        self.lifetime.set_visibility(rows is not None)
        if rows is not None:
            self.molecule.set_text(f"{rows} · {told}")
            self.lifetime.options.clear()
            self.lifetime.options.update(lifetime_chart(rows))
            self.lifetime.update()

    def refresh(self) -> None:
        """Show what the panel's state says."""
        opened, kept, drawing = self.look.opened, self.look.kept, self.look.picture.drawing
        for element, value in ((self.method, drawing.method), (self.seen, drawing.seen)):
            element.set_value(value)
        self.colour.set_options(offered_colours(opened), value=drawing.colour)
        self.gamma.set_value(drawing.gamma)
        self.blur.set_visibility(drawing.method == "blur")
        if opened is None or kept is None:
            self.view.show("", (0, 0, 1, 1), "", title="", labels=("x", "y"))
            self.view.colour_bar([], (0, 1), "")
            self.lifetime.set_visibility(False)
            self.depths.set_text("section")
            return
        self._refresh_section(opened)
        across, along = drawing.axes
        version = f"{opened.number}.{kept.number}.{self.look.picture.changes}"
        self.view.show(
            f"/data/result/picture?v={version}",
            home(opened, drawing),
            f"{opened.number}.{drawing.seen}",
            title=f"{kept.rows:,} localizations, {_METHODS[drawing.method]}",
            labels=(along, across),
        )
        if drawing.colour in CATEGORIES:
            self.view.legend(*legend_of(opened, drawing.colour))
            return
        colours = depth_hex([k / 15 for k in range(16)], (0.0, 1.0)) if drawing.colour == "depth" else []
        self.view.colour_bar(colours, drawing.depths, "depth z (µm)")

    def _refresh_section(self, opened: Any) -> None:
        low, high = opened.limits[2]
        if self.ranged is not opened:
            self.ranged = opened
            step = round((high - low) / 200, 5)
            with_props(self.section, min=round(low, 4), max=round(high, 4), step=step)
        first, last = self.look.picture.drawing.section.z
        first, last = max(low, first), min(high, last)
        self.section.set_value({"min": first, "max": last})
        self.depths.set_text(f"section z {first:.2f} … {last:.2f} µm")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10_000 else f"{value:.4g}"
