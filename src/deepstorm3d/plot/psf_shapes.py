"""The PSF as a 3D surface: contours of equal brightness through depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..rendering.colour import depth_colours
from .panels import new_figure
from .phase_mask import MaskedPSF, patches_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["psf_surfaces"]

# Number of depths at which the contour is computed.
_DEPTHS = 61
# Level of the contour, as a fraction of the peak at that depth.
_LEVEL = 0.35


def psf_surfaces(psf: MaskedPSF, z_um: tuple[float, float], *, title: str = "") -> Figure:
    """Draw the surface where a PSF has 35 % of its peak at each depth, contour by contour, in 3D.

    Parameters
    ----------
    psf : ExactPSF
        A PSF with a mask: computed from the pupil, not from a table or from measured planes.
    z_um : (float, float)
        Depths of the molecule, from shallow to deep, µm.
    title : str
        Above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.experiment.optics import experiment_mask
    >>> from deepstorm3d.experiment.presets import preset
    >>> from deepstorm3d.optics.computed import build_psf
    >>> quick = preset("quickstart")
    >>> figure = plot.psf_surfaces(build_psf(quick.psf, quick.microscope, experiment_mask(quick)), (0.0, 1.0))
    >>> figure.axes[0].get_zlabel()
    'depth z (µm)'
    """
    z = torch.linspace(*z_um, _DEPTHS)
    values = patches_at(psf, z)
    values = (values / values.amax((1, 2), keepdim=True)).numpy()
    half = values.shape[1] // 2
    axis = (np.arange(values.shape[1]) - half) * psf.pixel_um
    figure = new_figure(6.5, 6.0, title or f"PSF above {100 * _LEVEL:.0f} % of its peak at each depth", dpi=130)
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
    return figure
