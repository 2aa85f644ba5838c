"""Export a mask for a modulator or a plate, read it back, and say what its levels cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment
from ..io.masks import read_mask
from ..io.masks.modulator import ModulatorSpec, modulator_levels, write_modulator
from ..io.masks.plate import PlateSpec, plate_heights, write_plate
from ..optics.computed import build_psf
from ..optics.fisher import crlb
from ..optics.masks import PixelMask
from ..optics.psf import on_axis

__all__ = ["Exported", "LevelCost", "cost_of_levels", "export_mask"]

Floats = NDArray[np.float64]
_DEPTHS = 21
_LEVELS = (2, 4, 8, 16, 32, 64, 256)


@dataclass(frozen=True)
class LevelCost:
    """Bound with a mask of so many levels (0: any phase): rms over depth of σ in x, y, z, nm."""

    levels: int
    sigma_nm: tuple[float, float, float]


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    error_rad: rms difference of the phase read back, up to whole turns;  before, after: bounds.
    """

    error_rad: float
    before: LevelCost
    after: LevelCost


def export_mask(
    experiment: Experiment,
    mask: Path,
    out: Path,
    spec: ModulatorSpec | PlateSpec,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write a mask file for a modulator or a plate, read it back and compare.

    experiment: gives wavelength, pitch, and the light for the bounds;  spec: of the device; mask size,
    pitches and wavelength are filled in.
    Raises InputError where the mask fits neither microscope nor device, or the output cannot be written.
    """
    phase = read_mask(mask)
    before = _bound(experiment, phase, 0)
    if isinstance(spec, ModulatorSpec):
        spec = spec.with_(
            mask_px=(phase.shape[0], phase.shape[1]), mask_pitch_um=experiment.microscope.mask_pitch
        )
        write_modulator(out, modulator_levels(phase, spec), spec, overwrite=overwrite)
    else:
        spec = spec.with_(
            wavelength_um=experiment.microscope.wavelength, pitch_um=experiment.microscope.mask_pitch
        )
        heights = plate_heights(phase, spec)
        write_plate(out, heights, spec, overwrite=overwrite)
    readable = isinstance(spec, ModulatorSpec) or out.suffix.lower() in (".npy", ".tif", ".tiff")
    back = read_mask(out) if readable else _quantized(phase, spec.levels)
    error = np.angle(np.exp(1j * (back - phase)))
    return Exported(float(np.sqrt(np.mean(error**2))), before, _bound(experiment, back, spec.levels))


def cost_of_levels(experiment: Experiment, mask: Path) -> list[LevelCost]:
    """Bounds of a mask rounded to so many evenly spread phases, beside that of the mask as it is."""
    phase = read_mask(mask)
    return [_bound(experiment, _quantized(phase, count), count) for count in (0, *_LEVELS)]


def _quantized(phase: Floats, levels: int) -> Floats:
    if not levels:
        return phase
    step = 2 * np.pi / levels
    return np.rint(phase / step) * step


@torch.no_grad()
def _bound(experiment: Experiment, phase: Floats, levels: int) -> LevelCost:
    """rms over depth, under the experiment's first scene."""
    there = scene_conditions(experiment, experiment.scene(), None, None)
    psf = build_psf(experiment.psf, experiment.microscope, PixelMask(torch.from_numpy(phase)))
    z = torch.linspace(*there.prior.z_um, _DEPTHS, dtype=torch.float64)
    xyz, level = on_axis(z), torch.ones_like(z)
    photons, background = there.as_poisson()
    sigma = crlb(psf, xyz, photons * level, background * level, there.blur_px * level)[:, :3]
    x, y, z_nm = (1000 * sigma.square().mean(0).sqrt()).tolist()
    return LevelCost(levels, (x, y, z_nm))
