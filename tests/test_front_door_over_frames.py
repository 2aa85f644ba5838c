"""Molecules fitted over several frames through the front door: `Model.localize(…, over_frames=True)`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from numpy.typing import NDArray

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import DoubtfulResult, Interrupted
from deepstorm3d.localizing.model import Model
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from factories import tiny_experiment, untrained_model
from watchers import Recorder

FRAMES = 8


@pytest.fixture(scope="module")
def model() -> Model:
    experiment = tiny_experiment(frame_px=(40, 48))
    scene = experiment.scene(None)
    resting = scene.emitters.with_(
        count=FixedCount(count=3),
        photons=FixedPhotons(photons=20_000.0),
        blinking=ExponentialBlinking(mean_frames=4.0),
    )
    return Model(untrained_model(experiment.with_(scenes={"main": scene.with_(emitters=resting)}), 0.5))


@pytest.fixture(scope="module")
def movie(model: Model) -> tuple[NDArray[Any], Emitters]:
    return ds.simulate(model.experiment, FRAMES, seed=3)


@pytest.fixture(scope="module")
def found(model: Model, movie: Any) -> Localizations:
    return model.localize(movie[0], method="pursuit", over_frames=True)


def rms_um(truth: Emitters, found: Localizations) -> float:
    pairs = match(truth, found, tolerance_um=0.25)
    return float((found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]).square().mean().sqrt())


def test_a_molecule_has_one_position_in_all_its_frames(found: Localizations, movie: Any) -> None:
    assert found.molecule is not None
    truth = movie[1].select(movie[1].photons > 2000)
    pairs = match(truth, found, tolerance_um=0.25)
    assert len(pairs) >= 0.9 * len(truth)
    frames = {}
    for true, row in zip(truth.id[pairs.truth_index].tolist(), pairs.found_index.tolist(), strict=True):
        frames.setdefault(true, []).append(row)
    several = {one: rows for one, rows in frames.items() if len(rows) > 1}
    assert len(several) >= 3
    for rows in several.values():
        assert len(set(found.molecule[rows].tolist())) == 1
        assert torch.equal(found.xyz[rows], found.xyz[rows[:1]].expand(len(rows), 3))
        assert found.photons[rows].unique().numel() == len(rows)


def test_it_is_more_exact_than_single_frames(model: Model, found: Localizations, movie: Any) -> None:
    single = model.localize(movie[0], method="pursuit", over_frames=False)
    assert single.molecule is None
    truth = movie[1].select(movie[1].photons > 2000)
    assert rms_um(truth, found) < 0.9 * rms_um(truth, single)


def test_a_region_gives_positions_of_the_whole_frame(model: Model, movie: Any) -> None:
    counts, truth = movie
    part = model.localize(
        ds.Excerpt(counts, roi=(6, 4, 46, 38), frames=(2, 7)), method="pursuit", over_frames=True
    )
    assert part.molecule is not None
    assert 2 <= int(part.frame.min()) <= int(part.frame.max()) <= 6
    pixel = model.experiment.microscope.pixel_um
    inside = (truth.xyz[:, 0] > 12 * pixel) & (truth.xyz[:, 0] < 40 * pixel)
    inside &= (truth.xyz[:, 1] > 10 * pixel) & (truth.xyz[:, 1] < 32 * pixel)
    wanted = truth.select(inside & (truth.photons > 2000) & (truth.frame >= 2) & (truth.frame < 7))
    assert len(wanted) >= 2
    assert len(match(wanted, part, tolerance_um=0.25)) == len(wanted)


def test_the_list_shows_that_the_molecules_last(model: Model, found: Localizations, movie: Any) -> None:
    of_itself = model.localize(movie[0], method="pursuit")
    for name, column in found.columns().items():
        assert torch.equal(column, of_itself.columns()[name]), name
    one = model.localize(movie[0][:1], method="pursuit")
    assert len(one) and one.molecule is None


def test_it_needs_the_joint_fit(model: Model, movie: Any) -> None:
    with pytest.warns(DoubtfulResult) as told:
        found = model.localize(movie[0], refine=False, over_frames=True)
    said = "single frames: a fit over frames needs the joint fit"
    assert any(str(each.message).startswith(said) for each in told)
    assert found.molecule is None


def test_it_can_be_stopped(model: Model, movie: Any) -> None:
    whole = Recorder()
    model.localize(movie[0], method="pursuit", over_frames=True, watch=whole)
    assert whole.steps[-1] == (FRAMES, FRAMES, "over frames")

    class InTheSecondPass(Recorder):
        @property
        def stopped(self) -> bool:
            return any(note == "over frames" for _, _, note in self.steps)

    with pytest.raises(Interrupted):
        model.localize(movie[0], method="pursuit", over_frames=True, watch=InTheSecondPass())
