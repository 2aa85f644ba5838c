"""Pictures of a phase mask: the phase alone, the phase with its PSF, and how both changed in a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..io.parts import whole_file
from ..optics.psf import on_axis
from .panels import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "MaskedPSF",
    "draw_mask_row",
    "evolution_animation",
    "mask",
    "mask_with_psf",
    "masks_with_psfs",
    "patches_at",
    "phase_bar",
    "show_phase",
]

# Number of depths at which the PSF is shown.
_DEPTHS = 7
# Largest width of an image of the PSF, camera pixels.
_WIDTH_PX = 41


class MaskedPSF(Protocol):
    """A PSF that has its mask."""

    @property
    def mask(self) -> torch.nn.Module:
        """Returns the phase (h, w), rad, when called."""
        ...

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        ...

    def __call__(self, xyz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """xyz: (N, 3) µm;  returns patches, whose first part is (N, h, w)."""
        ...


def mask(
    phase: Tensor | NDArray[np.floating[Any]], *, pitch_um: float | None = None, title: str = ""
) -> Figure:
    """Draw the phase of a mask, wrapped to −π … π, in a cyclic colour map.

    Parameters
    ----------
    phase : (h, w) tensor or array
        Phase, rad; NaN outside the aperture.
    pitch_um : float, optional
        Pitch of the mask's pixels, µm: the axes are then in mm from the optical axis, else in mask pixels.
    title : str
        Above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Examples
    --------
    >>> import numpy as np
    >>> from deepstorm3d import plot
    >>> y, x = np.mgrid[-1:1:65j, -1:1:65j]
    >>> figure = plot.mask(3 * (x**2 - y**2), pitch_um=100.0)
    >>> figure.axes[0].get_xlabel()
    'ξ (mm)'
    """
    figure = new_figure(5.2, 4.4, title or "Phase mask")
    axes = figure.subplots()
    values = phase.detach().cpu().numpy() if isinstance(phase, Tensor) else np.asarray(phase)
    if values.ndim != 2:
        raise InputError(f"a mask is one image of phase (height, width); this has shape {values.shape}")
    extent = None
    if pitch_um is not None:
        height, width = (side * pitch_um / 2000 for side in values.shape)
        extent = (-width, width, height, -height)
    drawn = show_phase(axes, values, extent)
    unit = "mask px" if pitch_um is None else "mm"
    axes.set(xlabel=f"ξ ({unit})", ylabel=f"η ({unit})")
    axes.locator_params(nbins=6)
    phase_bar(drawn, axes)
    return figure


def mask_with_psf(psf: MaskedPSF, z_um: tuple[float, float], *, title: str = "") -> Figure:
    """Draw the phase of a PSF's mask and, next to it, the PSF at seven depths.

    Each image has its own brightness scale, the square root of the light; the white bar is 1 µm long.

    Parameters
    ----------
    psf : ExactPSF
        A PSF with a mask: computed from the pupil, not from a table or from measured planes.
    z_um : (float, float)
        Depths of the first and the last image, µm.
    title : str
        Above all panels.

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
    >>> psf = build_psf(quick.psf, quick.microscope, experiment_mask(quick))
    >>> [axes.get_title() for axes in plot.mask_with_psf(psf, (0.0, 1.2)).axes][:3]
    ['phase, −π to π', 'z = 0.00 µm', 'z = 0.20 µm']
    """
    figure = new_figure(12.0, 2.6, title or "Phase mask and its PSF", dpi=130)
    axes = figure.subplots(1, 1 + _DEPTHS, gridspec_kw={"width_ratios": [1.25] + [1] * _DEPTHS})
    draw_mask_row(axes, psf, z_um)
    return figure


def masks_with_psfs(
    psfs: Mapping[str, MaskedPSF], z_um: Sequence[tuple[float, float]], *, title: str = ""
) -> Figure:
    """Draw the masks of several channels, a row for each: as `mask_with_psf`.

    psfs: by the name of the channel;  z_um: depths of the first and the last image of each, µm.
    """
    figure = _figure_of_rows(len(psfs), title or "Phase masks and their PSFs", dpi=130)
    for row, (name, psf), depths in zip(_rows(figure, len(psfs)), psfs.items(), z_um, strict=True):
        draw_mask_row(row, psf, depths)
        row[0].set_ylabel(name)
    return figure


def _figure_of_rows(rows: int, title: str = "", *, dpi: int = 150) -> Figure:
    """A figure for so many masks with their PSFs, one below the other."""
    return new_figure(12.0, 0.6 + 2.0 * rows, title, dpi=dpi)


def _rows(figure: Figure, rows: int) -> list[Sequence[Axes]]:
    """The axes of each mask, for `draw_mask_row`."""
    widths = {"width_ratios": [1.25] + [1] * _DEPTHS}
    parts = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    return [part.subplots(1, 1 + _DEPTHS, gridspec_kw=widths) for part in parts]


@torch.no_grad()
def draw_mask_row(axes: Sequence[Axes], psf: MaskedPSF, z_um: tuple[float, float]) -> None:
    """Draw the phase into the first of eight axes, the PSF at seven depths into the others."""
    show_phase(axes[0], psf.mask().detach().cpu().numpy())
    axes[0].set_title("phase, −π to π", fontsize=9)
    axes[0].set(xticks=[], yticks=[])
    depths = torch.linspace(*z_um, _DEPTHS)
    for axis, depth, image in zip(axes[1:], depths.tolist(), patches_at(psf, depths), strict=True):
        _show_spot(axis, image, psf.pixel_um)
        axis.set_title(f"z = {depth:z.2f} µm", fontsize=9)


def evolution_animation(
    stages: Iterable[tuple[int, Mapping[str, MaskedPSF]]],
    z_um: Sequence[tuple[float, float]],
    path: str | Path,
) -> None:
    """Write an animation (GIF) of the mask of each channel and its PSF during a training.

    stages: step of the training and the PSFs at that step, by the name of the channel;  z_um: depths of the
    first and the last image of each channel, µm.
    The file has its final name only once it is complete.  Raises InputError where it cannot be written.
    """
    from matplotlib.animation import PillowWriter

    figure = _figure_of_rows(len(z_um))
    rows = _rows(figure, len(z_um))
    writer = PillowWriter(fps=4)
    with whole_file(Path(path)) as temporary, writer.saving(figure, str(temporary), dpi=80):
        for step, psfs in stages:
            figure.suptitle(f"step {step:,}")
            for axes, (name, psf), depths in zip(rows, psfs.items(), z_um, strict=True):
                for axis in axes:
                    axis.clear()
                draw_mask_row(axes, psf, depths)
                axes[0].set_ylabel(name if len(psfs) > 1 else "")
            writer.grab_frame()


@torch.no_grad()
def patches_at(psf: MaskedPSF, z_um: Tensor) -> Tensor:
    """Central part of the images of molecules on the axis at depths (N,) µm: (N, h, w), at most 41 px wide."""
    xyz = on_axis(z_um).to(psf.mask().device)
    values = psf(xyz)[0].cpu()
    side = values.shape[1]
    cut = max(0, (side - _WIDTH_PX) // 2)
    return values[:, cut : side - cut, cut : side - cut]


def show_phase(
    axes: Axes, phase: NDArray[np.floating[Any]], extent: tuple[float, float, float, float] | None = None
) -> AxesImage:
    """Draw a phase (h, w) rad wrapped to −π … π, in a cyclic colour map.

    extent: left, right, bottom and top edge, or None for pixels.
    """
    wrapped = np.remainder(np.asarray(phase, dtype=np.float64) + np.pi, 2 * np.pi) - np.pi
    return axes.imshow(
        wrapped, cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest", extent=extent
    )


def phase_bar(drawn: AxesImage, axes: Axes) -> None:
    """A colour bar of one turn, its ticks at multiples of π/2."""
    quarter = [-np.pi, -np.pi / 2, 0.0, np.pi / 2, np.pi]
    bar = axes.figure.colorbar(drawn, ax=axes, label="phase (rad)", fraction=0.05, pad=0.02, ticks=quarter)
    bar.set_ticklabels(["−π", "−π/2", "0", "π/2", "π"])


def _show_spot(axis: Axes, image: Tensor, pixel_um: float) -> None:
    """One slice with its own brightness scale; the square root shows the tails."""
    axis.imshow(image.clamp(min=0).sqrt().numpy(), cmap="inferno", interpolation="nearest")
    side = image.shape[0]
    length = 1.0 / pixel_um
    axis.plot([0.08 * side, 0.08 * side + length], [0.93 * side] * 2, color="white", linewidth=2)
    axis.set(xticks=[], yticks=[])
