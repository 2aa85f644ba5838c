"""The training loop: it learns, resumes exactly, keeps the best weights, and says when it diverges."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.jobs.train import build_localizer, build_sampler
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.localizer import NetworkLocalizer
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.streams import stream
from deepstorm3d.training import loop
from deepstorm3d.training.checkpoint import MetricsLog, RunFiles, load_checkpoint
from deepstorm3d.training.loop import Progress, TrainingDiverged, learning_rate, train
from deepstorm3d.training.sampler import Batch, FrameSampler
from deepstorm3d.training.state import TrainingState
from deepstorm3d.training.validation import Validation, validate
from watchers import Recorder

SPEC = TrainingSpec(
    steps=12, batch=2, crop_px=24, warmup_steps=2, validate_every=4, validation_crops=4, checkpoint_every=3
)


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    """The tutorial's set-up, shrunk to a network of seconds."""
    return preset("quickstart").with_(
        psf=ScalarPSFSpec(patch_px=21), network=CoarseSpec(channels=8, skip=8, dilations=(1, 2)), training=SPEC
    )


@pytest.fixture(scope="module")
def sampler(tiny: Experiment) -> FrameSampler:
    return build_sampler(tiny)


def files(folder: Path, *, resume: bool = False) -> RunFiles:
    return RunFiles(folder / "run.checkpoint", folder / "run.jsonl", resume=resume)


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def run(
    tiny: Experiment,
    sampler: FrameSampler,
    folder: Path,
    spec: TrainingSpec = SPEC,
    *,
    resume: bool = False,
    **arguments: Any,
) -> tuple[NetworkLocalizer, Validation | None]:
    folder.mkdir(exist_ok=True)
    localizer = build_localizer(tiny)
    validation = train(localizer, sampler, spec, seed=3, files=files(folder, resume=resume), **arguments)
    return localizer, validation


@pytest.fixture(scope="module")
def undisturbed(
    tiny: Experiment, sampler: FrameSampler, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NetworkLocalizer, Validation | None, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    localizer, validation = run(tiny, sampler, folder)
    return localizer, validation, log_of(folder)


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("step", [1, 5, 8])
def test_a_stopped_and_resumed_run_equals_an_undisturbed_one_bit_for_bit(
    tiny: Experiment, sampler: FrameSampler, undisturbed: Any, tmp_path: Path, step: int
) -> None:
    _, first = run(tiny, sampler, tmp_path, watch=Recorder(stop_at=step))
    assert first is None
    assert load_checkpoint(tmp_path / "run.checkpoint")["step"] == step
    localizer, validation = run(tiny, sampler, tmp_path, resume=True)
    assert validation == undisturbed[1]
    assert_same_weights(localizer, undisturbed[0])
    assert localizer.threshold == undisturbed[0].threshold
    assert log_of(tmp_path) == undisturbed[2]


def test_a_run_that_crashed_between_checkpoints_resumes_exactly_and_its_log_has_no_line_twice(
    tiny: Experiment, sampler: FrameSampler, undisturbed: Any, tmp_path: Path
) -> None:
    def crash(progress: Progress) -> None:
        if progress.step == 8:  # its validation is in the log, its checkpoint is not yet written
            raise RuntimeError("the power went off")

    with pytest.raises(RuntimeError, match="power"):
        run(tiny, sampler, tmp_path, after_step=crash)
    assert load_checkpoint(tmp_path / "run.checkpoint")["step"] == 6
    assert [line["step"] for line in log_of(tmp_path)] == [4, 8]
    with open(tmp_path / "run.jsonl", "a") as file:
        file.write('{"step": 9, "lo')  # the crash cut a line off
    localizer, validation = run(tiny, sampler, tmp_path, resume=True)
    assert validation == undisturbed[1]
    assert_same_weights(localizer, undisturbed[0])
    assert log_of(tmp_path) == undisturbed[2]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    tiny: Experiment, sampler: FrameSampler, undisturbed: Any, tmp_path: Path
) -> None:
    again, _ = run(tiny, sampler, tmp_path / "again")
    assert_same_weights(again, undisturbed[0])
    other = build_localizer(tiny)
    train(other, sampler, SPEC, seed=4)
    assert not torch.equal(other.network.head.weight, again.network.head.weight)


def test_resuming_with_another_schedule_is_refused_but_validating_more_often_is_not(
    tiny: Experiment, sampler: FrameSampler, tmp_path: Path
) -> None:
    run(tiny, sampler, tmp_path, watch=Recorder(stop_at=2))
    with pytest.raises(InputError, match=r"other settings.*training\.steps"):
        run(tiny, sampler, tmp_path, SPEC.with_(steps=13), resume=True)
    _, validation = run(tiny, sampler, tmp_path, SPEC.with_(validate_every=6, patience=9), resume=True)
    assert validation is not None


def test_resuming_with_another_experiment_or_network_is_refused(
    tiny: Experiment, sampler: FrameSampler, tmp_path: Path
) -> None:
    described = replace(files(tmp_path), experiment=tiny.to_mapping())
    train(build_localizer(tiny), sampler, SPEC, files=described, watch=Recorder(stop_at=2))
    other = replace(described, experiment=tiny.with_(seed=9).to_mapping())
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        train(build_localizer(tiny), sampler, SPEC, files=replace(other, resume=True))
    wider = build_localizer(tiny.with_(network=CoarseSpec(channels=16, skip=8, dilations=(1, 2))))
    with pytest.raises(InputError, match="another network"):
        train(wider, sampler, SPEC, files=files(tmp_path, resume=True))


def test_a_checkpoint_of_an_earlier_version_without_an_experiment_still_resumes(
    tiny: Experiment, sampler: FrameSampler, undisturbed: Any, tmp_path: Path
) -> None:
    run(tiny, sampler, tmp_path, watch=Recorder(stop_at=5))
    saved = load_checkpoint(tmp_path / "run.checkpoint")
    del saved["experiment"], saved["lowest_loss"]
    torch.save({**saved, "extras": {}}, tmp_path / "run.checkpoint")
    localizer, _ = run(tiny, sampler, tmp_path, resume=True)
    assert_same_weights(localizer, undisturbed[0])


class _BrokenFrames(nn.Module):
    """Frames with a dead pixel that reads NaN, from the third batch on."""

    def __init__(self, sampler: FrameSampler) -> None:
        super().__init__()
        self.sampler, self.simulator, self.scenes = sampler, sampler.simulator, sampler.scenes
        self.field, self.device = sampler.field, sampler.device
        self.mask_learning, self.context, self.drawn = sampler.mask_learning, sampler.context, 0

    def draw(self, frames: int, generator: torch.Generator) -> Batch:
        batch = self.sampler.draw(frames, generator)
        self.drawn += 1
        if self.drawn > 4:
            batch.photons[0, 3, 3] = math.nan
        return batch


def test_nan_frames_stop_the_run_with_an_explanation_and_leave_the_checkpoint_whole(
    tiny: Experiment, sampler: FrameSampler, tmp_path: Path
) -> None:
    broken: Any = _BrokenFrames(sampler)
    with pytest.raises(TrainingDiverged, match=r"step 4.*nan.*learning_rate.*photons or backgrounds"):
        run(tiny, broken, tmp_path)
    saved = load_checkpoint(tmp_path / "run.checkpoint")
    assert saved["step"] == 3
    assert all(bool(tensor.isfinite().all()) for tensor in saved["weights"].values())


def test_a_learning_rate_far_too_high_is_found_out(tiny: Experiment, sampler: FrameSampler) -> None:
    # Beyond what a file may ask for, so that a few steps suffice.
    wild = TrainingSpec.model_construct(**{**dict(SPEC), "learning_rate": 1e3, "steps": 200})
    with pytest.raises(TrainingDiverged, match=r"training\.learning_rate \(now 1000\)"):
        train(build_localizer(tiny), sampler, wild)


def watched(losses: list[float], warmup: int = 0) -> TrainingState:
    """The state after these losses; raises where they say that training diverged."""
    state = TrainingState()
    for loss in losses:
        state.step += 1
        loop._check_divergence(loss, state, SPEC.with_(warmup_steps=warmup))
    return state


def test_a_loss_that_passes_through_zero_is_no_divergence() -> None:
    # A mixture's likelihood per emitter falls below zero on the way.
    state = watched([6 - 0.02 * step + (1.5 if step % 7 == 0 else 0.0) for step in range(500)])
    assert state.step == 500 and state.lowest_loss < 0


def test_one_bad_batch_is_no_divergence_but_a_lasting_rise_is() -> None:
    assert watched([2.0] * 100 + [300.0] + [2.0] * 100).step == 201
    with pytest.raises(TrainingDiverged, match="step 1"):
        watched([2.0] * 100 + [60.0] * 50)
    with pytest.raises(TrainingDiverged, match="inf"):
        watched([2.0, math.inf])


def test_a_rise_during_warm_up_is_forgiven() -> None:
    assert watched([1.0] + [200.0] * 20, warmup=30).step == 21
    with pytest.raises(TrainingDiverged):
        watched([1.0] + [200.0] * 20)


def figures(monkeypatch: pytest.MonkeyPatch, jaccards: list[float], sampler: FrameSampler) -> None:
    """Let validations give these Jaccard indices, one after the other."""
    real, values = loop.validate, iter(jaccards)

    def graded(*arguments: Any, **options: Any) -> Validation:
        validation = real(*arguments, **options)
        value = next(values)
        return replace(validation, score=replace(validation.score, jaccard=value), threshold=round(value, 2))

    monkeypatch.setattr(loop, "validate", graded)


def test_training_stops_when_its_patience_ends_and_gives_the_best_weights_back(
    tiny: Experiment, sampler: FrameSampler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures(monkeypatch, [0.3, 0.6, 0.4, 0.6, 0.99], sampler)
    weights: dict[int, dict[str, Tensor]] = {}
    localizer = build_localizer(tiny)

    def remember(progress: Progress) -> None:
        if progress.validation:
            weights[progress.step] = {n: v.clone() for n, v in localizer.state_dict().items()}

    spec = SPEC.with_(steps=40, validate_every=2, patience=2)
    validation = train(localizer, sampler, spec, files=files(tmp_path), after_step=remember)
    assert list(weights) == [2, 4, 6, 8]  # the second is the best, two more without a better one
    assert validation is not None
    assert localizer.threshold == 0.6
    assert not localizer.training
    for name, tensor in localizer.state_dict().items():
        assert torch.equal(tensor, weights[4][name]), name


def test_the_validation_returned_is_that_of_the_weights_returned(
    tiny: Experiment, sampler: FrameSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    localizer = build_localizer(tiny)
    figures(monkeypatch, [0.9, 0.1, 0.0, 0.77], sampler)  # the last is asked of the finished network
    validation = train(localizer, sampler, SPEC, seed=3)
    monkeypatch.undo()
    fixed = sampler.draw(SPEC.validation_crops, stream(3, "validation"))
    own = validate(localizer, fixed, sampler.simulator.field.pixel_um, half_precision=SPEC.half_precision)
    assert validation is not None
    assert (validation.loss, validation.score.tp) == (own.loss, own.score.tp)


def test_without_patience_a_run_goes_to_its_end(tiny: Experiment, sampler: FrameSampler) -> None:
    steps: list[int] = []
    train(build_localizer(tiny), sampler, SPEC, after_step=lambda progress: steps.append(progress.step))
    assert steps == list(range(1, 13))


def test_progress_tells_the_step_the_loss_the_rate_and_the_validations(
    tiny: Experiment, sampler: FrameSampler
) -> None:
    told: list[Progress] = []
    train(build_localizer(tiny), sampler, SPEC, after_step=told.append)
    assert [progress.step for progress in told if progress.validation] == [4, 8, 12]
    assert all(math.isfinite(progress.loss) and progress.crops_per_second > 0 for progress in told)
    assert [progress.learning_rate for progress in told] == [learning_rate(step, SPEC) for step in range(12)]


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    spec = TrainingSpec(steps=1000, warmup_steps=100, learning_rate=2e-3)
    rates = [learning_rate(step, spec) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-5)
    assert rates[49] == pytest.approx(1e-3)
    assert rates[99] == rates[100] == pytest.approx(2e-3)
    assert rates[550] == pytest.approx(1e-3)
    assert 0 < rates[999] < 1e-8
    assert learning_rate(1000, spec) == pytest.approx(0, abs=1e-12)
    assert all(after < before for before, after in pairwise(rates[100:]))
    assert learning_rate(0, spec.with_(warmup_steps=0)) == 2e-3
    assert learning_rate(5, TrainingSpec(steps=5, warmup_steps=9)) > 0


class _Oracle(nn.Module):
    """A network that knows the truth of the frames that it is about to see, less every k-th emitter."""

    def __init__(self, batch: Batch, drop: int = 0, add: int = 0, sure: float = 0.9) -> None:
        super().__init__()
        self.memory_format = torch.contiguous_format
        self.sure = sure
        self.batch, self.drop, self.add, self.seen = batch, drop, add, 0

    def forward(self, images: Tensor) -> Tensor:
        first, self.seen = self.seen, self.seen + len(images)
        return torch.tensor([float(first), float(self.seen)])

    def loss(self, raw: Tensor, truth: Emitters) -> Tensor:
        return raw.sum() * 0 + len(truth)

    def decode(self, raw: Tensor, threshold: float) -> Localizations:
        first, last = raw.long().tolist()
        truth = self.batch.truth
        rows = (truth.frame >= first) & (truth.frame < last)
        if self.drop:
            rows &= torch.arange(len(truth)) % self.drop != 0
        truth = truth.select(rows).shift(frames=-first)
        found = Localizations.proposals(truth.xyz, truth.frame, torch.full((len(truth),), self.sure))
        if not self.add:
            return found
        extra = replace(found.shift((0.0, 0.0, 0.5)), probability=found.probability - 0.48)
        return Localizations.concat([found, extra])


@pytest.fixture(scope="module")
def batch(sampler: FrameSampler) -> Batch:
    return sampler.draw(20, torch.Generator().manual_seed(8))


def test_a_perfect_oracle_validates_with_jaccard_1_and_no_error(sampler: FrameSampler, batch: Batch) -> None:
    oracle: Any = _Oracle(batch)
    validation = validate(NetworkLocalizer(oracle), batch, 0.11, half_precision=False)
    assert len(batch.truth) > 20
    assert validation.score.jaccard == 1
    assert validation.score.tp == len(batch.truth)
    assert validation.score.rmse_lateral_nm == pytest.approx(0, abs=0.01)
    assert validation.score.rmse_axial_nm == pytest.approx(0, abs=0.01)


def test_validation_counts_what_is_missed_and_what_is_false(batch: Batch) -> None:
    misses: Any = _Oracle(batch, drop=4)
    score = validate(NetworkLocalizer(misses), batch, 0.11, half_precision=False).score
    assert score.fn == math.ceil(len(batch.truth) / 4)
    assert score.jaccard == pytest.approx(1 - score.fn / len(batch.truth))


def test_validation_finds_the_threshold_that_cuts_false_detections_off(batch: Batch) -> None:
    doubles: Any = _Oracle(batch, add=1)  # one false detection of probability 0.42 beside each of 0.9
    validation = validate(NetworkLocalizer(doubles), batch, 0.11, half_precision=False)
    assert validation.score.jaccard == 1
    assert 0.42 < validation.threshold < 0.9


@pytest.mark.parametrize(("sure", "threshold"), [(0.9, 0.2), (0.17, 0.15), (0.06, 0.05)])
def test_a_network_whose_values_are_low_has_a_low_threshold_and_others_not(
    batch: Batch, sure: float, threshold: float
) -> None:
    faint: Any = _Oracle(batch, sure=sure)
    validation = validate(NetworkLocalizer(faint), batch, 0.11, half_precision=False)
    assert validation.score.jaccard == 1
    assert validation.threshold == threshold


def test_validation_leaves_training_mode_and_statistics_alone(
    tiny: Experiment, sampler: FrameSampler, batch: Batch
) -> None:
    localizer = build_localizer(tiny).train()
    before = {name: tensor.clone() for name, tensor in localizer.state_dict().items()}
    validate(localizer, batch, 0.11, half_precision=False)
    assert localizer.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in localizer.state_dict().items())


def test_the_loss_falls_and_emitters_are_found_within_a_hundred_steps(tiny: Experiment) -> None:
    length = {"steps": 120, "batch": 4, "crop_px": 32, "validate_every": 120, "validation_crops": 16}
    spec = SPEC.with_(**length, learning_rate=5e-3, warmup_steps=10)
    easy = tiny.with_(training=spec, network=CoarseSpec(channels=16, skip=16, dilations=(1, 2), plane_um=0.2))
    losses: list[float] = []
    sampler, localizer = build_sampler(easy), build_localizer(easy)
    fixed = sampler.draw(16, torch.Generator().manual_seed(1))
    localizer.measure_normalisation(fixed.photons)
    before = validate(localizer, fixed, 0.11, half_precision=False)
    after = train(localizer, sampler, spec, after_step=lambda progress: losses.append(progress.loss))
    assert after is not None
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    assert after.loss < 0.5 * before.loss
    assert after.score.jaccard > 0.2 > before.score.jaccard


def test_a_log_without_a_file_keeps_nothing_and_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    MetricsLog(None).append({"step": 1})
    MetricsLog(None).rewind(0)
    with pytest.raises(InputError, match="cannot write"):
        MetricsLog(tmp_path / "missing" / "log.jsonl").append({"step": 1})


def test_a_new_run_starts_a_new_log(tiny: Experiment, sampler: FrameSampler, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('{"step": 2}\n{"step": 4}\n')
    run(tiny, sampler, tmp_path, SPEC.with_(steps=4))
    assert [line["step"] for line in log_of(tmp_path)] == [4]
    assert log_of(tmp_path)[0]["jaccard"] >= 0
