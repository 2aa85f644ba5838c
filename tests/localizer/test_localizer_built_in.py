"""The models of the package: each is whole without another file, and finds what its own experiment draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.extent import frame_extent
from deepstorm3d.field import Field
from deepstorm3d.localizing.catalogue import built_in_models, describe_model, find_model
from deepstorm3d.simulation.priors import FixedCount
from deepstorm3d.simulation.simulator import Simulator

BORDER_PX = 12.0


def test_the_common_masks_have_one() -> None:
    assert {"tetrapod", "astigmatic", "biplane", "learned", "learned-precise"} <= set(built_in_models())


def sparse(name: str) -> tuple[ds.Model, Experiment]:
    """A model, and its experiment with two molecules in a small frame, away from its edge."""
    model = ds.load_model(name)
    experiment = model.experiment
    scene = next(iter(experiment.scenes.values()))
    few = scene.emitters.with_(count=FixedCount(count=2), margin_px=(BORDER_PX, BORDER_PX))
    return model, experiment.with_(frame_px=(64, 64), scenes={"few": scene.with_(emitters=few)})


def recorded(model: ds.Model, experiment: Experiment) -> tuple[list[NDArray[np.uint16]], Emitters]:
    """Ten frames of each camera through the model's own mask, and the truth."""
    if experiment.channels:
        movies, truth = ds.simulate_channels(experiment, 10, seed=3)
        return list(movies.values()), truth
    field = Field(64, 64, experiment.microscope.pixel_um)
    simulator = Simulator(model.pipeline().psf, experiment.camera, field)
    generator = torch.Generator().manual_seed(3)
    truth, background = experiment.scene().draw(10, field, generator)
    return [simulator(truth, background, generator).numpy()], truth


@pytest.mark.parametrize("name", built_in_models())
@torch.no_grad()
def test_a_built_in_model_finds_molecules_of_its_own_experiment(name: str) -> None:
    model, experiment = sparse(name)
    movies, truth = recorded(model, experiment)
    if experiment.channels:
        found = ds.localize_channels(movies[0], movies[1], model, method="proposals")
    else:
        found = model.localize(movies[0], refine=False)
    pixel_um = experiment.microscope.pixel_um
    pairs = match(truth, found, tolerance_um=0.25, field_um=frame_extent((64, 64), pixel_um))
    assert score(truth, found, pairs).jaccard > 0.85


@pytest.mark.parametrize("name", built_in_models())
def test_the_card_of_a_built_in_model_says_how_good_it_is(name: str) -> None:
    card = describe_model(find_model(name), name)
    assert 0.5 < card.figures["jaccard"] <= 1
    assert card.facts["date"] and len(card.scenes) >= 1
