"""SpaceView: the rows of a comparison as points in 3D, to turn with the pointer."""

from __future__ import annotations

from nicegui.element import Element

from .marks import COLOURS, LABELS
from .outcome import FATES

__all__ = ["SpaceView"]


class SpaceView(Element, component="../web/space_view.js"):
    """Points from an address of `space_points`, coloured by their fate.

    Drag: turn and tilt; wheel: zoom; double click: as at first.
    """

    def __init__(self) -> None:
        super().__init__()
        names, colours = ([words[fate] for fate in FATES] for words in (LABELS, COLOURS))
        self._props.update(src="", names=names, colours=colours, size=4.0)
        self.classes("ds-view-host")

    def show(self, address: str, size: float) -> None:
        """Show the points at an address, "" for none; size: half the width of a point, screen px."""
        if (self._props["src"], self._props["size"]) != (address, size):
            self._props.update(src=address, size=size)
            self.update()
