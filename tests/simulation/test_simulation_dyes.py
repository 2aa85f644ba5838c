"""Molecules of several dyes in simulated frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm3d.camera import IdealCamera
from deepstorm3d.experiment.dye import Dye
from deepstorm3d.experiment.dyes import dye_optics, dye_stack, dyes_table
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import build_sampler
from deepstorm3d.simulation.dyes import DyeStack
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.simulator import Simulator
from factories import emitters, tiny_experiment


def two_dyes() -> Experiment:
    dyes = {"short": Dye(wavelength=0.5, amount=3.0), "long": Dye(wavelength=0.7)}
    return tiny_experiment(dyes=dyes, frame_px=(48, 48), camera=IdealCamera())


def test_dyes_are_as_many_as_their_amounts_say() -> None:
    dye = DyeStack([3.0, 1.0], 2.0).draw(8000, torch.Generator().manual_seed(0))
    assert float((dye == 1).double().mean()) == pytest.approx(0.75, abs=0.02)
    assert set(dye.tolist()) == {1, 2}
    assert len(DyeStack([1.0, 1.0], 2.0).drawn(emitters([]), torch.Generator())) == 0


def test_the_image_of_a_frame_is_the_sum_of_those_of_its_dyes() -> None:
    setup = two_dyes()
    psf, field = dyes_table(setup), Field(40, 40, setup.microscope.pixel_um)
    stack = dye_stack(setup, psf)
    molecules = emitters([[1.5, 1.6, 0.4], [1.9, 1.4, 0.9], [2.5, 2.2, 0.6]], photons=5000.0)
    dye, dark = torch.tensor([1, 2, 1]), torch.zeros(1, 40, 40)
    mixed = type(molecules)(molecules.xyz, molecules.frame, molecules.photons, molecules.id, dye=dye)
    seen = Simulator(psf, setup.camera, field).expected(stack.seen(mixed), dark)
    total = dark
    for number, each in enumerate(dye_optics(setup), 1):
        alone = each.experiment
        table = alone.psf.tabulate(alone.microscope, each.source, setup.z_um, setup.blur_px)
        total = total + Simulator(table, setup.camera, field).expected(molecules.select(dye == number), dark)
    torch.testing.assert_close(seen, total, rtol=0, atol=1e-3 * float(total.max()))


def test_a_molecule_keeps_its_dye_in_all_frames_of_a_movie_and_the_truth_says_it(tmp_path: Path) -> None:
    setup = two_dyes()
    emitting = setup.scene().emitters.with_(blinking=ExponentialBlinking(mean_frames=3.0))
    setup = setup.with_(scenes={"main": setup.scene().with_(emitters=emitting)})
    path = tmp_path / "truth.csv"
    simulate_movie(MovieSimulation(setup, frames=40, seed=2), tmp_path / "movie.tif", truth=path)
    truth = read_truth(path)
    assert truth.dye is not None
    of_molecule = torch.zeros(int(truth.id.max()) + 1, dtype=torch.int64)
    of_molecule[truth.id] = truth.dye
    assert torch.equal(of_molecule[truth.id], truth.dye)
    assert set(truth.dye.tolist()) == {1, 2} and truth["dye"].tolist() == truth.dye.tolist()


def test_the_movie_without_dyes_is_what_it_was(tmp_path: Path) -> None:
    """Dyes have random numbers of their own: places and light of the molecules do not change."""
    setup = two_dyes()
    (one,) = MovieSimulation(setup.with_(dyes={}), frames=3, seed=2).blocks()
    (two,) = MovieSimulation(setup, frames=3, seed=2).blocks()
    assert torch.equal(one.truth.xyz, two.truth.xyz) and one.truth.dye is None
    simulate_movie(
        MovieSimulation(setup.with_(dyes={}), frames=2), tmp_path / "m.tif", truth=tmp_path / "truth.csv"
    )
    assert read_truth(tmp_path / "truth.csv").dye is None


def test_a_network_is_trained_with_the_images_of_all_dyes() -> None:
    setup = two_dyes()
    setup = setup.with_(training=setup.training.with_(crop_px=24))
    sampler = build_sampler(setup)
    assert sampler.dyes is not None
    batch = sampler.draw(6, torch.Generator().manual_seed(0))
    low, high = setup.z_um
    # Labels are where the molecules are, not where the stack has them.
    assert low <= float(batch.truth.xyz[:, 2].min()) and float(batch.truth.xyz[:, 2].max()) <= high
    assert batch.truth.dye is None
