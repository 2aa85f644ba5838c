"""Pictures of a phase mask: the phase, the PSF through depth, the bound it allows, and how it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ..optics.psf import on_axis
from .panels import Target, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MaskedPSF", "draw_mask_row", "evolution_animation", "mask_figure"]

# Depths shown, and widest part of the patch, camera pixels.
_DEPTHS, _WIDTH_PX = 7, 41


class MaskedPSF(Protocol):
    """A PSF that knows its mask."""

    @property
    def mask(self) -> torch.nn.Module:
        """Gives the phase (h, w) rad."""
        ...

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        ...

    def __call__(self, xyz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """xyz: (N, 3) µm;  returns patches, whose first part is (N, h, w)."""
        ...


@torch.no_grad()
def mask_figure(psf: MaskedPSF, z_um: tuple[float, float], target: Target, *, title: str = "") -> None:
    """Draw the mask's phase and its PSF at seven depths.

    psf: exact, with the mask;  z_um: depths;  target: path or open file.
    """
    figure = new_figure(12.0, 2.6, title or "Phase mask and its PSF")
    axes = figure.subplots(1, 1 + _DEPTHS, gridspec_kw={"width_ratios": [1.25] + [1] * _DEPTHS})
    draw_mask_row(axes, psf, z_um)
    save_figure(figure, target, dpi=130)


def draw_mask_row(axes: Sequence[Axes], psf: MaskedPSF, z_um: tuple[float, float]) -> None:
    """Draw the phase into the first of eight axes, the PSF at seven depths into the others."""
    _show_phase(axes[0], psf.mask())
    depths, images = _through_depth(psf, z_um)
    for axis, depth, image in zip(axes[1:], depths, images, strict=True):
        _show_spot(axis, image, psf.pixel_um)
        axis.set_title(f"{depth:.2g} µm", fontsize=9)


@torch.no_grad()
def evolution_animation(
    stages: Iterable[tuple[int, MaskedPSF]], z_um: tuple[float, float], target: Target
) -> None:
    """Write an animation (GIF) of mask and PSF as they changed.

    stages: step of the training and the PSF then;  z_um: depths;  target: path.
    """
    from matplotlib.animation import PillowWriter

    figure = new_figure(12.0, 2.6, "")
    axes = figure.subplots(1, 1 + _DEPTHS, gridspec_kw={"width_ratios": [1.25] + [1] * _DEPTHS})
    writer = PillowWriter(fps=4)
    with writer.saving(figure, str(target), dpi=80):
        for step, psf in stages:
            figure.suptitle(f"step {step:,}")
            for axis in axes:
                axis.clear()
            draw_mask_row(axes, psf, z_um)
            writer.grab_frame()


def _through_depth(psf: MaskedPSF, z_um: tuple[float, float]) -> tuple[list[float], list[Tensor]]:
    z = torch.linspace(*z_um, _DEPTHS)
    values = psf(on_axis(z).to(psf.mask().device))[0].cpu()
    side = values.shape[1]
    cut = max(0, (side - _WIDTH_PX) // 2)
    return z.tolist(), list(values[:, cut : side - cut, cut : side - cut])


def _show_phase(axis: Axes, phase: Tensor) -> None:
    """Phase wrapped to one turn, in a cyclic map."""
    wrapped = np.remainder(phase.detach().cpu().double().numpy() + np.pi, 2 * np.pi) - np.pi
    axis.imshow(wrapped, cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
    axis.set_title("phase, −π to π", fontsize=9)
    axis.set(xticks=[], yticks=[])


def _show_spot(axis: Axes, image: Tensor, pixel_um: float) -> None:
    """One slice, on its own scale; the root shows the tails."""
    axis.imshow(image.clamp(min=0).sqrt().numpy(), cmap="inferno", interpolation="nearest")
    side = image.shape[0]
    length = 1.0 / pixel_um
    axis.plot([0.08 * side, 0.08 * side + length], [0.93 * side] * 2, color="white", linewidth=2)
    axis.set(xticks=[], yticks=[])
