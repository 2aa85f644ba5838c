"""The pictures of a list: rendering with side views, pixel value histograms, overlays, truth in 3D."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..errors import InputError
from .colour import depth_colormap
from .overlay import overlay_figure
from .panels import Target, new_figure, save_figure, scale_bar, show_image
from .rendering import DepthRendering
from .scatter import truth_figure

__all__ = ["histogram_figure", "overlay_figure", "rendering_figure", "truth_figure"]


def rendering_figure(rendering: DepthRendering, target: Target, *, title: str = "") -> None:
    """Draw a rendering from above with its x–z view below and its y–z view beside it, on common axes.

    rendering: from `rendering.render_depth`;  target: path or open file.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    left, top, right, bottom = rendering.xy.edges_um
    shallow, deep = rendering.z_range_um
    # A side view thinner than a fifth of the field could not be read; then z is drawn stretched.
    width, height, depth = right - left, bottom - top, deep - shallow
    side = max(depth, 0.2 * max(width, height))
    inches = 8.0 / max(width + side, height + side)
    heading = title or "Super-resolved image"
    figure = new_figure(
        max((width + side) * inches + 1.6, 6.0),
        max((height + side) * inches + 1.9, 4.5),
        f"{heading}: {rendering.localizations:,} localizations, {1000 * rendering.pixel_um:g} nm pixels",
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[width, side], height_ratios=[height, side])
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    beside = figure.add_subplot(grid[0, 1], sharey=above)
    show_image(above, rendering.xy.rgb, rendering.xy.edges_um, "From above (x–y)")
    scale_bar(above, rendering.xy.edges_um)
    stretched = "" if side == depth else f"(z drawn ×{side / depth:.2g})"
    above.set_xlabel("")  # the view below names the axis they share
    show_image(below, rendering.xz.rgb, rendering.xz.edges_um, f"Side view x–z {stretched}".strip())
    below.set(ylabel="depth z (µm)", aspect=side / depth)
    show_image(beside, rendering.yz.rgb, rendering.yz.edges_um, f"Side view y–z\n{stretched}".strip())
    beside.set(xlabel="depth z (µm)", ylabel="", aspect=depth / side)
    for axes in (above, below, beside):
        axes.set_facecolor("black")
    corner = figure.add_subplot(grid[1, 1])
    corner.axis("off")
    strip = corner.inset_axes((0.05, 0.78, 0.9, 0.12))
    colours = ScalarMappable(Normalize(shallow, deep), depth_colormap())
    bar = figure.colorbar(colours, cax=strip, orientation="horizontal", label="colour: depth z (µm)")
    bar.ax.locator_params(nbins=4)
    corner.text(0.5, 0.12, "brightness:\nlocalizations per pixel", ha="center", va="center", fontsize=9)
    save_figure(figure, target, dpi=200)


def histogram_figure(
    simulated: Tensor, real: Tensor, target: Target, *, unit: str = "photons", title: str = ""
) -> None:
    """Draw how often each pixel value occurs in simulated and in real frames.

    simulated, real: frames of any shape in the same unit;  target: path or open file.
    Raises InputError where either has no finite pixel value.
    """
    values = {}
    for name, frames in (("real", real), ("simulated", simulated)):
        flat = frames.detach().cpu().double().numpy().ravel()
        values[name] = flat[np.isfinite(flat)]
        if len(values[name]) == 0:
            raise InputError(f"the {name} frames hold no finite pixel value; there is nothing to compare")
    together = [np.percentile(each, [0.01, 99.99]) for each in values.values()]
    low, high = min(pair[0] for pair in together), max(pair[1] for pair in together)
    edges = np.linspace(low, max(high, low + 1e-6), 101)
    figure = new_figure(8.0, 4.8, title or "Do the simulated frames look like the real ones?")
    axes = figure.subplots()
    for (name, each), colour, style in zip(values.items(), ("#222222", "#e06c00"), ("-", "--"), strict=True):
        share = np.histogram(each, bins=edges)[0] / len(each)
        middle, spread = np.median(each), each.std()
        label = f"{name}: median {middle:.4g}, standard deviation {spread:.4g}"
        axes.stairs(share, edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.set(
        yscale="log",
        xlabel=f"pixel value ({unit})",
        ylabel="share of pixels",
        title="Histogram of pixel values",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    save_figure(figure, target)
