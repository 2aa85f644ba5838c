"""What a screen shows of a list: a picture of its own size at any zoom, drawn from points sorted by tile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .canvas import Canvas, Image, Method
from .sections import AXES, Axis, Box, Interval
from .tiles import Tiles
from .view import Look, View, coloured, planes_of, shades_of

__all__ = ["Pane", "PaneView", "render_pane"]

# Largest margin around a canvas for points outside of it whose width reaches in, as a part of its longer side.
_MARGIN = 0.5


@dataclass(frozen=True)
class Pane:
    """The window that a screen looks through.

    canvas: its pixels, on the view's own axes;  axes: of the rows and of the columns, ("y", "x") from above;
    box: the part of the sample that is drawn, whatever the window (a section through depth);
    z_range_um: depths at the two ends of the colours.
    Raises InputError for axes that do not differ, and for depths that do not grow.
    """

    canvas: Canvas
    axes: tuple[Axis, Axis] = ("y", "x")
    box: Box = field(default_factory=Box)
    z_range_um: Interval = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.axes[0] == self.axes[1]:
            raise InputError(f"a picture has two different axes, got {self.axes[0]} twice")
        shallow, deep = self.z_range_um
        if not deep > shallow:
            raise InputError(f"the depth range must grow, got {shallow:g} to {deep:g} µm")

    def sight(self, margin_um: float = 0.0) -> Box | None:
        """The box and the window, wider by a margin, together; None where they have nothing in common."""
        left, top, right, bottom = self.canvas.edges_um
        box = self.box
        for axis, low, high in ((self.axes[1], left, right), (self.axes[0], top, bottom)):
            first, last = getattr(box, axis)
            low, high = max(low - margin_um, first), min(high + margin_um, last)
            if not low < high:
                return None
            box = replace(box, **{axis: (low, high)})
        return box


@dataclass(frozen=True)
class PaneView:
    """The picture, how many points have their centre in the window, and whether these are only estimated.

    step: 1, or only every step-th point was looked at and drawn.
    """

    view: View
    inside: int
    step: int


def render_pane(
    tiles: Tiles,
    pane: Pane,
    *,
    method: Method,
    look: Look,
    keep: NDArray[np.bool_] | None = None,
    most: int | None = None,
) -> PaneView:
    """Draw the points that a window shows.

    keep: (N,) which of the points of `tiles` are drawn; None: all;  most: look at about so many of them, evenly
    chosen, and state the densities as if all were drawn: a first look at a long list; None: all.
    Points outside of the window whose Gaussians reach into it are drawn too.
    """
    margin_um = _margin_um(tiles, pane, method)
    sight = pane.sight(margin_um)
    step = 1 if most is None or sight is None else 1 + tiles.count_near(sight) // most
    points = np.zeros(0, np.int64) if sight is None else tiles.inside(sight, keep, step=step)
    if method.needs_sigma:
        points = points[(tiles.sigma[points] > 0).all(axis=1)]
    cloud = tiles.cloud(points)
    margin_px = round(margin_um / pane.canvas.pixel_um)
    shades = shades_of(cloud, pane.z_range_um, look)
    planes = planes_of(cloud, shades, pane.axes, _widened(pane.canvas, margin_px), method)
    planes = step * _without_margin(planes, margin_px)
    inside = step * int(_in_window(tiles, points, pane).sum()) if margin_um > 0 else step * len(points)
    return PaneView(coloured(planes, pane.canvas.edges_um, look), inside, step)


def _margin_um(tiles: Tiles, pane: Pane, method: Method) -> float:
    """How far around the window points lie that reach into it: whole pixels, in µm."""
    canvas, wide = pane.canvas, tiles.wide[[AXES.index(axis) for axis in pane.axes]]
    pixels = min(method.reach_um(wide) / canvas.pixel_um, _MARGIN * max(canvas.shape))
    return canvas.pixel_um * float(np.ceil(pixels))


def _in_window(tiles: Tiles, points: NDArray[np.int64], pane: Pane) -> NDArray[np.bool_]:
    box = pane.sight()
    return np.zeros(len(points), np.bool_) if box is None else box.inside(tiles.xyz[points])


def _widened(canvas: Canvas, pixels: int) -> Canvas:
    """The same pixels, and some more on each side."""
    rows, columns = canvas.shape
    reach = pixels * canvas.pixel_um
    shape = (rows + 2 * pixels, columns + 2 * pixels)
    return Canvas(canvas.left - reach, canvas.top - reach, canvas.pixel_um, shape)


def _without_margin(planes: Image, pixels: int) -> Image:
    return planes[:, pixels : planes.shape[1] - pixels, pixels : planes.shape[2] - pixels]
