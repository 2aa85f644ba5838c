"""Follow: draw again what has changed, in every tab."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

__all__ = ["follow"]

# Seconds between looks.
_EVERY_S = 0.15


def follow(changes: Callable[[], object], refresh: Callable[[], None]) -> None:
    """Call `refresh` now, and whenever `changes()` gives another value than before.

    For state that threads, other tabs or other processes change: each tab asks for itself.
    """
    seen: list[object] = [changes()]

    def look() -> None:
        now = changes()
        if now != seen[0]:
            seen[0] = now
            refresh()

    refresh()
    ui.timer(_EVERY_S, look)
