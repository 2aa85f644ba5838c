"""The picture in two dimensions: how the kept rows are drawn in the window that a screen looks through."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ...columns import COLUMNS
from ...errors import InputError
from ...extent import Extent
from ...rendering.canvas import Canvas, Method
from ...rendering.gaussians import Gaussians
from ...rendering.histograms import ShiftedHistogram
from ...rendering.panes import Pane, PaneView, render_pane
from ...rendering.sections import AXES, Axis, Box, Interval
from ...rendering.view import Colour, Look
from .kept import Kept
from .opened import OpenList

__all__ = ["ROUGH_ROWS", "Drawing", "PictureLook", "Window", "as_png", "draw", "home", "nearest"]

ROUGH_ROWS = 500_000
"""Rows of a first look; the whole picture follows."""

Seen = Literal["xy", "xz", "yz"]
# Axes of the rows and of the columns of each view.
_AXES: dict[Seen, tuple[Axis, Axis]] = {"xy": ("y", "x"), "xz": ("z", "x"), "yz": ("y", "z")}
# Most pixels of a screen on a side.
_LARGEST_PX = 8000
# Smallest pixel, µm: far below the size of a molecule.
_FINEST_UM = 1e-5


@dataclass(frozen=True)
class Drawing:
    """How the picture is drawn.

    method: "gaussian" (each as wide as its σ), "blur" (one σ for all) or "histogram";  blur_nm: that σ;
    colour: as in `Look`;  seen: from above, or from a side;  section: the part of each axis that is drawn;
    depths: at the ends of the colours, µm;  percentile, gamma: as in `Look`.
    """

    method: Literal["gaussian", "blur", "histogram"] = "histogram"
    blur_nm: float = 10.0
    colour: Colour = "depth"
    seen: Seen = "xy"
    section: Box = field(default_factory=Box)
    depths: Interval = (0.0, 1.0)
    percentile: float = 99.5
    gamma: float = 0.6

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Axes of the rows and of the columns."""
        return _AXES[self.seen]

    def drawn_by(self) -> Method:
        """The method of the renderer; raises InputError for a blur below 1 nm."""
        if self.method == "histogram":
            return ShiftedHistogram()
        return Gaussians() if self.method == "gaussian" else Gaussians(self.blur_nm / 1000)


@dataclass(frozen=True)
class Window:
    """What a screen looks at: the left and top edge and its pixel, µm, and its size in pixels."""

    left: float
    top: float
    pixel_um: float
    width: int
    height: int

    @property
    def canvas(self) -> Canvas:
        """Its pixels; raises InputError where they cannot be drawn."""
        if not (1 <= self.width <= _LARGEST_PX and 1 <= self.height <= _LARGEST_PX):
            raise InputError(f"a picture of {self.width} × {self.height} pixels cannot be drawn on a screen")
        if not (np.isfinite([self.left, self.top]).all() and _FINEST_UM <= self.pixel_um < 1e6):
            raise InputError(f"a pixel of {1000 * self.pixel_um:g} nm cannot be drawn")
        return Canvas(self.left, self.top, self.pixel_um, (self.height, self.width))


class PictureLook:
    """How the picture is drawn, and what was looked at last.

    Attributes
    ----------
    drawing : Drawing
    window : Window or None
        That of the screen that asked last.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.drawing = Drawing()
        self.window: Window | None = None
        # A first look never waits for a whole picture, which may take seconds.
        self._one = {rough: threading.Lock() for rough in (True, False)}
        self._newest: dict[str, int] = {}

    def suit(self, opened: OpenList) -> None:
        """Begin anew for a list: its own depths, and Gaussians where it has σ."""
        method = "gaussian" if opened.has_sigma else "histogram"
        self.drawing = replace(Drawing(), method=method, depths=opened.depths)
        self.window = None
        self.changes += 1

    def use(self, **changes: object) -> None:
        """Draw otherwise: fields of `Drawing`."""
        changed = replace(self.drawing, **changes)  # pyright: ignore[reportArgumentType]
        changed.drawn_by()
        if changed != self.drawing:
            self.drawing = changed
            self.changes += 1

    def cut(self, axis: Axis, between_um: Interval) -> None:
        """Draw only what lies between two planes; infinite: no limit."""
        self.use(section=replace(self.drawing.section, **{axis: between_um}))

    def draw(self, kept: Kept, window: Window, *, rough: bool, screen: str, number: int) -> PaneView | None:
        """Draw what a screen looks at, one first look and one whole picture at a time.

        rough: a first look at a part of the rows;  screen, number: who asks, and which question it is; None
        where the same screen has asked anew in the meantime.
        """
        self._newest[screen] = max(number, self._newest.get(screen, 0))
        with self._one[rough]:
            if number < self._newest[screen]:
                return None
            self.window = window
            return draw(kept, self.drawing, window, rough=rough)


def draw(kept: Kept, drawing: Drawing, window: Window, *, rough: bool = False) -> PaneView:
    """The kept rows in a window; rough: a first look at about `ROUGH_ROWS` of them."""
    return render_pane(
        kept.opened.tiles,
        Pane(window.canvas, drawing.axes, drawing.section, drawing.depths),
        method=drawing.drawn_by(),
        look=Look(drawing.colour, drawing.percentile, drawing.gamma),
        keep=kept.points,
        most=ROUGH_ROWS if rough else None,
    )


def as_png(picture: PaneView) -> bytes:
    """The picture as a PNG file, packed lightly because it goes no further than this machine."""
    from PIL import Image

    eight_bits = np.rint(255 * picture.view.rgb).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(eight_bits).save(file, "PNG", compress_level=1)
    return file.getvalue()


def home(opened: OpenList, drawing: Drawing) -> Extent:
    """Left, top, right and bottom of all that can be seen, µm."""
    across, along = (AXES.index(axis) for axis in drawing.axes)
    (top, bottom), (left, right) = opened.limits[across], opened.limits[along]
    return (left, top, right, bottom)


def nearest(kept: Kept, drawing: Drawing, place: tuple[float, float], reach_um: float) -> dict[str, float]:
    """The values of the kept row nearest to a place (column, row, µm) of the picture; {} if none is near."""
    axes = [AXES.index(axis) for axis in (drawing.axes[1], drawing.axes[0])]
    around = {
        AXES[axis]: (centre - reach_um, centre + reach_um) for axis, centre in zip(axes, place, strict=True)
    }
    tiles = kept.opened.tiles
    points = tiles.inside(replace(Box(), **around), kept.points)
    points = points[drawing.section.inside(tiles.xyz[points])]
    if not len(points):
        return {}
    far = np.square(tiles.xyz[points][:, axes] - np.array(place)).sum(axis=1)
    if far.min() > reach_um**2:
        return {}
    row = kept.opened.table[np.array([tiles.rows[points[far.argmin()]]])]
    values = {name: float(column.values(row)[0]) for name, column in COLUMNS.items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}
