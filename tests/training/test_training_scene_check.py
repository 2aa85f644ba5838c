"""Scenes that cannot teach: refused before the first step, and no figure where nothing was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.field import Field
from deepstorm3d.jobs.train import build_localizer, build_sampler
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.simulation.priors import DensityCount, FixedCount, FixedPhotons, UniformCount
from deepstorm3d.training import loop
from deepstorm3d.training.loop import train
from deepstorm3d.training.sampler import Batch, FrameSampler
from deepstorm3d.training.scene_check import refuse_without_labels, saturation_warning
from deepstorm3d.training.state import TrainingState
from deepstorm3d.training.validation import Validation, validate

FIELD = Field(24, 24, 0.11)
SPEC = TrainingSpec(
    steps=3, batch=2, crop_px=24, warmup_steps=1, validate_every=1, validation_crops=2, patience=1
)


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    network = CoarseSpec(channels=8, skip=4, dilations=(1,))
    return preset("quickstart").with_(psf=ScalarPSFSpec(patch_px=21), network=network, training=SPEC)


def changed(experiment: Experiment, **emitters: Any) -> Experiment:
    """The experiment with other emitters in its scene."""
    scene = experiment.scene()
    return experiment.with_(scenes={"main": scene.with_(emitters=scene.emitters.with_(**emitters))})


@pytest.mark.parametrize(
    ("emitters", "told"),
    [
        ({"count": FixedCount(count=0)}, "hold no emitter.*raise emitters.count"),
        ({"count": UniformCount(low=0, high=0)}, "hold no emitter"),
        ({"count": DensityCount(low=0, high=0)}, "256 crops of 24 × 24 px hold no emitter"),
        (
            {"photons": FixedPhotons(photons=900), "min_photons": 6000},
            "has 900 photons, and those below min_photons = 6,000 are not labelled: lower",
        ),
    ],
)
def test_a_scene_with_nothing_to_find_is_refused_before_the_first_step(
    tiny: Experiment, emitters: dict[str, Any], told: str
) -> None:
    nothing = changed(tiny, **emitters)
    with pytest.raises(InputError, match=told):
        train(build_localizer(nothing), build_sampler(nothing), SPEC)
    # Beside a scene with molecules it shows frames without.
    refuse_without_labels([nothing.scene(), tiny.scene()], FIELD)


def test_frames_without_emitters_give_no_figure_and_choose_no_weights(
    tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = build_sampler(tiny)
    whole = sampler.draw

    def without_labels(frames: int, generator: torch.Generator) -> Batch:
        return replace(whole(frames, generator), truth=Emitters.empty())

    localizer = build_localizer(tiny)
    batch = without_labels(2, torch.Generator().manual_seed(0))
    localizer.measure_normalisation(batch.photons)
    seen = validate(localizer, batch, 0.11, half_precision=False)
    assert seen.jaccard is None
    figures = seen.to_mapping()
    assert figures["jaccard"] is figures["recall"] is None
    assert figures["fp"] == seen.score.fp
    states: list[TrainingState] = []
    whole_validation = loop._validate

    def watched(*given: Any) -> Validation:
        states.append(given[-1])
        return whole_validation(*given)

    monkeypatch.setattr(FrameSampler, "draw", lambda self, *given: without_labels(*given))
    monkeypatch.setattr(loop, "_validate", watched)
    steps: list[int] = []
    ended = train(localizer, sampler, SPEC, after_step=lambda progress: steps.append(progress.step))
    # Neither the best of them nor out of patience.
    assert steps == [1, 2, 3]
    assert states[-1].best_weights is None
    assert ended is not None and ended.jaccard is None


def test_saturated_frames_are_told_with_their_share(tiny: Experiment) -> None:
    assert saturation_warning(build_sampler(tiny)) is None
    cut_off = tiny.with_(camera=ScmosCamera(gain=2.0, saturation=160.0))
    told = saturation_warning(build_sampler(cut_off))
    assert told is not None
    assert "of the simulated frames have saturated pixels" in told
    assert "at 160 counts" in told
