"""The page: a header with the panels as tabs, dark and light, and the keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nicegui import ui

from .desk import Desk
from .movie.panel import movie_panel

__all__ = ["PANELS", "build_page"]

PANELS: dict[str, Callable[[Desk], None]] = {
    "Movie": movie_panel,
}
"""The panels in the order of their tabs."""

_LOOK = Path(__file__).parent / "web" / "studio.css"


def build_page(desk: Desk) -> None:
    """Build the page of one tab of the browser."""
    ui.add_css(_LOOK.read_text(encoding="utf-8"))
    ui.colors(primary="var(--ds-accent)", positive="#2c8a4b", negative="#c0392b", warning="#b7791f")
    dark = ui.dark_mode(None)
    with ui.element("div").classes("ds-header"):
        ui.label("deepstorm3d").classes("ds-name")
        with ui.tabs().props("dense no-caps inline-label shrink align=left") as tabs:
            for name in PANELS:
                ui.tab(name).props(f"data-test='tab-{name}'")
        ui.space()
        ui.label(str(desk.folder.root)).classes("ds-faint ellipsis").tooltip("What may be opened lies in here")
        ui.button(icon="contrast", on_click=lambda: _turn(dark)).props("flat dense round").tooltip(
            "Dark or light"
        ).props("data-test=dark")
    with ui.tab_panels(tabs, value=next(iter(PANELS))).props("keep-alive").classes("ds-body"):
        for name, build in PANELS.items():
            with ui.tab_panel(name):
                build(desk)


def _turn(dark: ui.dark_mode) -> None:
    """From the system's choice to dark, and between dark and light after that."""
    dark.set_value(not dark.value)
