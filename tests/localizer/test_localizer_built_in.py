"""The models of the package: each is whole without another file, and finds what its own experiment draws."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.extent import frame_extent
from deepstorm3d.field import Field
from deepstorm3d.localizing.catalogue import built_in_models, describe_model, find_model
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.priors import FixedCount
from deepstorm3d.simulation.simulator import Simulator

BORDER_PX = 12.0


def test_the_common_masks_have_one() -> None:
    assert {"tetrapod", "astigmatic"} <= set(built_in_models())


@pytest.mark.parametrize("name", built_in_models())
@torch.no_grad()
def test_a_built_in_model_finds_molecules_of_its_own_experiment(name: str) -> None:
    pipeline = load_pipeline(find_model(name), refine=False)
    experiment = pipeline.experiment
    scene = next(iter(experiment.scenes.values()))
    field = Field(64, 64, experiment.microscope.pixel_um)
    simulator = Simulator(pipeline.psf, experiment.camera, field)
    generator = torch.Generator().manual_seed(3)
    few = scene.emitters.with_(count=FixedCount(count=2), margin_px=(BORDER_PX, BORDER_PX))
    truth = few.draw(10, field, generator)
    background = scene.background.draw(10, field, generator)
    found = pipeline.localize(simulator.to_photons(simulator(truth, background, generator)))
    pairs = match(truth, found, tolerance_um=0.25, field_um=frame_extent(field.size, field.pixel_um))
    assert score(truth, found, pairs).jaccard > 0.85


@pytest.mark.parametrize("name", built_in_models())
def test_the_card_of_a_built_in_model_says_how_good_it_is(name: str) -> None:
    card = describe_model(find_model(name), name)
    assert 0.5 < card.figures["jaccard"] <= 1
    assert card.facts["date"] and len(card.scenes) >= 1
