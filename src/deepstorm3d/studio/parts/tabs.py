"""From one panel to another, in the tab of the browser whose event is being handled."""

from __future__ import annotations

from nicegui import app, ui

__all__ = ["remember_tabs", "turn_to"]


def remember_tabs(tabs: ui.tabs) -> None:
    """Keep the tabs of the page that is being built."""
    app.storage.client["tabs"] = tabs


def turn_to(panel: str) -> None:
    """Show another panel, by the name on its tab."""
    app.storage.client["tabs"].set_value(panel)
