"""The picture that shows whether a list explains a frame: frame, marks, regenerated image, residual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent, frame_extent
from ..frames.explain import correlation, deviance_per_pixel
from ..rendering.colour import depth_colormap
from .panels import colour_bar, new_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["marked_panel", "overlay", "residual_panel"]

Floats = NDArray[np.float64]
Image = Tensor | NDArray[Any]


def overlay(
    frame: Image,
    found: Localizations,
    *,
    pixel_um: float,
    regenerated: Image | None = None,
    truth: Emitters | None = None,
    noise: Image | None = None,
    title: str = "",
) -> Figure:
    """Draw a frame with its localizations marked, and how well they explain it.

    The upper panels show the frame with marks, coloured by depth, and without. If the image predicted by the
    list is given, the lower panels show it and its difference from the frame in units of the noise.

    Parameters
    ----------
    frame : (H, W) tensor or array
        Photons per pixel (any unit if no image is compared with it).
    found : Localizations
        The rows of this frame alone: select them, ``found.select(found.frame == 7)``.
    pixel_um : float
        Camera pixel in the sample, µm.
    regenerated : (H, W) tensor or array, optional
        Photons per pixel that the list predicts.
    truth : Emitters, optional
        True molecules of this frame alone, drawn as open circles.
    noise : (H, W) tensor or array, optional
        σ expected in each pixel, photons; left out: shot noise, the square root of the regenerated image.
    title : str
        Above all panels, before the number of localizations.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        Where the images are not of one frame's shape.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> frame = torch.full((32, 40), 20.0)
    >>> found = Localizations.proposals(torch.tensor([[2.0, 1.0, 0.5]]), torch.tensor([0]), torch.ones(1))
    >>> figure = plot.overlay(frame, found, pixel_um=0.1)
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[2.0, 1.0]]
    """
    images = [image for image in (frame, regenerated, noise) if image is not None]
    seen, *others = (_array(image) for image in images)
    if seen.ndim != 2 or any(other.shape != seen.shape for other in others):
        shapes = ", ".join(" × ".join(map(str, image.shape)) for image in images)
        raise InputError(
            f"an overlay needs images (rows, columns) of one frame, all of one shape, got {shapes}"
        )
    edges = frame_extent((seen.shape[0], seen.shape[1]), pixel_um)
    rows = 1 if regenerated is None else 2
    width, height = _size(edges, rows)
    headline = f"{title or 'One frame'}: {len(found)} localizations"
    if regenerated is not None:
        headline += f"\n{_agreement(seen, others[0], shot_noise=noise is None)}"
    figure = new_figure(width, height, headline)
    panels = figure.subplots(rows, 2, squeeze=False)
    low, high = np.percentile(seen, [0.5, 99.8])
    look: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-9)}
    marked_panel(panels[0, 0], seen, edges, truth, found, look)
    shown = show_image(panels[0, 1], seen, edges, "Camera frame, without marks", **look)
    colour_bar(shown, panels[0, 1], "photons per pixel")
    if regenerated is not None:
        sigma = np.sqrt(others[0].clip(1.0)) if noise is None else others[1]
        panel = f"Regenerated from the {len(found)} localizations (same grey scale)"
        shown = show_image(panels[1, 0], others[0], edges, panel, **look)
        colour_bar(shown, panels[1, 0], "photons per pixel")
        residual_panel(panels[1, 1], (seen - others[0]) / sigma, edges)
    for axes in panels.flat[:3]:
        scale_bar(axes, edges)
    return figure


def _array(image: Image) -> Floats:
    if isinstance(image, Tensor):
        return image.detach().cpu().double().numpy()
    return np.asarray(image, dtype=np.float64)


def residual_panel(axes: Axes, residual: Floats, edges: Extent) -> None:
    """What is left of a frame (H, W), in standard deviations of the noise."""
    panel = "Residual: frame − regenerated (red: light not explained)"
    shown = show_image(axes, residual, edges, panel, cmap="RdBu_r", vmin=-5, vmax=5)
    colour_bar(shown, axes, "units of the noise σ", extend="both")
    scale_bar(axes, edges, "black")


def _size(edges: Extent, rows: int) -> tuple[float, float]:
    """Size in inches for two panels with their bars side by side, in one or two rows."""
    left, top, right, bottom = edges
    aspect = float(np.clip((bottom - top) / (right - left), 0.4, 2.0))
    return 12.0, rows * (4.6 * aspect + 0.7) + 0.6


def _agreement(frame: Floats, regenerated: Floats, *, shot_noise: bool) -> str:
    seen, model = torch.from_numpy(frame), torch.from_numpy(regenerated)
    words = f"correlation of frame and regenerated image {float(correlation(seen, model)):.3f}"
    if shot_noise:
        words += f", deviance {float(deviance_per_pixel(seen, model)):.2f} per pixel (1: shot noise only)"
    return words


def marked_panel(
    axes: Axes,
    frame: Floats,
    edges: Extent,
    truth: Emitters | None,
    found: Localizations,
    look: dict[str, Any],
    title: str = "Camera frame with marks",
) -> None:
    """The frame with truth as open circles and detections as dots coloured by depth."""
    legend = f"● {len(found)} localizations (colour: depth)"
    if truth is not None:
        legend += f"   ○ {len(truth)} true emitters"
    show_image(axes, frame, edges, f"{title}\n{legend}", **look)
    tables = [found] if truth is None else [found, truth]
    depths = torch.cat([table.xyz[:, 2].detach().cpu().double() for table in tables])
    low, high = (float(depths.min()), float(depths.max())) if len(depths) else (0.0, 1.0)
    size = float(np.clip(2400.0 / (10 + len(depths)), 6.0, 36.0))
    x, y, z = found.xyz.detach().cpu().double().numpy().T
    dots = axes.scatter(
        x,
        y,
        c=z,
        s=size,
        cmap=depth_colormap(),
        vmin=low,
        vmax=max(high, low + 1e-3),
        edgecolors="black",
        linewidths=0.5,
        zorder=3,
    )
    if truth is not None:
        x, y, _ = truth.xyz.detach().cpu().double().numpy().T
        axes.scatter(
            x,
            y,
            s=4 * size,
            facecolors="none",
            edgecolors="white",
            linewidths=1.0,
            zorder=2,
        )
    left, top, right, bottom = edges
    axes.set(xlim=(left, right), ylim=(bottom, top))
    colour_bar(dots, axes, "depth z (µm)")
