"""FrameView: a camera's image on a canvas, with zoom, contrast, marks, and the value under the pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from nicegui.element import Element

from ..marks import Marks

__all__ = ["FrameView"]


class FrameView(Element, component="../web/frame_view.js"):
    """An image of raw numbers from an address of `arrays.array_response`.

    title: above it;  unit: of its values;  group: views of one group show the same part;
    palette: "grey", or "signed" for residuals.
    Wheel: zoom; drag: pan; double click: everything; shift and drag: a region; click: pick a place.
    """

    def __init__(
        self, title: str, *, unit: str = "", group: str = "", palette: Literal["grey", "signed"] = "grey"
    ) -> None:
        super().__init__()
        self._props.update(title=title, unit=unit, group=group, palette=palette, src="", layers=[], captions=[])
        self.classes("ds-view-host")

    def show(
        self, address: str, corner: tuple[int, int] = (0, 0), frame: tuple[int, int] | None = None
    ) -> None:
        """Show the image at an address; "" for none.

        corner: frame's column and row of its first pixel;  frame: width and height of the frame that it is a
        part of; None: it is all of it.
        """
        new = {"src": address, "corner": list(corner), "frame": None if frame is None else list(frame)}
        if any(self._props.get(name) != value for name, value in new.items()):
            self._props.update(new)
            self.update()

    @property
    def shows(self) -> bool:
        """Whether there is an image."""
        return bool(self._props["src"])

    def entitle(self, title: str) -> None:
        """Another title."""
        if self._props["title"] != title:
            self._props["title"] = title
            self.update()

    def caption(self, words: Sequence[str]) -> None:
        """Words on equal parts of the image, side by side, such as the depths of a strip of planes."""
        if self._props["captions"] != list(words):
            self._props["captions"] = list(words)
            self.update()

    def mark_places(self, *layers: Marks) -> None:
        """Draw these marks, in place of those before."""
        drawn = [layer.as_json() for layer in layers]
        if drawn != self._props["layers"]:
            self._props["layers"] = drawn
            self.update()

    def contrast(self, low: float | None, high: float | None) -> None:
        """The values that are black and white; None: percentiles of the image."""
        if (self._props.get("low"), self._props.get("high")) != (low, high):
            self._props.update(low=low, high=high)
            self.update()

    def outline(self, box: tuple[int, int, int, int] | None) -> None:
        """Draw a region x0, y0, x1, y1 (half open), px of the frame."""
        shown = None if box is None else list(box)
        if self._props.get("rectangle") != shown:
            self._props["rectangle"] = shown
            self.update()

    def on_pick(self, told: Callable[[float, float], Any]) -> None:
        """Call with column and row where the user clicks."""
        self.on("pick", lambda event: told(event.args["x"], event.args["y"]))

    def on_region(self, told: Callable[[tuple[int, int, int, int]], Any]) -> None:
        """Call with x0, y0, x1, y1 where the user drags a region."""
        self.on("region", lambda event: told(tuple(event.args["box"])))

    def on_levels(self, told: Callable[[dict[str, float]], Any]) -> None:
        """Call with low, high, least and most of a new image."""
        self.on("levels", lambda event: told(event.args))
