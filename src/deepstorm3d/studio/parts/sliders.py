"""Sliders whose ends change while they are on the page."""

from __future__ import annotations

from nicegui import ui

__all__ = ["set_ends"]


def set_ends(slider: ui.slider | ui.range, low: float, high: float, step: float = 1) -> None:
    """Give a slider or a range other ends. As numbers: `props()` would make text of them."""
    new = {"min": low, "max": high, "step": step}
    if any(slider.props.get(name) != value for name, value in new.items()):
        slider.props.update(new)
        slider.update()
