"""Beads and masks as small pictures: planes of a bead, measured beside modelled slices, phase and amplitude."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...calibration.phase_retrieval.figure_data import RetrievalPicture
from ...calibration.phase_retrieval.retrieval import Retrieval
from ...optics.computed import computed_psf
from ...optics.pupil import mask_coordinates
from ...optics.transmission import transmission_factor

__all__ = ["amplitude_of", "as_address", "bead_strip", "coloured", "slices_picture"]

Pixels = NDArray[np.uint8]
Map = Literal["inferno", "twilight", "RdBu_r", "gray"]
# Columns of slices.
_COLUMNS = 8
# Width of the line between two pictures, px.
_LINE = 1
# Residuals that have the ends of the colours, in σ of the noise.
_SIGMAS = 5.0


def coloured(values: NDArray[np.floating[Any]], low: float, high: float, name: Map) -> Pixels:
    """Values (h, w) in the colours of a map, (h, w, 4) RGBA; NaN is transparent."""
    from matplotlib import colormaps

    share = (values - low) / max(high - low, 1e-12)
    pixels = colormaps[name](np.nan_to_num(share).clip(0, 1), bytes=True)
    pixels[..., 3] = np.where(np.isfinite(values), 255, 0)
    return pixels


def as_address(pixels: Pixels) -> str:
    """An image (h, w, 4) as a data URL with a PNG file."""
    from matplotlib.image import imsave

    held = io.BytesIO()
    imsave(held, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def bead_strip(planes: NDArray[np.floating[Any]], count: int = 5) -> Pixels:
    """Some planes of a bead (G, h, w) side by side, on one root scale."""
    chosen = np.unique(np.linspace(0, len(planes) - 1, count).round().astype(int))
    low, high = float(np.median(planes)), float(planes.max())
    return _beside([coloured(_root(planes[k], low, high), 0, 1, "inferno") for k in chosen])


def slices_picture(picture: RetrievalPicture) -> tuple[Pixels, list[float]]:
    """Slices of the brightest bead: measured, model, and their difference from −5 to 5 σ, one row each.

    Returns the picture and the positions of its columns, µm. Each slice has a root scale of its own.
    """
    chosen = np.unique(np.linspace(0, len(picture.position_um) - 1, _COLUMNS).round().astype(int))
    columns = []
    for k in chosen:
        measured, model = picture.measured[k], picture.modelled[k]
        low, high = float(np.median(model)), float(max(measured.max(), model.max()))
        left = (measured - model) / picture.noise[k]
        tiles = [coloured(_root(each, low, high), 0, 1, "inferno") for each in (measured, model)]
        columns.append(_below([*tiles, coloured(left, -_SIGMAS, _SIGMAS, "RdBu_r")]))
    return _beside(columns), [float(picture.position_um[k]) for k in chosen]


def amplitude_of(found: Retrieval) -> NDArray[np.float64]:
    """The amplitude in the pupil, mean 1, (K, K) on the mask's pixels, NaN outside the aperture."""
    microscope = found.experiment.microscope
    pixels = microscope.mask_px
    axis = mask_coordinates(pixels, microscope.mask_pitch)
    table = computed_psf(found.experiment.psf).transmission
    factor = np.ones((pixels, pixels)) if not table else transmission_factor(table, microscope, axis).numpy()
    inside = np.hypot(axis.numpy()[:, None], axis.numpy()) < microscope.aperture_radius
    return np.where(inside, factor / factor[inside].mean(), np.nan)


def _root(image: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.floating[Any]]:
    return np.sqrt(np.clip((image - low) / max(high - low, 1e-9), 0, None))


def _beside(tiles: list[Pixels]) -> Pixels:
    line = np.zeros((len(tiles[0]), _LINE, 4), np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, line)][:-1], 1)


def _below(tiles: list[Pixels]) -> Pixels:
    line = np.zeros((_LINE, tiles[0].shape[1], 4), np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, line)][:-1], 0)
