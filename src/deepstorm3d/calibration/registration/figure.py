"""Picture of a registration: residuals over the field, their distribution, distortion, and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ...extent import frame_extent
from ...plot.panels import new_figure, round_length
from ...plot.style import AXIS_COLOURS, BLACK, BLUE, GREY, SKY_BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .registration import Registration

__all__ = ["registration"]

Floats = NDArray[np.float64]

# Most arrows and points of a panel.
_MOST = 800
# Length of a typical residual's arrow, as share of the field.
_ARROW = 0.035
# Places along the longer side at which distortion is drawn.
_ALONG = 13


def registration(found: Registration, *, title: str = "") -> Figure:
    """Draw what a transform between two channels rests on, and what it leaves.

    The residual of each pair over the first channel's field, much magnified, the field that no pair supports in
    grey; the distribution of residuals in x and y; how far the transform bends away from a rotation with scale;
    and the depth difference of the pairs against depth.

    Parameters
    ----------
    found : Registration
        What `deepstorm3d.register` returns.
    title : str
        Above all panels; default: rotation, scale and number of pairs.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch, deepstorm3d as ds
    >>> g = torch.Generator().manual_seed(0)
    >>> frame, sure = torch.arange(300) // 10, torch.ones(300)
    >>> xyz = 20 * torch.rand(300, 3, generator=g)
    >>> moved = xyz + torch.tensor([1.0, 0.5, 0.2]) + 0.01 * torch.randn(300, 3, generator=g)
    >>> first, second = (ds.Localizations.proposals(each, frame, sure) for each in (xyz, moved))
    >>> found = ds.register(first, second, pixel_um=0.1, shape=(220, 220))
    >>> figure = ds.plot.registration(found)
    >>> [axes.get_title(loc="left") for axes in figure.axes][1]
    'Residuals of 300 pairs'
    """
    transform = found.transform
    mirror = ", mirrored" if transform.mirrored else ""
    title = title or (
        f"{found.pairs:,} pairs: {transform.rotation_degrees:.3f}°, scale {transform.magnification:.5f}"
        f"{mirror}, degree {transform.degree}"
    )
    figure = new_figure(12.5, 11.0, title)
    arrows, spread, bend, depth = figure.subplots(2, 2).ravel()
    _residuals(arrows, found)
    _histograms(spread, found)
    _distortion(bend, found)
    _depths(depth, found)
    return figure


def _field(axes: Axes, found: Registration, title: str) -> tuple[float, float]:
    """The first channel's field, grey where no pair supports the transform; returns its left and right edge."""
    from matplotlib.colors import ListedColormap

    view = found.channels.fields[0]
    left, top, right, bottom = frame_extent(view.size, view.pixel_um)
    axes.imshow(
        ~found.support.held,
        extent=(left, right, bottom, top),
        cmap=ListedColormap(["white", "#d9d9d9"]),
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x (µm), first channel", ylabel="y (µm)")
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    return left, right


def _arrows(axes: Axes, at: Floats, length: Floats, edges: tuple[float, float], colour: str) -> None:
    """Arrows magnified so that a typical one can be seen, with a key of round length below the panel."""
    wide = edges[1] - edges[0]
    typical = float(np.sqrt(np.square(length).sum(1).mean())) if len(length) else 0.0
    if typical <= 0:
        return
    key = round_length(4 * typical * 1.5)
    factor = _ARROW * wide / typical
    drawn = axes.quiver(
        at[:, 0], at[:, 1], factor * length[:, 0], factor * length[:, 1],
        angles="xy", scale_units="xy", scale=1, color=colour, width=0.0022, headwidth=4,
    )  # fmt: skip
    text = f"{1000 * key:g} nm, drawn {factor:,.0f} times as long; grey: no pairs"
    axes.quiverkey(drawn, 0.03, 1.03, factor * key, text, labelpos="E", fontproperties={"size": 8})


def _residuals(axes: Axes, found: Registration) -> None:
    edges = _field(axes, found, "Residuals over the field\n")
    chosen = _some(len(found.xy_um))
    _arrows(axes, found.xy_um[chosen], found.residual_um[chosen], edges, BLUE)


def _histograms(axes: Axes, found: Registration) -> None:
    values = 1000 * found.residual_um
    reach = 4 * max(float(values.std()), 1e-3)
    edges = np.linspace(-reach, reach, 41)
    for axis, name in enumerate("xy"):
        stated = found.expected_nm[axis]
        told = f", σ of the rows say {stated:.1f}" if stated > 0 else ""
        label = f"{name}: {found.residual_nm[axis]:.1f} nm rms, pairs held out{told}"
        counts = np.histogram(values[:, axis], edges)[0]
        axes.stairs(counts, edges, color=AXIS_COLOURS[name], linewidth=1.5, label=label)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="second channel less transformed first (nm)", ylabel="pairs", xlim=(-reach, reach))
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.set_title(f"Residuals of {found.pairs:,} pairs", fontsize=10, loc="left", fontweight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.grid(alpha=0.25)


def _distortion(axes: Axes, found: Registration) -> None:
    """The transform less the rotation, scale and shift that are nearest to it."""
    view = found.channels.fields[0]
    steps = [max(3, round(_ALONG * side / max(view.size))) for side in (view.width, view.height)]
    x = np.linspace(0, (view.width - 1) * view.pixel_um, steps[0])
    y = np.linspace(0, (view.height - 1) * view.pixel_um, steps[1])
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    there = found.transform.apply(torch.from_numpy(at)).numpy()
    p, q = at[:, 0] + 1j * at[:, 1], there[:, 0] + 1j * there[:, 1]
    p = -p.conj() if found.transform.mirrored else p
    design = np.stack([p, np.ones_like(p)], axis=1)
    left = q - design @ np.linalg.lstsq(design, q, rcond=None)[0]
    most = 1000 * float(np.abs(left).max())
    edges = _field(axes, found, f"Distortion: at most {most:.0f} nm from a rotation with scale\n")
    _arrows(axes, at, np.column_stack([left.real, left.imag]), edges, VERMILION)


def _depths(axes: Axes, found: Registration) -> None:
    axes.grid(alpha=0.25)
    if found.depth is None:
        axes.set_title("Depth", fontsize=10, loc="left", fontweight="bold")
        axes.text(0.5, 0.5, "no depths in these lists", transform=axes.transAxes, ha="center", color=GREY)
        axes.set(xticks=[], yticks=[])
        return
    chosen, depth = _some(len(found.z_um)), found.depth
    axes.plot(found.z_um[chosen], 1000 * found.difference_z_um[chosen], ".", color=SKY_BLUE, markersize=4)
    axes.axhline(1000 * depth.median_um, color=BLACK, linewidth=1.3)
    reach = 1000 * max(6 * depth.scatter_um, 1e-3)
    axes.set_ylim(1000 * depth.median_um - reach, 1000 * depth.median_um + reach)
    axes.set(xlabel="z in the first channel (µm)", ylabel="z in the second less z in the first (nm)")
    told = f"Depth offset {1000 * depth.median_um:.1f} ± {1000 * depth.sigma_um:.1f} nm"
    axes.set_title(told, fontsize=10, loc="left", fontweight="bold")


def _some(count: int) -> NDArray[np.int64]:
    """Rows spread over all, no more than can be told apart."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST)).astype(np.int64))
