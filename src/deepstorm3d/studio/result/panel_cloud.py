"""The cloud in three dimensions: how its points are drawn, pictures and films of it."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ...columns import COLUMNS
from ..desk import Desk
from ..parts.cloud_view import CloudView, Side
from ..parts.depth import depth_hex
from ..parts.icon_button import icon_button
from ..parts.notices import guarded, say
from ..parts.props import with_props

__all__ = ["CloudPart"]

_VIEWS: dict[Side, str] = {"oblique": "3D", "xy": "x–y", "xz": "x–z", "yz": "y–z"}


class CloudPart:
    """Controls, and the cloud."""

    def __init__(self, desk: Desk) -> None:
        self.look = desk.result
        self.columns: object = None
        with ui.element("div").classes("ds-row ds-result-tools"):
            for name, label in _VIEWS.items():
                button = ui.button(label, on_click=lambda _, n=name: self.view.see(n))
                with_props(button.props("flat dense no-caps"), data_test=f"see-{name}")
            self.colour = (
                ui.select({"z_nm": "z_nm"}, value="z_nm", label="Colour", on_change=guarded(self._colour))
                .props("dense outlined options-dense data-test=cloud-colour")
                .style("width: 130px")
            )
            self.size = self._slider(0.5, 6, 0.25, 1.5, 70, "Size of a point")
            self.by_sigma = ui.checkbox("size by σ", on_change=self._restyle).props("dense")
            self.glow = ui.checkbox("glow", on_change=self._restyle).props("dense")
            self.glow.tooltip("Brightness adds up, so that density shows")
            self.axis = (
                ui.toggle(["x", "y", "z"], value="z", on_change=self._cut)
                .props("dense no-caps unelevated size=sm")
                .tooltip("The axis across the slab")
            )
            with ui.element("div").classes("ds-result-range"):
                self.told = ui.label("slab").classes("ds-faint")
                self.slab = (
                    ui.range(min=0, max=1, step=0.005, value={"min": 0, "max": 1})
                    .props("dense data-test=slab")
                    .on_value_change(self._cut)
                )
            self.turning = icon_button("360", "Turn by itself", self._turn).props("data-test=turntable")
            icon_button(
                "photo_camera", "Save a picture with all points (PNG)", lambda: self.view.save("cloud.png")
            ).props("data-test=save-cloud")
            self.film = icon_button("movie", "Make a film of one turn (WebM)", self._film)
            self.film.props("data-test=film")
        self.view = CloudView(depth_hex([k / 255 for k in range(256)], (0.0, 1.0))).props("data-test=cloud")
        self.view.on_film(self._filmed)
        self.is_turning, self.is_filming = False, False

    def _slider(self, low: float, high: float, step: float, value: float, width: int, tip: str) -> ui.slider:
        return (
            ui.slider(min=low, max=high, step=step, value=value, on_change=self._restyle)
            .props("dense")
            .style(f"width: {width}px; min-width: {width}px")
            .tooltip(tip)
        )

    def _restyle(self, _: Any = None) -> None:
        self.view.style_points(
            pixels=float(self.size.value or 1.5), by_sigma=bool(self.by_sigma.value), glow=bool(self.glow.value)
        )

    def _cut(self, _: Any = None) -> None:
        shares = self.slab.value or {"min": 0.0, "max": 1.0}
        low, high = float(shares["min"]), float(shares["max"])
        self.view.cut(self.axis.value, low, high)
        opened = self.look.opened
        if opened is not None:
            first, last = opened.limits["xyz".index(self.axis.value)]
            ends = (first + share * (last - first) for share in (low, high))
            self.told.set_text(f"slab {self.axis.value} {next(ends):.2f} … {next(ends):.2f} µm")

    def _colour(self, event: Any) -> None:
        if self.look.opened is not None and event.value:
            self.look.cloud.colour_by(event.value)

    def _turn(self) -> None:
        self.is_turning = not self.is_turning
        self.view.turn_on(self.is_turning)
        with_props(self.turning, color="warning" if self.is_turning else "primary")

    def _film(self) -> None:
        if self.is_filming:
            self.view.stop_film()
            return
        self.is_filming = True
        self.view.film("turntable.webm")

    def _filmed(self, done: int, frames: int, size: int) -> None:
        self.is_filming = size == 0
        if size == 0:
            with_props(self.film, icon="stop", color="warning", label=f"{done} of {frames}")
            return
        self.film.props("icon=movie color=primary").props(remove="label")
        if size > 0:
            say(f"turntable.webm: {frames} frames, {size / 1e6:.1f} MB", "positive")

    def refresh(self) -> None:
        """Show what the panel's state says."""
        opened, kept, column = self.look.opened, self.look.kept, self.look.cloud.column
        if self.columns is not self.look.columns:
            self.columns = self.look.columns
            names = {name: name for name in COLUMNS if name in self.look.columns} or {"z_nm": "z_nm"}
            self.colour.set_options(names, value=column if column in names else "z_nm")
        if opened is None or kept is None:
            self.view.show("", title="")
            return
        self._cut()
        version = f"{opened.number}.{kept.number}.{self.look.cloud.changes}"
        self.view.show(
            f"/data/result/cloud?v={version}",
            title=f"{kept.rows:,} localization{'s' if kept.rows != 1 else ''}",
        )
