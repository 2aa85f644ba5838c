"""CloudView: millions of points in three dimensions, to turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from nicegui.element import Element

__all__ = ["CloudView", "Side"]

Side = Literal["xy", "xz", "yz", "oblique"]
"""From where the cloud is looked at."""


class CloudView(
    Element,
    component="../web/cloud_view.js",
    esm={"deepstorm3d-three": "../web/three", "deepstorm3d-cloud": "../web/cloud"},
):
    """Packed points (`rendering.packed`) of an address: its header, and ``address/K`` for each chunk.

    colours: CSS, for values from end to end.  Drag: turn; wheel: zoom; right drag: pan; arrows: 15 degrees.
    """

    def __init__(self, colours: Sequence[str]) -> None:
        super().__init__()
        self._props.update(src="", title="", colours=list(colours), pixels=1.5, bySigma=False, glow=False)
        self._props.update(slab=["z", 0, 1], turning=False)
        self.classes("ds-view-host")

    def show(self, address: str, *, title: str) -> None:
        """Show the points of an address; "" for none."""
        self._set(src=address, title=title)

    def style_points(self, *, pixels: float, by_sigma: bool, glow: bool) -> None:
        """pixels: size of a point on the screen, or the factor of its σ;  glow: brightness adds up."""
        self._set(pixels=pixels, bySigma=by_sigma, glow=glow)

    def cut(self, axis: Literal["x", "y", "z"], low: float, high: float) -> None:
        """Draw only a part of the box along an axis, 0 to 1."""
        self._set(slab=[axis, low, high])

    def turn_on(self, turning: bool) -> None:
        """Turn by itself, 30 degrees a second."""
        self._set(turning=turning)

    def see(self, name: Side) -> None:
        """Look from one side at everything."""
        self.run_method("see", name)

    def save(self, name: str) -> None:
        """Let the browser save a picture with all points."""
        self.run_method("save", name)

    def film(self, name: str, *, frames: int = 180, rate: int = 30) -> None:
        """Let the browser make and save a film of one turn."""
        self.run_method("film", name, frames, rate)

    def stop_film(self) -> None:
        """End a film that is being made."""
        self.run_method("stopFilm")

    def on_film(self, told: Callable[[int, int, int], Any]) -> None:
        """Call with the frames that are done, those of the film, and its bytes (0: not done, −1: none)."""
        self.on("film", lambda event: told(event.args["done"], event.args["frames"], event.args["bytes"]))

    def _set(self, **props: Any) -> None:
        if any(self._props.get(name) != value for name, value in props.items()):
            self._props.update(props)
            self.update()
