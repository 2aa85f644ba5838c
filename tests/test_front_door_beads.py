"""`ds.measure_psf` and `ds.retrieve_mask`: arrays of beads give what the commands make of files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import deepstorm3d as ds
from bead_stacks import (
    FIRST_UM,
    ONE_CENTRE,
    SLICES,
    STEP_UM,
    bead_stack,
    short_retrieval,
    small_experiment,
    true_mask,
)
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.jobs.measure_psf import measure_psf
from deepstorm3d.jobs.retrieve_mask import RetrievalFiles, retrieve_mask

POSITIONS = tuple((FIRST_UM + STEP_UM * np.arange(SLICES)).tolist())
SETTINGS = BeadSettings(step_um=STEP_UM, first_um=FIRST_UM, bead_um=0.2)


@pytest.fixture(autouse=True)
def no_doubts():
    """What the few beads here leave in doubt is not what these tests ask about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.DoubtfulResult)
        yield


@pytest.fixture
def stack() -> NDArray[np.uint16]:
    """Counts (S, 84, 84) of one bead."""
    return bead_stack(ONE_CENTRE).numpy().astype(np.uint16)


def test_an_array_gives_the_planes_that_the_command_writes(tmp_path: Path, stack: NDArray[np.uint16]):
    np.save(tmp_path / "beads.npy", stack)
    experiment = small_experiment()
    written = measure_psf(experiment, [tmp_path / "beads.npy"], SETTINGS, tmp_path / "psf.h5")
    measured = ds.measure_psf(stack, experiment, ds.BeadSettings(positions=POSITIONS, bead_um=0.2))
    torch.testing.assert_close(measured.volume.values, written.volume.values)
    assert measured.volume.range_um == pytest.approx(written.volume.range_um)
    assert [str(place) for place in measured.places] == [str(place) for place in written.places]


def test_several_arrays_are_named_by_their_numbers(stack: NDArray[np.uint16]):
    measured = ds.measure_psf(
        [stack, stack], small_experiment(), ds.BeadSettings(positions=POSITIONS, bead_um=0.2)
    )
    assert [place.file for place in measured.places] == ["stack 0", "stack 1"]


def test_positions_that_are_too_few_are_refused(stack: NDArray[np.uint16]):
    with pytest.raises(ds.InputError, match="the list has 20 positions, the stack 21 slices"):
        ds.measure_psf(stack, small_experiment(), ds.BeadSettings(positions=POSITIONS[:-1]))


def test_an_array_gives_the_mask_that_the_job_writes(tmp_path: Path, stack: NDArray[np.uint16]):
    np.save(tmp_path / "beads.npy", stack)
    experiment, files = small_experiment(), RetrievalFiles(tmp_path / "mask.npy", json=tmp_path / "f.json")
    with short_retrieval():
        retrieve_mask(experiment, [tmp_path / "beads.npy"], SETTINGS, files)
        found = ds.retrieve_mask(stack, experiment, SETTINGS)
    np.testing.assert_allclose(np.load(tmp_path / "mask.npy"), found.phase.numpy(), atol=1e-6)
    assert files.shown.stat().st_size > 20_000 and files.json is not None and files.json.exists()
    wrapped = torch.exp(1j * (found.phase - true_mask()())).detach()
    assert float(wrapped.mean().abs()) > 0.9
    with pytest.raises(ds.InputError, match="exists"):
        retrieve_mask(experiment, [tmp_path / "nowhere.npy"], SETTINGS, files)
