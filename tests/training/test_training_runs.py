"""Training on runs of consecutive frames, for networks that see the frames before and after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import IdealCamera
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.jobs.train import build_localizer, build_sampler, train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.catalogue import describe_model
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.training.checkpoint import RunFiles
from deepstorm3d.training.loop import train
from deepstorm3d.training.runs import Run
from deepstorm3d.training.sampler import Batch, FrameSampler
from deepstorm3d.training.state import refuse_another, settings
from factories import tiny_experiment

FRAMES = 20  # in runs of 5: 4 runs


def blinking(context: int = 1, life: float = 6.0, **training: Any) -> Experiment:
    """The small set-up with molecules that last, on backgrounds of very different levels."""
    base = tiny_experiment()
    scene = base.scene()
    emitters = scene.emitters.with_(blinking=ExponentialBlinking(mean_frames=life))
    scene = scene.with_(emitters=emitters, background=UniformBackground(low=10.0, high=2000.0))
    chosen = {"steps": 6, "batch": 4, "crop_px": 24, "validation_crops": 6, "warmup_steps": 2, **training}
    return base.with_(
        scenes={"main": scene},
        network=CoarseSpec(channels=8, skip=4, dilations=(1,), context=context),
        training=base.training.with_(validate_every=3, checkpoint_every=2, **chosen),
    )


def batch_of(experiment: Experiment, frames: int = FRAMES, seed: int = 0) -> Batch:
    return build_sampler(experiment).draw(frames, torch.Generator().manual_seed(seed))


def same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other)


@pytest.mark.parametrize("context", [1, 2])
def test_every_frame_is_seen_with_the_frames_before_and_after_it(context: int) -> None:
    batch = batch_of(blinking(context), 96)
    assert batch.around is not None
    assert batch.around.shape == (96, 2 * context + 1, 24, 24)
    assert same(batch.around[:, context], batch.photons)
    assert same(batch.seen, batch.around)
    ends = 0
    for number in range(95):
        if number % 6 == 5:
            continue  # the last of its run
        after, here = batch.around[number, context + 1], batch.around[number + 1, context - 1]
        assert same(after, batch.photons[number + 1])
        assert same(here, batch.photons[number])
    for number in range(0, 96, 6):
        first, last = batch.around[number], batch.around[number + 5]
        ends += same(first[0], first[context]) + same(last[-1], last[context])
    # Of the 32 ends of runs an eighth are ends of a movie.
    assert 0 < ends < 14


def test_a_run_shows_the_same_molecules_on_the_same_background() -> None:
    batch = batch_of(blinking(life=50.0))
    run = torch.arange(FRAMES) // 5
    levels = batch.photons.flatten(1).median(1).values
    for number in range(4):
        there = levels[run == number]
        assert float(there.max() - there.min()) < 0.1 * float(there.mean()) + 8
    assert float(levels.max() / levels.min()) > 1.5
    stayed = 0
    for number in range(FRAMES - 1):
        if run[number] != run[number + 1]:
            continue
        now, then = (batch.truth.select(batch.truth.frame == each) for each in (number, number + 1))
        common = [molecule for molecule in now.id.tolist() if molecule in then.id.tolist()]
        stayed += len(common)
        for molecule in common:
            assert same(now.xyz[now.id == molecule], then.xyz[then.id == molecule])
    assert stayed > 0.8 * len(batch.truth.select((batch.truth.frame % 5) != 4))


def test_labels_are_of_the_frames_themselves() -> None:
    """Drawn again without noise, each frame has its light where its labels are."""
    experiment = blinking(life=2.0).with_(seed=1)
    sampler = build_sampler(experiment)
    batch = sampler.draw(FRAMES, torch.Generator().manual_seed(3))
    clean = sampler.simulator.expected(batch.truth, torch.zeros(FRAMES, 24, 24))
    level = batch.photons.flatten(1).median(1).values[:, None, None]
    signal = (batch.photons - level) / level.sqrt()
    own = (signal * clean).sum()
    shifted = (signal * clean.roll(5, 0)).sum()
    assert float(own) > 3 * abs(float(shifted))


def test_all_frames_of_a_run_show_the_same_crop() -> None:
    """The camera's map tells where a crop lies: without light its counts are the map."""
    experiment = blinking()
    psf = build_sampler(experiment).simulator.psf
    whole = Field(60, 100, psf.pixel_um)  # type: ignore[arg-type]
    sampler = FrameSampler(
        Simulator(psf, IdealCamera(), whole),
        list(experiment.scenes.values()),
        24,
        context=1,  # type: ignore[arg-type]
    )
    given: list[Any] = []
    forward = sampler.simulator.forward

    def noted(emitters: Any, background: Tensor, generator: torch.Generator, crops: Any = None) -> Tensor:
        given.append(crops)
        return forward(emitters, background, generator, crops)

    sampler.simulator.forward = noted  # type: ignore[method-assign]
    batch = sampler.draw(FRAMES, torch.Generator().manual_seed(2))
    assert batch.photons.shape == (FRAMES, 24, 24)
    (crops,) = given
    places = [crop.origin_px for crop in crops]
    assert len(places) == 4 * 7
    assert all(len(set(places[first : first + 7])) == 1 for first in range(0, 28, 7))
    assert len(set(places)) == 4


def test_scenes_without_and_with_molecules_that_last_are_mixed() -> None:
    experiment = blinking()
    lone = tiny_experiment().scene()
    batch = batch_of(experiment.with_(scenes={"main": experiment.scene(), "lone": lone}))
    assert batch.photons.shape == (FRAMES, 24, 24)
    assert batch.around is not None and len(batch.around) == FRAMES
    assert same(batch.around[:, 1], batch.photons)
    assert int(batch.truth.frame.min()) >= 0 and int(batch.truth.frame.max()) < FRAMES


@pytest.mark.parametrize("frames", [1, 6, 7])
def test_any_number_of_frames_can_be_drawn(frames: int) -> None:
    batch = batch_of(blinking(), frames)
    assert len(batch.photons) == len(batch.seen) == frames
    assert not len(batch.truth) or int(batch.truth.frame.max()) < frames


def test_without_context_a_batch_is_what_it_was() -> None:
    batch = batch_of(blinking(0))
    assert batch.around is None and batch.seen is batch.photons


def test_neighbours_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    experiment = tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=(1,), context=1))
    with pytest.raises(InputError, match=r"network\.context is 1.*molecules of its own.*blinking"):
        train_model(experiment, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="sees 1 frames on each side, not 0"):
        train(build_localizer(blinking(1)), build_sampler(blinking(0)), blinking().training)


def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    def trained(name: str, *, resume: bool = False, stop_at: int | None = None) -> dict[str, Tensor]:
        experiment = blinking()
        localizer, sampler = build_localizer(experiment), build_sampler(experiment)
        files = RunFiles(tmp_path / name, None, experiment.to_mapping(), resume)

        class Until:
            stopped = False

            def progress(self, done: int, total: int, note: str = "") -> None:
                self.stopped = done == stop_at

            def message(self, text: str) -> None:
                """Say nothing."""

        train(localizer, sampler, experiment.training, files=files, watch=Until())  # type: ignore[arg-type]
        return localizer.state_dict()

    whole = trained("whole")
    trained("cut", stop_at=2)
    resumed = trained("cut", resume=True)
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())


def test_a_checkpoint_of_before_goes_on(tmp_path: Path) -> None:
    experiment = tiny_experiment()
    saved = settings(experiment.training, experiment.to_mapping())
    del saved["experiment"]["network"]["context"]
    refuse_another(saved, experiment.training, experiment.to_mapping(), tmp_path / "m.checkpoint")
    with pytest.raises(InputError, match="network"):
        refuse_another(saved, experiment.training, blinking().to_mapping(), tmp_path / "m.checkpoint")


def test_a_model_is_trained_pictured_stored_and_used(tmp_path: Path) -> None:
    validation = train_model(blinking(), tmp_path / "m.pt")
    assert validation is not None
    assert Run(tmp_path / "m.pt").preview.stat().st_size > 0
    model = load_model_file(tmp_path / "m.pt")
    assert describe_model(model).network == "3-frame coarse"
    pipeline = load_pipeline(model, refine=False)
    assert pipeline.context == 1
    pipeline.localize(torch.poisson(torch.full((2, 32, 32), 20.0)))
