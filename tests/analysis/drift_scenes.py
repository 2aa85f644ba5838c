"""Simulated lists whose drift, precision and structure are known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deepstorm3d.emitters import Localizations
from deepstorm3d.simulation.blinking import blink
from deepstorm3d.simulation.structures import mitochondria

SIGMA_UM = (0.012, 0.012, 0.018)


def waves(frames: int, reach_um: tuple[float, float, float]) -> NDArray[np.float64]:
    """A smooth drift (F, 3) µm with mean 0, another one in each axis."""
    t = np.linspace(0, 1, frames)
    shapes = (np.sin(5 * t + 0.4), np.cos(4 * t) + 0.3 * np.sin(11 * t), t + 0.2 * np.cos(7 * t))
    curve = np.stack([shape - shape.mean() for shape in shapes], axis=1)
    return curve / np.abs(curve).max(0) * np.array(reach_um)


def shining(
    molecules: int, frames: int, drift_um: NDArray[np.float64] | None = None, *, seed: int = 1
) -> Localizations:
    """Blinking molecules on mitochondria in 8×8×2 µm, with errors as SIGMA_UM says and a drift."""
    generator = torch.Generator().manual_seed(seed)
    places = mitochondria(molecules, (4.0, 4.0, 1.0), (8.0, 8.0, 2.0), generator)
    photons = torch.full((molecules,), 5000.0)
    true = blink(places, photons, frames, generator, on_time=2.0, off_time=frames / 2, blinks=3.0)
    sigma = torch.tensor(SIGMA_UM)
    xyz = (true.xyz + sigma * torch.randn(true.xyz.shape, generator=generator)).double()
    if drift_um is not None:
        xyz = xyz + torch.from_numpy(drift_um)[true.frame]
    zero = torch.zeros(len(true))
    return Localizations(
        xyz=xyz,
        frame=true.frame,
        photons=true.photons,
        background=zero,
        probability=zero + 1,
        sigma_xyz=sigma.expand(len(true), 3).clone(),
        sigma_photons=zero,
        sigma_background=zero,
        fit_quality=zero + 1,
        sigma_source="fit",
    )


def rms_nm(error_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of each axis, less its mean, nm."""
    return 1000 * np.sqrt(np.mean((error_um - error_um.mean(0)) ** 2, axis=0))
