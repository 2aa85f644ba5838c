"""A frame in several channels beside each other: what was recorded, what a list predicts, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import frame_extent
from ..field import Field
from .frame_overlay import marked_panel, residual_panel
from .panels import colour_bar, new_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ChannelFrame", "channel_overlays"]

# Width and height of a panel, inches, and the room for title and labels above it.
_PANEL = 5.4
_LABELS = 0.75


class ChannelFrame(Protocol):
    """A frame beside the image that a list predicts for it, as `regenerate` makes it (all images (H, W))."""

    @property
    def photons(self) -> Tensor:
        """The frame, photons per pixel."""
        ...

    @property
    def model(self) -> Tensor:
        """What the list predicts."""
        ...

    @property
    def residual(self) -> Tensor:
        """What is left, in standard deviations of the noise."""
        ...

    @property
    def found(self) -> Localizations:
        """The rows, in the frame's own µm."""
        ...

    @property
    def pixel_um(self) -> float:
        """Camera pixel."""
        ...

    @property
    def name(self) -> str:
        """Of the channel."""
        ...


def channel_overlays(
    frames: Sequence[ChannelFrame], *, truth: Sequence[Emitters] = (), title: str = ""
) -> Figure:
    """Draw a frame of every channel with its localizations marked, the predicted image, and the residual.

    Channels stand beside each other, each on a grey scale of its own; residuals have one scale, in units of
    the noise.

    Parameters
    ----------
    frames : sequence
        What ``ds.regenerate_channels(...)`` returns in ``.frames``, or ``[ds.regenerate(...)]``.
    truth : sequence of Emitters
        True molecules of the frame in each channel's own µm, drawn as open circles; left out: none.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Where there is no frame, or truth of some channels only.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> image, found = torch.full((32, 40), 20.0), Localizations.empty()
    >>> seen = {"photons": image, "model": image, "residual": 0 * image, "found": found, "pixel_um": 0.1}
    >>> figure = plot.channel_overlays([SimpleNamespace(**seen, name=name) for name in ("A.tif", "B.tif")])
    >>> sum(len(axes.images) for axes in figure.axes)
    6
    """
    if not frames or (truth and len(truth) != len(frames)):
        raise InputError(f"a frame of each channel is drawn, got {len(frames)}, with truth of {len(truth)}")
    aspects = [frame.photons.shape[0] / frame.photons.shape[1] for frame in frames]
    tall = _PANEL * float(np.clip(max(aspects), 0.4, 2.0)) * 0.85 + _LABELS
    figure = new_figure(_PANEL * len(frames) + 0.4, 3 * tall + 0.4, title)
    panels = figure.subplots(3, len(frames), squeeze=False)
    for column, frame in enumerate(frames):
        _draw(panels[:, column], frame, truth[column] if truth else None)
    return figure


def _draw(panels: Any, frame: ChannelFrame, truth: Emitters | None) -> None:
    """The three panels of a channel."""
    seen, model = (image.detach().cpu().double().numpy() for image in (frame.photons, frame.model))
    edges = frame_extent((seen.shape[0], seen.shape[1]), frame.pixel_um)
    low, high = np.percentile(seen, [0.5, 99.8])
    look: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-9)}
    # Of the molecules of all channels, those that this one shows.
    shown_here = frame.found.select(Field(seen.shape[0], seen.shape[1], frame.pixel_um).inside(frame.found.xyz))
    marked_panel(panels[0], seen, edges, truth, shown_here, look, title=frame.name or "Camera frame")
    shown = show_image(panels[1], model, edges, "Regenerated from the list (same grey scale)", **look)
    colour_bar(shown, panels[1], "photons per pixel")
    residual = frame.residual.detach().cpu().double().numpy()
    residual_panel(panels[2], residual, edges)
    for axes in panels[:2]:
        scale_bar(axes, edges)
