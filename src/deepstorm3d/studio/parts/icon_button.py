"""A button that shows a picture in place of words, and says what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

__all__ = ["icon_button"]


def icon_button(icon: str, name: str, on_click: Callable[..., Any] | None = None) -> ui.button:
    """A round button with an icon.

    name: what it does; shown under the pointer, and read aloud by a screen reader.
    """
    button = ui.button(icon=icon, on_click=on_click).props("flat dense round")
    button.props["aria-label"] = name
    # In its slot: it also belongs to the button where this is built while another panel is seen.
    with button:
        ui.tooltip(name)
    return button
