"""Small stacks of beads for tests: an astigmatic mask with aberrations, 27 mask pixels across, 21 slices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from deepstorm3d.calibration.beads.images import BeadImages
from deepstorm3d.calibration.beads.simulated import BeadScene, aberrated_mask, draw_stack
from deepstorm3d.calibration.phase_retrieval import retriever
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.optics.masks import PhaseMask
from deepstorm3d.optics.scalar import ScalarPSFSpec

SIDE, SLICES, FIRST_UM, STEP_UM = 21, 21, -1.0, 0.1
CENTRES = ((20.2, 19.7), (60.4, 22.1), (22.8, 61.3))
ONE_CENTRE = CENTRES[:1]


def small_experiment() -> Experiment:
    base = preset("quickstart")
    return base.with_(
        microscope=base.microscope.with_(mask_pitch=100.0),
        psf=ScalarPSFSpec(patch_px=SIDE, blur_px=0.9),
    )


@cache
def true_mask(rms_um: float = 0.05) -> PhaseMask:
    return aberrated_mask(small_experiment(), rms_um, 3)


def focus_of_slices() -> Tensor:
    return FIRST_UM + STEP_UM * torch.arange(SLICES)


@cache
def bead_stack(centres: tuple[tuple[float, float], ...] = CENTRES, seed: int = 0) -> Tensor:
    """Photons (S, 84, 84) of beads of 200 nm, drawn with twice the pupil samples."""
    return draw_beads(small_experiment(), centres, seed)


def draw_beads(
    experiment: Experiment,
    centres: tuple[tuple[float, float], ...] = CENTRES,
    seed: int = 0,
    *,
    mask: PhaseMask | None = None,
    background: float = 10.0,
) -> Tensor:
    """The same of another experiment, or through another mask than `true_mask`."""
    pixel = experiment.microscope.pixel_um
    bright = torch.tensor([20000.0, 10000.0, 6000.0, 6000.0])[: len(centres)].expand(SLICES, -1)
    bright = bright * torch.exp(-0.3 * torch.arange(SLICES) / SLICES)[:, None]
    scene = BeadScene(
        focus_of_slices(), torch.tensor(centres) * pixel, bright, (84, 84), blur_px=0.9, background=background
    )
    return draw_stack(experiment, true_mask() if mask is None else mask, scene, seed)


def write_stack(path: Path, stack: Any) -> Path:
    tifffile.imwrite(path, np.asarray(stack).astype(np.uint16), photometric="minisblack")
    return path


def bead_folder(folder: Path) -> Path:
    """The experiment and its stack of beads as files: experiment.yaml, beads.tif."""
    write_experiment(small_experiment(), folder / "experiment.yaml")
    write_stack(folder / "beads.tif", bead_stack())
    return folder


def cut_beads(stack: Tensor, position_um: Tensor | None = None) -> BeadImages:
    """The images of the beads at CENTRES."""
    half = SIDE // 2
    parts = [
        stack[:, round(y) - half : round(y) + half + 1, round(x) - half : round(x) + half + 1]
        for x, y in CENTRES
    ]
    plane = torch.arange(SLICES).repeat(len(CENTRES))
    position = (focus_of_slices() if position_um is None else position_um)[plane]
    bead = torch.arange(len(CENTRES)).repeat_interleave(SLICES)
    return BeadImages(Likelihood(torch.cat(parts)), bead, plane, position, "objective")


@contextmanager
def short_retrieval() -> Iterator[None]:
    """Retrievals with half the rounds, all of the same stages: these small masks are found as well."""
    with pytest.MonkeyPatch.context() as patch:
        for stage, rounds in (("_POLYNOMIAL", (3, 8)), ("_FREE", (2, 8)), ("_FINE", (1, 8))):
            patch.setattr(retriever, stage, rounds)
        yield
