"""Bead stacks whose background was taken off and clipped: good pixels stay good, faulty ones are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bead_stacks import bead_stack, small_experiment
from deepstorm3d.camera import IdealCamera
from deepstorm3d.experiment.presets import preset
from deepstorm3d.frames.pixel_faults import faults_of, sample_frames
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.pixels.faults import PixelFaults
from deepstorm3d.pixels.reading import PixelReader

BACKGROUND, SIGMA = 10.0, 10.0**0.5
CAMERA = IdealCamera()


def clipped(taken_off: float, least: float, gain: float) -> np.ndarray:
    """Counts (21, 84, 84) of beads through focus as people hand them on.

    taken_off: σ of the background besides itself;  least: σ below which what is left is set to 0;
    gain: counts for each photon, which nobody knows.
    """
    left = bead_stack() - BACKGROUND - taken_off * SIGMA
    left = torch.where(left > least * SIGMA, left, 0.0)
    return (gain * left).round().numpy().astype(np.uint16)


def judged(counts: np.ndarray) -> PixelFaults:
    return faults_of(counts, CAMERA, {}, small_experiment().microscope)


@pytest.mark.parametrize("gain", [1.0, 10.0])
@pytest.mark.parametrize(
    ("taken_off", "least"), [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 4.0)]
)
def test_no_good_pixel_of_a_clipped_stack_is_called_defective(
    taken_off: float, least: float, gain: float
) -> None:
    faults = judged(clipped(taken_off, least, gain))
    assert faults.in_words() == []
    light = PixelReader(faults, CAMERA.to_photons)(torch.from_numpy(clipped(taken_off, least, gain)).float())
    assert light.weight is None


@pytest.mark.parametrize(("taken_off", "least"), [(0.0, 0.0), (1.0, 0.0), (0.0, 2.0)])
def test_faulty_pixels_of_a_clipped_stack_are_found_and_no_others(taken_off: float, least: float) -> None:
    counts = clipped(taken_off, least, 10.0)
    counts[:, 50, 40] = 6000
    counts[:, :, 20] = 0
    counts[9, 70, 30] += 8000
    faults = judged(counts)
    assert (50, 40) in faults.defective
    # Where nothing but the clipped dark is below and above, a dead column is like any other.
    column = {row for row, at in faults.defective if at == 20}
    assert column >= set(range(10, 28))
    assert len(faults.defective) == len(column) + 1
    light = PixelReader(faults, CAMERA.to_photons)(torch.from_numpy(counts).float())
    assert light.weight is not None
    assert light.weight[9, 70, 30] == 0
    assert light.outliers.tolist() == [0] * 9 + [1] + [0] * 11


@pytest.mark.parametrize("stack", ["beads_tetrapod", "beads_crlb1", "beads_learned1"])
def test_real_clipped_stacks_have_no_defects(stack: str) -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / "nebulae" / f"{stack}.tif"
    if not path.exists():
        pytest.skip("the real data are not there")
    with open_movie(path) as movie:
        sample = sample_frames(movie, Prepared())
    set_up = preset("telomeres").microscope.with_(wavelength=0.605, na=1.49)
    assert faults_of(sample, CAMERA, {}, set_up).in_words() == []
