"""Parts common to all pictures: image panels in µm with y pointing down, scale bars, colour bars, saving."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..extent import Extent
from ..io.parts import claim_name, whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "claim_picture",
    "colour_bar",
    "figure_png",
    "fit_ticks",
    "new_figure",
    "picture_format",
    "plain_numbers",
    "round_length",
    "save_figure",
    "scale_bar",
    "show_image",
]


def new_figure(width: float, height: float, title: str = "", *, dpi: int = 150) -> Figure:
    """An empty figure of a size in inches; it belongs to the caller, not to pyplot, and a notebook displays it.

    dpi: pixels per inch, on the screen and in a file.
    """
    from .picture import Picture

    figure = Picture(figsize=(width, height), dpi=dpi, layout="compressed")
    if title:
        figure.suptitle(title)
    return figure


def show_image(axes: Axes, image: Any, edges_um: Extent, title: str, **look: Any) -> AxesImage:
    """Draw an image (h, w) or (h, w, 3) between its edges in µm, y down, with a title and axis labels."""
    left, top, right, bottom = edges_um
    drawn = axes.imshow(image, extent=(left, right, bottom, top), origin="upper", aspect="equal", **look)
    axes.set(title=title, xlabel="x (µm)", ylabel="y (µm)")
    axes.title.set_fontsize(10)
    fit_ticks(axes, edges_um)
    return drawn


def fit_ticks(axes: Axes, edges_um: Extent) -> None:
    """So few steps along the axes of an image that their numbers do not stand over each other."""
    left, top, right, bottom = edges_um
    width, height = right - left, bottom - top
    # Along the short side of a long image as many as have room there.
    axes.locator_params(axis="x", nbins="auto" if width < height / 3 else 6)
    axes.locator_params(axis="y", nbins="auto" if height < width / 3 else 6)


def colour_bar(
    mappable: AxesImage | ScalarMappable | PathCollection, axes: Axes, label: str, **look: Any
) -> None:
    """A colour bar as tall as its panel, on its right, labelled with its unit."""
    bar = axes.figure.colorbar(mappable, ax=axes, label=label, fraction=0.05, pad=0.02, **look)
    bar.ax.locator_params(nbins=7)


def plain_numbers(axes: Axes) -> None:
    """1, 2, 5, 10 along logarithmic axes rather than powers of ten, so that a value can be read off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        axis.set_minor_formatter(NullFormatter())


def round_length(width_um: float) -> float:
    """The longest of 1, 2, 5 × 10ⁿ µm that is at most a quarter of the width."""
    limit = width_um / 4.0
    power = 10.0 ** np.floor(np.log10(limit))
    return float(max(step * power for step in (1.0, 2.0, 5.0) if step * power <= limit * (1 + 1e-9)))


def scale_bar(axes: Axes, edges_um: Extent, colour: str = "white") -> None:
    """A bar of round length in the lower left corner, outlined so that it is readable on any image."""
    from matplotlib.patheffects import withStroke

    left, _, right, _ = edges_um
    length = round_length(right - left)
    text = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    begin = left + 0.04 * (right - left)
    outline = "black" if colour == "white" else "white"
    across = axes.get_xaxis_transform()
    axes.plot(
        [begin, begin + length],
        [0.05, 0.05],
        color=colour,
        linewidth=3,
        solid_capstyle="butt",
        transform=across,
        path_effects=[withStroke(linewidth=5, foreground=outline)],
        scalex=False,
        scaley=False,
    )
    axes.text(
        begin + length / 2,
        0.07,
        text,
        color=colour,
        fontsize=9,
        ha="center",
        va="bottom",
        transform=across,
        path_effects=[withStroke(linewidth=2.5, foreground=outline)],
    )


def figure_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, at its own resolution."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi="figure")
    return file.getvalue()


def picture_format(path: Path) -> str:
    """The format of a picture by its ending (none: PNG); asked before long work that ends in a picture.

    Raises InputError for an ending that is none of a picture.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    kind = path.suffix.lstrip(".").lower() or "png"
    known = FigureCanvasBase.get_supported_filetypes()
    if kind not in known:
        raise InputError(f"{path}: no picture format ends in '.{kind}'; use one of {', '.join(sorted(known))}")
    return kind


def claim_picture(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that a picture may be written there.

    Raises InputError as `picture_format` and `claim_name`.
    """
    picture_format(path)
    claim_name(path, overwrite=overwrite)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure at its own resolution; the file has its final name only once it is complete.

    path: the ending gives the format (.png, .pdf, .svg, …; none: PNG).
    Raises InputError where the file cannot be written or its ending is not a picture format.
    """
    path = Path(path)
    kind = picture_format(path)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi="figure", format=kind)
