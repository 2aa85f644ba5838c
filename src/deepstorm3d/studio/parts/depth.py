"""Depth as colour, the same on every page and in every picture, and the bar that explains it."""

from __future__ import annotations

from functools import cache

import numpy as np
from nicegui import ui
from numpy.typing import ArrayLike

from ...rendering.colour import depth_colours

__all__ = ["ColourBar", "depth_hex"]


def depth_hex(z_um: ArrayLike, ends_um: tuple[float, float]) -> list[str]:
    """CSS colours of depths; ends_um: depths that have the first and the last colour."""
    low, high = ends_um
    share = (np.asarray(z_um, dtype=np.float64) - low) / max(high - low, 1e-9)
    # A row without a depth is drawn at the shallow end rather than not at all.
    steps = np.nan_to_num(255 * share).clip(0, 255).round().astype(int)
    return [_palette()[step] for step in steps]


@cache
def _palette() -> tuple[str, ...]:
    return tuple("#" + "".join(f"{round(255 * v):02x}" for v in rgb) for rgb in depth_colours())


class ColourBar:
    """The colours with the depths at their ends, in µm."""

    def __init__(self) -> None:
        stops = ", ".join(_palette()[::17])
        with ui.row().classes("ds-bar items-center no-wrap gap-2") as self._row:
            self._low = ui.label().classes("ds-faint")
            ui.element("div").classes("ds-bar-colours").style(f"background: linear-gradient(to right, {stops})")
            self._high = ui.label().classes("ds-faint")

    def set_visibility(self, visible: bool) -> None:
        """Show or hide it."""
        self._row.set_visibility(visible)

    def show(self, ends_um: tuple[float, float]) -> None:
        """Write the depths at the ends."""
        self._low.set_text(f"z {ends_um[0]:.3g}")
        self._high.set_text(f"{ends_um[1]:.3g} µm")
