"""PictureView: a super-resolved picture that is drawn anew for every zoom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui.element import Element

from ...extent import Extent

__all__ = ["PictureView"]


class PictureView(Element, component="../web/picture_view.js"):
    """A window on a picture that an address draws: it is asked with left, top, pixel_um, width and height.

    Wheel, + and −: zoom; drag and arrows: pan; double click and 0: everything; click: the molecule there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._props.update(src="", home=[0, 0, 1, 1], homeKey="", title="", labels=["x", "y"])
        self._props.update(colours=[], ends=[0, 1], endsLabel="", names=[])
        self.classes("ds-view-host")

    def show(self, address: str, home: Extent, key: str, *, title: str, labels: tuple[str, str]) -> None:
        """Show what an address draws.  home: edges of everything, µm;  key: another one shows everything."""
        self._set(src=address, home=list(home), homeKey=key, title=title, labels=list(labels))

    def colour_bar(self, colours: Sequence[str], ends: tuple[float, float], label: str) -> None:
        """Draw a colour bar; no colours: none."""
        self._set(colours=list(colours), ends=list(ends), endsLabel=label, names=[])

    def legend(self, colours: Sequence[str], names: Sequence[str]) -> None:
        """Draw a square of each colour with its name, in place of a colour bar."""
        self._set(colours=list(colours), names=list(names))

    def save(self, name: str) -> None:
        """Let the browser save the picture on the screen, with its bars."""
        self.run_method("save", name)

    def on_pick(self, told: Callable[[float, float, float], Any]) -> None:
        """Call with the place of a click, and how far around it counts, µm."""
        self.on("pick", lambda event: told(event.args["x"], event.args["y"], event.args["reach"]))

    def _set(self, **props: Any) -> None:
        if any(self._props.get(name) != value for name, value in props.items()):
            self._props.update(props)
            self.update()
