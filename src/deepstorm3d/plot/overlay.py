"""The picture that says whether a list explains a frame: frame, marks, regenerated image, residual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..emitters import Emitters, Localizations
from ..extent import Extent, frame_extent
from ..frames.explain import correlation, deviance_per_pixel
from ..rendering.colour import depth_colormap
from .panels import Target, colour_bar, new_figure, save_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["overlay_figure"]


def overlay_figure(
    frame: Tensor,
    regenerated: Tensor,
    truth: Emitters | None,
    found: Localizations,
    target: Target,
    *,
    pixel_um: float,
    noise: Tensor | None = None,
    title: str = "",
) -> None:
    """Draw four panels: frame with marks, the frame alone, the image regenerated from the list, residual.

    frame, regenerated: (H, W) photons;  truth (open circles, may be None) and found (dots coloured
    by depth): the rows of this frame alone;  pixel_um: camera pixel in the sample;
    noise: (H, W) σ in photons expected in each pixel; None: shot noise, the square root of the
    regenerated image;  target: path or open file.  Raises ValueError where the shapes differ.
    """
    if frame.ndim != 2 or frame.shape != regenerated.shape:
        raise ValueError(f"need two images of one shape, got {tuple(frame.shape)}, {tuple(regenerated.shape)}")
    edges = frame_extent((frame.shape[0], frame.shape[1]), pixel_um)
    width, height = _size(edges)
    figure = new_figure(width, height, _headline(frame, regenerated, len(found), title, noise))
    (marked, alone), (again, rest) = figure.subplots(2, 2)
    seen, model = (image.detach().cpu().double().numpy() for image in (frame, regenerated))
    low, high = np.percentile(seen, [0.5, 99.8])
    look: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-9)}

    _marked_panel(marked, seen, edges, truth, found, look)
    shown = show_image(alone, seen, edges, "Camera frame, without marks", **look)
    colour_bar(shown, alone, "photons per pixel")
    panel = f"Regenerated from the {len(found)} localizations (same grey scale)"
    shown = show_image(again, model, edges, panel, **look)
    colour_bar(shown, again, "photons per pixel")
    sigma = np.sqrt(model.clip(1.0)) if noise is None else noise.detach().cpu().double().numpy()
    panel = "Residual: frame − regenerated (red: light not explained)"
    shown = show_image(rest, (seen - model) / sigma, edges, panel, cmap="RdBu_r", vmin=-5, vmax=5)
    colour_bar(shown, rest, "units of the noise σ", extend="both")
    for axes in (marked, alone, again):
        scale_bar(axes, edges)
    scale_bar(rest, edges, "black")
    save_figure(figure, target)


def _size(edges: Extent) -> tuple[float, float]:
    """Inches that leave little paper empty: two panels and their bars across, two down."""
    left, top, right, bottom = edges
    aspect = float(np.clip((bottom - top) / (right - left), 0.4, 2.0))
    return 12.0, 2 * (4.6 * aspect + 0.7) + 0.6


def _headline(frame: Tensor, regenerated: Tensor, count: int, title: str, noise: Tensor | None) -> str:
    agreement = f"correlation of frame and regenerated image {float(correlation(frame, regenerated)):.3f}"
    if noise is None:
        agreement += (
            f", deviance {float(deviance_per_pixel(frame, regenerated)):.2f} per pixel (1: shot noise only)"
        )
    return f"{title or 'One frame'}: {count} localizations\n{agreement}"


def _marked_panel(
    axes: Axes,
    frame: np.ndarray,
    edges: Extent,
    truth: Emitters | None,
    found: Localizations,
    look: dict[str, Any],
) -> None:
    """The frame with truth as open circles and detections as dots coloured by depth."""
    legend = f"● {len(found)} localizations (colour: depth)"
    if truth is not None:
        legend += f"   ○ {len(truth)} true emitters"
    show_image(axes, frame, edges, f"Camera frame with marks\n{legend}", **look)
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
