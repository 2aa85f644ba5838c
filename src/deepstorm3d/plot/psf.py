"""A PSF in planes: images through the depth, and what each plane holds of the light."""

from __future__ import annotations

import numpy as np

from ..psf_volume import PSFVolume
from .panels import Target, new_figure, save_figure, scale_bar, show_image

__all__ = ["psf_figure"]

_SHOWN = 8


def psf_figure(volume: PSFVolume, target: Target, *, title: str) -> None:
    """Planes through the depth, each on a root scale of its own, and the light and the peak against depth.

    target: path or open file.  Raises InputError where the picture cannot be written.
    """
    values, pixel = volume.values.numpy(), volume.pixel_um
    depth = volume.z_um + volume.step_um * np.arange(len(values))
    half = volume.values.shape[2] / 2 * pixel
    edges = (-half, -half, half, half)
    figure = new_figure(15.0, 4.9, title)
    grid = figure.add_gridspec(2, _SHOWN, height_ratios=(1.0, 0.9))
    for column, plane in enumerate(np.linspace(0, len(values) - 1, _SHOWN).round().astype(int)):
        axes = figure.add_subplot(grid[0, column])
        image = np.sqrt(values[plane].clip(0))
        show_image(axes, image, edges, f"z = {depth[plane]:.2f} µm", cmap="inferno", vmin=0)
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
        if column == 0:
            scale_bar(axes, edges)
    for part, shown, label in (
        (grid[1, : _SHOWN // 2], 100 * values.sum((1, 2)), "light in the plane (%)"),
        (grid[1, _SHOWN // 2 :], 100 * values.max((1, 2)), "light in the brightest pixel (%)"),
    ):
        axes = figure.add_subplot(part)
        axes.plot(depth, shown, ".-", color="#0072B2")
        axes.set(xlabel="depth z (µm)", ylabel=label, ylim=(0, None))
        axes.grid(alpha=0.25)
    save_figure(figure, target, dpi=120)
