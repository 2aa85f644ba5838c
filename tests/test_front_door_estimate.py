"""`ds.estimate`: an array gives the experiment that the command writes of the same movie."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import deepstorm3d as ds
from deepstorm3d.calibration.movie_statistics import molecules, scene_match
from deepstorm3d.camera import ScmosCamera
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.localizing.excerpt import Excerpt
from factories import tiny_experiment


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of few simulated frames: the same path through the program."""
    for name, number in {"_ROUNDS": 1, "_LEAST_FRAMES": 8, "_MOST_FRAMES": 8}.items():
        monkeypatch.setattr(scene_match, name, number)
    monkeypatch.setattr(molecules, "_BOOTSTRAPS", 4)


def test_an_array_gives_the_experiment_of_the_command(tmp_path: Path):
    setup = tiny_experiment()
    movie, _ = ds.simulate(setup, frames=6, emitters=10, seed=1)
    np.save(tmp_path / "movie.npy", movie)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = ds.estimate(movie, setup.with_(seed=4))
    command = estimate_movie(Excerpt(tmp_path / "movie.npy"), setup.with_(seed=4), tmp_path / "e.yaml")
    assert found.experiment == command.experiment == ds.read_experiment(tmp_path / "e.yaml")
    assert [str(each.message) for each in told] == command.warnings
    assert {key for key, _, _ in found.changes} and found.experiment != setup
    assert found.frames == 6 and found.simulated.shape[1:] == found.real.shape[1:] == movie.shape[1:]


def test_a_dark_array_gives_the_baseline_of_the_camera():
    camera = ScmosCamera(baseline=130.0, gain=2.0, read_noise=1.5)
    setup = tiny_experiment(camera=camera)
    movie, _ = ds.simulate(setup, frames=8, emitters=10, seed=2)
    dark = np.rint(np.random.default_rng(0).normal(130.0, 3.0, (20, 64, 64))).astype(np.uint16)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = ds.estimate(movie, setup.with_(camera=camera.with_(baseline=100.0)), dark=dark)
    assert found.experiment.camera.to_mapping()["baseline"] == pytest.approx(130.0, abs=0.5)


def test_a_model_of_another_set_up_is_refused():
    setup = ds.preset("quickstart")
    movie = np.full((2, 64, 64), 20, np.uint16)
    with pytest.raises(ds.InputError, match="'tetrapod' was trained for"):
        ds.estimate(movie, setup, model="tetrapod")
