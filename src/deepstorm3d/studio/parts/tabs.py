"""From one panel to another, in the tab of the browser whose event is being handled."""

from __future__ import annotations

from nicegui import app, ui

__all__ = ["remember_tabs", "turn_to"]


def remember_tabs(tabs: ui.tabs, of: str = "studio") -> None:
    """Keep tabs of the page that is being built: of the studio's panels, or of the forms of one panel."""
    app.storage.client[f"tabs of {of}"] = tabs


def turn_to(panel: str, form: str | None = None) -> None:
    """Show another panel, by the name on its tab, and the form of this name there."""
    if form is not None:
        app.storage.client[f"tabs of {panel}"].set_value(form)
    app.storage.client["tabs of studio"].set_value(panel)
