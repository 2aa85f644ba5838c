"""Estimating with a model at work on a GPU: the numbers of the processor."""

from __future__ import annotations

import pytest
from gpu_scenes import experiment, photons, pipeline

from deepstorm3d.calibration.movie_statistics import by_model as estimate_by_model
from deepstorm3d.calibration.movie_statistics.by_model import FoundLight, found_light
from deepstorm3d.calibration.movie_statistics.scene_match import Imaging, SceneGuess
from deepstorm3d.experiment.optics import experiment_mask

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round with few molecules: the same path through the program."""
    for name, number in {"_ROUNDS": 1, "_SIMULATED": 2, "_FEWEST": 1, "_EDGE_PX": 2}.items():
        monkeypatch.setattr(estimate_by_model, name, number)


def found(device: str) -> FoundLight:
    setup = experiment()
    psf = setup.psf.tabulate(setup.microscope, experiment_mask(setup), setup.z_um, (1.0, 1.0))
    guess = SceneGuess(1.0, 0.0, 5000.0, 0.3, 20.0, 20.0, 0.0)
    working = pipeline(device, refine=False)
    return found_light(photons(), guess, setup.scene(), Imaging(psf, setup.camera), working, seed=1)


def test_density_and_photons_by_a_model() -> None:
    ours, theirs = found("cuda"), found("cpu")
    assert theirs.molecules > 0
    # Of the list of a network of random weights some rows hang on the last bit.
    assert ours.molecules == pytest.approx(theirs.molecules, rel=0.2)
    assert ours.guess.photons == pytest.approx(theirs.guess.photons, rel=0.2)
