"""From an experiment to a model file, stopped and resumed on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import build_localizer, train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.spec import spec_from_mapping
from deepstorm3d.training.runs import Run
from watchers import Recorder


@pytest.fixture
def tiny() -> Experiment:
    training = TrainingSpec(
        steps=4, batch=2, crop_px=24, warmup_steps=2, validate_every=2, validation_crops=2, checkpoint_every=2
    )
    network = CoarseSpec(channels=8, skip=8, dilations=(1,))
    return preset("quickstart").with_(psf=ScalarPSFSpec(patch_px=21), network=network, training=training)


@pytest.fixture
def masked(tiny: Experiment, tmp_path: Path) -> Experiment:
    """The same with its mask in a file."""
    np.save(tmp_path / "mask.npy", tiny.mask.build(tiny.microscope)().float().numpy())
    return tiny.with_(mask=FileMask(path=str(tmp_path / "mask.npy")))


def test_an_experiment_becomes_a_model_file_that_tells_all_about_itself(
    tiny: Experiment, tmp_path: Path
) -> None:
    out = tmp_path / "model.pt"
    validation = train_model(tiny, out)
    assert validation is not None
    model = load_model_file(out)
    assert spec_from_mapping(Experiment, model.experiment) == tiny
    assert model.threshold == validation.threshold == model.card["threshold"]
    assert model.card["validation"]["jaccard"] == validation.score.jaccard
    assert model.card["name"] == "quickstart"
    build_localizer(tiny).load_state_dict(dict(model.weights))
    run = Run(out)
    assert run.metrics.exists() and run.preview.exists()
    assert not run.checkpoint.exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_run_leaves_no_model_and_is_not_overwritten_but_resumed(
    tiny: Experiment, tmp_path: Path
) -> None:
    out = tmp_path / "model.pt"
    assert train_model(tiny, out, watch=Recorder(stop_at=3)) is None
    assert not out.exists()
    with pytest.raises(InputError, match=r"unfinished run; go on with `resume=True`"):
        train_model(tiny, out)
    watch = Recorder()
    train_model(tiny, out, start=Start(resume=True), watch=watch)
    assert watch.done == [4]
    with pytest.raises(InputError, match=r"complete, there is nothing to resume"):
        train_model(tiny, out, start=Start(resume=True))
    with pytest.raises(InputError, match=r"complete, there is nothing to resume"):
        Run(out).claim(resume=True)
    straight = tmp_path / "straight.pt"
    train_model(tiny, straight)
    resumed, undisturbed = load_model_file(out).weights, load_model_file(straight).weights
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


@pytest.mark.usefixtures("without_pictures")
def test_a_resumed_run_of_another_experiment_is_refused(tiny: Experiment, tmp_path: Path) -> None:
    train_model(tiny, tmp_path / "model.pt", watch=Recorder(stop_at=1))
    with pytest.raises(InputError, match=r"other settings \(microscope, seed\)"):
        other = tiny.with_(seed=1, microscope=tiny.microscope.with_(focus=0.5))
        train_model(other, tmp_path / "model.pt", start=Start(resume=True))


@pytest.mark.usefixtures("without_pictures")
def test_the_mask_of_a_file_travels_with_the_model_whatever_becomes_of_the_file(
    masked: Experiment, tmp_path: Path
) -> None:
    def delete(*_: object) -> None:
        (tmp_path / "mask.npy").unlink(missing_ok=True)

    train_model(masked, tmp_path / "model.pt", after_step=delete)
    model = load_model_file(tmp_path / "model.pt")
    experiment = spec_from_mapping(Experiment, model.experiment)
    assert model.mask is not None
    assert experiment.mask == FileMask(path="", sha256=mask_sha256(model.mask))
    assert torch.equal(experiment_mask(experiment, phase=model.mask)(), model.mask)


@pytest.mark.usefixtures("without_pictures")
def test_a_mask_can_stay_at_home_and_is_then_asked_for_by_its_hash(masked: Experiment, tmp_path: Path) -> None:
    train_model(masked, tmp_path / "model.pt", store_mask=False)
    model = load_model_file(tmp_path / "model.pt")
    experiment = spec_from_mapping(Experiment, model.experiment)
    assert model.mask is None
    with pytest.raises(InputError, match="give its file"):
        experiment_mask(experiment)
    phase = torch.from_numpy(np.load(tmp_path / "mask.npy"))
    assert torch.equal(experiment_mask(experiment, phase=phase)(), phase)


def test_a_missing_folder_is_found_out_before_the_work_begins(tiny: Experiment, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*missing"):
        train_model(tiny, tmp_path / "missing" / "model.pt")


def test_the_experiments_seed_fixes_the_untrained_weights_and_touches_no_global_state(tiny: Experiment) -> None:
    before = torch.get_rng_state()
    one, two = build_localizer(tiny).state_dict(), build_localizer(tiny).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = build_localizer(tiny.with_(seed=1)).state_dict()
    assert not torch.equal(one["network.head.weight"], other["network.head.weight"])
    assert torch.equal(before, torch.get_rng_state())
