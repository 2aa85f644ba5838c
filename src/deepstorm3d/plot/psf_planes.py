"""A PSF in planes: its images through depth, and the light in each plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..psf_volume import PSFVolume
from .panels import new_figure, scale_bar, show_image
from .style import BLUE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["psf"]

# Number of planes that are shown.
_SHOWN = 8


def psf(volume: PSFVolume, *, title: str = "") -> Figure:
    """Draw eight planes of a PSF, and the light in each plane and in its brightest pixel.

    Each plane has its own brightness scale, the square root of the light, which shows the faint tails.

    Parameters
    ----------
    volume : PSFVolume
        Planes (Z, h, w) of equal steps in depth, fraction of a molecule's photons in each pixel.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.psf_volume import PSFVolume
    >>> planes = torch.rand(21, 15, 15, generator=torch.Generator().manual_seed(0))
    >>> figure = plot.psf(PSFVolume(planes / planes.sum((1, 2), keepdim=True), 0.11, 0.0, 0.1))
    >>> figure.axes[0].get_title(), figure.axes[7].get_title()
    ('z = 0.00 µm', 'z = 2.00 µm')
    """
    values, pixel = volume.values.detach().cpu().numpy(), volume.pixel_um
    depth = volume.z_um + volume.step_um * np.arange(len(values))
    half = volume.values.shape[2] / 2 * pixel
    edges = (-half, -half, half, half)
    figure = new_figure(15.0, 4.9, title, dpi=120)
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
        axes.plot(depth, shown, ".-", color=BLUE)
        axes.set(xlabel="depth z (µm)", ylabel=label, ylim=(0, None))
        axes.grid(alpha=0.25)
    return figure
