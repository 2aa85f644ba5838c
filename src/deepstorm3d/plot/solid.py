"""The PSF as a body in space: surfaces of equal brightness through depth."""

from __future__ import annotations

import numpy as np
import torch

from ..optics.psf import on_axis
from ..rendering.colour import depth_colours
from .mask import MaskedPSF
from .panels import Target, new_figure, save_figure

__all__ = ["solid_figure"]

_DEPTHS = 61
_WIDTH_PX = 41
# Share of a slice's own peak at which the surface lies.
_LEVEL = 0.35


@torch.no_grad()
def solid_figure(psf: MaskedPSF, z_um: tuple[float, float], target: Target, *, title: str = "") -> None:
    """Draw where the PSF is brighter than 35 % of its peak at that depth, outline upon outline.

    psf: exact, with its mask;  z_um: depths;  target: path or open file.
    """
    z = torch.linspace(*z_um, _DEPTHS)
    values = psf(on_axis(z).to(psf.mask().device))[0].cpu()
    cut = max(0, (values.shape[1] - _WIDTH_PX) // 2)
    values = values[:, cut : values.shape[1] - cut, cut : values.shape[2] - cut]
    values = (values / values.amax((1, 2), keepdim=True)).numpy()
    half = values.shape[1] // 2
    axis = (np.arange(values.shape[1]) - half) * psf.pixel_um
    figure = new_figure(6.5, 6.0, title or f"PSF above {100 * _LEVEL:.0f} % of its peak at each depth")
    axes = figure.add_subplot(projection="3d")
    colours = depth_colours()
    for index, slice_ in enumerate(values):
        colour = colours[round(index / (_DEPTHS - 1) * (len(colours) - 1))]
        outline = {"levels": [_LEVEL], "colors": [colour], "linewidths": 1.4}
        axes.contour(axis, axis, slice_, zdir="z", offset=float(z[index]), **outline)
    axes.set(
        xlabel="x (µm)",
        ylabel="y (µm)",
        zlabel="depth z (µm)",
        xlim=(axis[0], axis[-1]),
        ylim=(axis[-1], axis[0]),
        zlim=(z_um[1], z_um[0]),
    )
    save_figure(figure, target, dpi=130)
