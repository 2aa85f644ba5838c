"""One projection of points: their densities, and the same in colours of depth or grey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..extent import Extent
from .canvas import Canvas, Image, Method
from .categories import CATEGORIES, category_colours
from .colour import depth_colours
from .sections import Axis, Cloud, Interval

__all__ = ["Colour", "Look", "Shades", "View", "coloured", "planes_of", "shades_of", "view_of"]

Colour = Literal["depth", "dye", "molecule", "none"]
"""What the hue of a picture shows."""


@dataclass(frozen=True)
class Look:
    """How densities become brightness and colour.

    colour: "depth" (hue is depth), "dye" (hue is the dye, `dye_colours`), "molecule" (each molecule of several
    frames has a hue of its own, those of one frame are grey) or "none" (grey);
    percentile: percentile of the density, among pixels that are not empty, that is drawn at full brightness;
    gamma: exponent of the brightness.  Raises InputError for numbers out of range.
    """

    colour: Colour = "depth"
    percentile: float = 99.5
    gamma: float = 0.6

    def __post_init__(self) -> None:
        if self.colour not in get_args(Colour):
            raise InputError(f"colour is {', '.join(get_args(Colour))}, not '{self.colour}'")
        if not 0 < self.percentile <= 100 or not self.gamma > 0:
            raise InputError(
                f"percentile must be in 0 to 100 and gamma above 0, got {self.percentile} and {self.gamma}"
            )


@dataclass(frozen=True)
class View:
    """One projection of the list.

    density: (h, w) localizations per rendered pixel;  rgb: (h, w, 3), 0 to 1, hue depth and
    brightness density;  edges_um: left, top, right, bottom edge of the image on its own axes;
    full: the density drawn at full brightness.
    """

    density: Image
    rgb: Image
    edges_um: Extent
    full: float


@dataclass(frozen=True)
class Shades:
    """The colours of points.

    index: (N,) of each point in the palette;  palette: (K, 4) a density of 1, and red, green and blue.
    """

    index: NDArray[np.uint8]
    palette: Image


def shades_of(cloud: Cloud, ends: Interval, look: Look) -> Shades | None:
    """The colour of each point; None for a grey picture.

    ends: depths at the two ends of the colours.
    Raises InputError for dyes or molecules of a list that does not tell them.
    """
    if look.colour == "none":
        return None
    if look.colour == "depth":
        index = ((cloud.xyz[:, 2] - ends[0]) * (256 / (ends[1] - ends[0]))).clip(0, 255).astype(np.uint8)
        return Shades(index, _palette("depth"))
    if look.colour in cloud.numbers:
        return Shades(cloud.numbers[look.colour], _palette(look.colour))
    if look.colour == "dye":
        raise InputError("the list does not say which dye its molecules are", "tell them apart first (`dyes`)")
    raise InputError(
        "the list does not say which rows are one molecule",
        "localize with the fit over several frames (`over_frames=True`)",
    )


def view_of(
    cloud: Cloud,
    shades: Shades | None,
    axes: tuple[Axis, Axis],
    canvas: Canvas,
    method: Method,
    look: Look,
) -> View:
    """Densities and colours, both spread in the same way, combined to one picture."""
    # The last row and column are whole pixels, also where the field ends inside them.
    return coloured(planes_of(cloud, shades, axes, canvas, method), canvas.edges_um, look)


def planes_of(
    cloud: Cloud, shades: Shades | None, axes: tuple[Axis, Axis], canvas: Canvas, method: Method
) -> Image:
    """Densities (1, h, w), and with colours of the points their sums of red, green and blue (4, h, w)."""
    if shades is None:
        return method.draw(canvas, cloud.blocks(axes, np.ones((1, 1), np.float32)), 1)
    return method.draw(canvas, cloud.blocks(axes, shades.palette, shades.index), shades.palette.shape[1])


@cache
def _palette(colour: Colour) -> Image:
    """A density of 1 and the colour for each of 256 depths, dyes or molecules, (256, 4)."""
    colours = category_colours(colour) if colour in CATEGORIES else depth_colours()
    palette = np.concatenate([np.ones((256, 1)), colours], axis=1).astype(np.float32)
    palette.flags.writeable = False
    return palette


def coloured(planes: Image, edges_um: Extent, look: Look) -> View:
    """The picture of densities (`planes_of`): brightness is density, hue the mean colour of what lies there."""
    density, *channels = planes
    some = density[density > 0]
    full = float(np.percentile(some, look.percentile)) if len(some) else 1.0
    rgb = np.minimum(density / full, 1.0)[..., None] ** np.float32(look.gamma)
    if channels:
        rgb = rgb * (np.stack(channels, axis=-1) / np.where(density > 0, density, 1.0)[..., None])
    else:
        rgb = np.repeat(rgb, 3, axis=-1)
    return View(density, rgb.clip(0.0, 1.0).astype(np.float32), edges_um, full)
