"""The fits that follow a network or stand in for it: what they add, drop, keep and find by themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.single import SingleFit
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.simulator import Simulator
from factories import tiny_experiment, untrained_model, write_movie

SIZE = (56, 64)
# x, y (µm) and depth as a share of the range: two pairs that overlap, one molecule by itself.
PLACES = torch.tensor([[1.3, 1.4, 0.2], [1.9, 1.5, 0.8], [5.2, 1.6, 0.5], [3.4, 4.4, 0.35], [4.1, 4.3, 0.6]])


@pytest.fixture(scope="module")
def joint() -> JointFit:
    experiment = tiny_experiment()
    fit = build_fit(experiment, experiment_mask(experiment), "pursuit", "cpu")
    assert isinstance(fit, JointFit)
    return fit


def scene(
    fit: JointFit, places: torch.Tensor, frames: int = 1, background: float = 20.0
) -> tuple[Emitters, torch.Tensor]:
    """Molecules of 6,000 photons over a background at the same places in every frame, with shot noise."""
    low, high = fit.z_um
    xyz = places.repeat(frames, 1)
    xyz[:, 2] = low + (high - low) * xyz[:, 2]
    rows = torch.arange(len(xyz))
    truth = Emitters(xyz, rows // max(1, len(places)), torch.full((len(xyz),), 6000.0), rows)
    simulator = Simulator(fit.whole, tiny_experiment().camera, Field(*SIZE, fit.whole.pixel_um))
    mean = simulator.expected(truth, torch.full((frames, *SIZE), background))
    return truth, torch.poisson(mean, generator=torch.Generator().manual_seed(8))


def apart(truth: Emitters, found: Localizations) -> torch.Tensor:
    """Distance of each true molecule to the nearest found one of its frame, µm."""
    distance = torch.cdist(truth.xyz, found.xyz)
    return distance.masked_fill(truth.frame[:, None] != found.frame, 9.0).amin(1)


def test_pursuit_finds_overlapping_molecules_from_nothing(joint: JointFit) -> None:
    truth, photons = scene(joint, PLACES, frames=3)
    found = joint(Localizations.empty(), Likelihood(photons))
    assert len(found) == len(truth)
    assert float(apart(truth, found).max()) < 0.06
    assert found.sigma_source == "fit"
    assert (found.sigma_xyz > 0).all()
    assert abs(float(found.fit_quality.mean()) - 1) < 0.15


def test_frames_of_noise_stay_empty_whatever_is_proposed(joint: JointFit) -> None:
    _, photons = scene(joint, PLACES[:0], frames=1)
    photons = torch.poisson(torch.full((8, *SIZE), 20.0), generator=torch.Generator().manual_seed(2))
    proposed = Localizations.proposals(
        torch.tensor([[1.0, 1.0, sum(joint.z_um) / 2]]), torch.tensor([3]), torch.tensor([0.9])
    )
    assert len(joint(proposed, Likelihood(photons))) == 0
    assert len(joint(Localizations.empty(), Likelihood(photons))) == 0


def test_a_nucleus_is_background_and_no_molecule(joint: JointFit) -> None:
    # A super-Gaussian of 100 over 25 photons, of the narrowest that Fig. 4 has.
    row, column = torch.meshgrid(*(torch.arange(float(side)) for side in SIZE), indexing="ij")
    form = (-((((row - 27) / 24) ** 2 + ((column - 34) / 24) ** 2) ** 2)).exp()
    mean = (25 + 100 * form).expand(20, -1, -1)
    frames = torch.poisson(mean, generator=torch.Generator().manual_seed(4))
    assert len(joint(Localizations.empty(), Likelihood(frames))) == 0


def test_the_search_has_the_coarser_background(joint: JointFit) -> None:
    truth, photons = scene(joint, PLACES, frames=2)
    assert joint.search_spacing_px > joint.spacing_px
    # What comes out does not depend on it where molecules and background are easily told apart.
    same = replace(joint, search_spacing_px=joint.spacing_px)
    one, other = (fit(Localizations.empty(), Likelihood(photons)) for fit in (joint, same))
    assert len(one) == len(other) == len(truth)
    distance = torch.cdist(one.xyz, other.xyz).masked_fill(one.frame[:, None] != other.frame, 9.0)
    assert float(distance.amin(1).max()) < 0.005


def test_a_false_a_double_and_a_missing_molecule_are_put_right(joint: JointFit) -> None:
    truth, photons = scene(joint, PLACES)
    false = torch.tensor([[6.0, 5.0, float(truth.xyz[0, 2])]])
    proposed = torch.cat([truth.xyz[:4] + 0.04, truth.xyz[2:3] - 0.05, false])
    probability = torch.linspace(0.5, 0.95, len(proposed))
    start = Localizations.proposals(proposed, torch.zeros(len(proposed), dtype=torch.int64), probability)
    found = joint(start, Likelihood(photons))
    assert len(found) == len(truth)
    assert float(apart(truth, found).max()) < 0.06
    # Three molecules keep what the network said of them; the one that was added says how sure the test is.
    nearest = torch.cdist(truth.xyz, found.xyz).argmin(1)
    torch.testing.assert_close(found.probability[nearest[[0, 1, 3]]], probability[[0, 1, 3]])
    assert float(found.probability[nearest[4]]) == pytest.approx(1 - joint.false_alarms)


def test_positions_only_leaves_the_list_as_it_is(joint: JointFit) -> None:
    truth, photons = scene(joint, PLACES)
    plain = JointFit(joint.core, joint.whole, joint.bounds, joint.z_um, rounds=0)
    start = Localizations.proposals(truth.xyz[:3] + 0.03, truth.frame[:3], torch.ones(3))
    assert len(plain(start, Likelihood(photons))) == 3


def test_no_frames_and_no_molecules_are_an_empty_list(joint: JointFit) -> None:
    assert len(joint(Localizations.empty(), Likelihood(torch.zeros(0, *SIZE)))) == 0


def test_single_fits_find_sparse_molecules_once_and_within_their_errors() -> None:
    experiment = tiny_experiment()
    fit = build_fit(experiment, experiment_mask(experiment), "mle", "cpu")
    assert isinstance(fit, SingleFit)
    joint = build_fit(experiment, experiment_mask(experiment), "network", "cpu")
    assert isinstance(joint, JointFit)
    truth, photons = scene(joint, PLACES[[0, 2]], frames=20)
    found = fit(Likelihood(photons))
    assert len(found) == len(truth)
    pairs = torch.cdist(truth.xyz, found.xyz).masked_fill(truth.frame[:, None] != found.frame, 9.0).argmin(1)
    pull = (found.xyz[pairs] - truth.xyz) / found.sigma_xyz[pairs]
    assert bool((pull.std(0) < 1.5).all())
    assert float(pull.abs().max()) < 5


@pytest.mark.parametrize("background", [0.03, 0.3, 1.0, 3.0])
def test_single_fits_find_bright_molecules_on_a_background_of_hardly_any_photons(
    joint: JointFit, background: float
) -> None:
    # The smooth surface that stands for the background of a frame with a bright molecule swings below 0.
    experiment = tiny_experiment()
    fit = build_fit(experiment, experiment_mask(experiment), "mle", torch.device("cpu"))
    truth, photons = scene(joint, PLACES[[0, 2]], frames=20, background=background)
    found = fit(Likelihood(photons))
    assert len(found) == len(truth)
    assert float(apart(truth, found).max()) < 0.1
    assert float(found.background.mean()) == pytest.approx(background, abs=0.03 + 0.02 * background)


def test_localize_refines_by_default_and_says_so(tmp_path: Path, joint: JointFit) -> None:
    experiment = tiny_experiment()
    model = untrained_model(experiment, 0.9)
    truth, photons = scene(joint, PLACES, frames=2)
    write_movie(tmp_path / "m.tif", photons.round().numpy().astype("uint16"), experiment.microscope.pixel_um)
    # A network that has learnt nothing proposes nothing above 0.9: the likelihood finds them all the same.
    localize_movie(
        Excerpt(tmp_path / "m.tif"), load_pipeline(model, threshold=0.999), ListFile(tmp_path / "out.hdf5")
    )
    found = read_table(tmp_path / "out.hdf5", pixel_um=experiment.microscope.pixel_um)
    assert len(found) == len(truth)
    assert found.sigma_source == "fit"
    with h5py.File(tmp_path / "out.hdf5") as file:
        header = json.loads(file["deepstorm3d/provenance"][()])
    assert header["refined"] is True
    assert header["method"] == "network"
