"""The page: a header with the panels as tabs, dark and light, and the keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from .beads.panel import beads_panel
from .compare.panel import compare_panel
from .desk import Desk
from .limits.panel import limits_panel
from .movie.panel import movie_panel
from .parts.icon_button import icon_button
from .parts.props import with_props
from .parts.tabs import remember_tabs
from .result.panel import result_panel
from .setup.panel import setup_panel
from .training.panel import training_panel

__all__ = ["PANELS", "build_page"]

PANELS: dict[str, Callable[[Desk], ui.keyboard | None]] = {
    "Movie": movie_panel,
    "Set-up": setup_panel,
    "Beads": beads_panel,
    "Train and run": training_panel,
    "Result": result_panel,
    "Limits": limits_panel,
    "Compare": compare_panel,
}
"""The panels in the order of their tabs: each builds itself, and gives its keys if it has any."""

# Name of the cookie that holds the choice between dark (1) and light (0).
_DARK = "deepstorm3d-dark"
# Scripts that keep it in its cookie.
_KEEP_DARK = f"document.cookie = '{_DARK}=1; path=/; samesite=strict'"
_KEEP_LIGHT = f"document.cookie = '{_DARK}=0; path=/; samesite=strict'"
_LOOK = Path(__file__).parent / "web" / "studio.css"


def build_page(desk: Desk) -> None:
    """Build the page of one tab of the browser."""
    ui.add_css(_LOOK.read_text(encoding="utf-8"))
    # Above, because below a field stands what is wrong with it.
    ui.tooltip.default_props("anchor='top middle' self='bottom middle'")
    ui.colors(primary="var(--ds-accent)", positive="#2c8a4b", negative="#c0392b", warning="#b7791f")
    asked = ui.context.client.request.query_params.get("tab", "")
    first = asked if asked in PANELS else next(iter(PANELS))
    with ui.element("div").classes("ds-header"):
        ui.label("deepstorm3d").classes("ds-name")
        with ui.tabs().props("dense no-caps inline-label shrink align=left") as tabs:
            for name in PANELS:
                with_props(ui.tab(name), data_test=f"tab-{name}")
        ui.space()
        folder = ui.label(desk.folder.root.name).classes("ds-faint ellipsis")
        folder.tooltip(f"What may be opened and written lies in {desk.folder.root}")
        _build_dark_or_light()
    remember_tabs(tabs)
    keys: dict[str, ui.keyboard] = {}
    with ui.tab_panels(tabs, value=first).props("keep-alive").classes("ds-body"):
        for name, build in PANELS.items():
            with ui.tab_panel(name):
                if (keyboard := build(desk)) is not None:
                    keys[name] = keyboard
    tabs.set_value(first)
    _turn_to(first, keys)
    tabs.on_value_change(lambda event: _turn_to(str(event.value), keys))


def _turn_to(panel: str, keys: dict[str, ui.keyboard]) -> None:
    """The keys are those of the panel that is seen, and a reload shows it again."""
    for name, keyboard in keys.items():
        keyboard.active = name == panel
    ui.navigate.history.replace(f"/?tab={quote(panel)}")


def _build_dark_or_light() -> None:
    """A button: from the system's choice to dark, and between dark and light after that."""
    chosen = ui.context.client.request.cookies.get(_DARK)
    dark = ui.dark_mode(None if chosen is None else chosen == "1")

    def change() -> None:
        dark.set_value(not dark.value)
        # A reload shows what was chosen.
        ui.run_javascript(_KEEP_DARK if dark.value else _KEEP_LIGHT)

    icon_button("contrast", "Dark or light", change).props("data-test=dark")
