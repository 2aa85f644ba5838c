"""A training that begins with the weights of a model: what is taken over, told, recorded, and refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.jobs.start_of_training import Start, prepare_start
from deepstorm3d.jobs.train import build_localizer, train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file, save_model_file
from deepstorm3d.localizer.taking_over import take_over
from factories import tiny_experiment
from watchers import Recorder

TRAINING = TrainingSpec(
    steps=4, batch=2, crop_px=24, warmup_steps=2, validate_every=2, validation_crops=2, checkpoint_every=2
)
NETWORK = CoarseSpec(channels=8, skip=4, dilations=(1, 2))


@pytest.fixture
def tiny() -> Experiment:
    return tiny_experiment(training=TRAINING, network=NETWORK)


@pytest.fixture
def model(tiny: Experiment, tmp_path: Path) -> Path:
    """A model of the same network with weights of its own."""
    path = tmp_path / "first.pt"
    save_model_file(ModelFile(tiny.to_mapping(), weights_of(tiny.with_(seed=7)), 0.5, None, {}), path)
    return path


def weights_of(experiment: Experiment) -> dict[str, Tensor]:
    localizer = build_localizer(experiment)
    localizer.offset.fill_(3.0)
    return localizer.state_dict()


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {name for name, value in one.items() if not torch.equal(value, other[name])}


def test_all_weights_of_a_network_of_one_kind_are_taken_over_but_not_its_normalisation(
    tiny: Experiment, model: Path, tmp_path: Path
):
    localizer, watch = build_localizer(tiny), Recorder()
    told = prepare_start(localizer, tiny, Start(model=model), tmp_path / "none.checkpoint", watch)
    assert differing(localizer.state_dict(), dict(load_model_file(model).weights)) == {"offset"}
    assert told == {"model": "first.pt", "sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "share": 1.0}
    assert watch.messages == ["starts from first.pt: 100 % of its weights are taken over"]


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"z_um": (0.0, 1.6)}, {"head"}),
        ({"network": NETWORK.with_(context=1)}, {"trunk.entry.0"}),
        ({"network": MixtureSpec(channels=8, skip=4, dilations=(1, 2))}, {"hidden.0", "hidden.1", "head"}),
    ],
    ids=["depth", "neighbours", "kind"],
)
def test_a_layer_of_another_shape_keeps_its_first_weights_and_is_named(
    tiny: Experiment, changes: dict[str, object], layers: set[str]
):
    depth = changes.pop("z_um", None)
    other = tiny.with_(**changes)
    if depth is not None:
        scene = other.scene()
        emitters = scene.emitters.with_(z_um=depth)
        other = other.with_(scenes={"main": scene.with_(emitters=emitters)})
    localizer, first = build_localizer(other), build_localizer(other).state_dict()
    given = weights_of(tiny.with_(seed=7))
    taken = take_over(localizer, given)
    left = {f"network.{layer}" for layer in taken.left}
    for name, value in localizer.state_dict().items():
        kept = not name.startswith("network.") or any(name.startswith(f"{layer}.") for layer in left)
        assert torch.equal(value, first[name] if kept else given[name]), name
    assert set(taken.left) == layers
    learned = {name: value.numel() for name, value in localizer.named_parameters()}
    copied = sum(number for name, number in learned.items() if name.rpartition(".")[0] not in left)
    assert taken.share == pytest.approx(copied / sum(learned.values()))
    assert all(layer in taken.describe() for layer in layers)


def test_another_width_is_refused_with_the_settings_that_make_it_alike(
    tiny: Experiment, model: Path, tmp_path: Path
):
    wider = tiny.with_(network=CoarseSpec(channels=64, skip=4, dilations=(1,)))
    remedy = (
        r"of first\.pt; build the network like that one \(`network.channels=8`, `network.dilations=\[1,2\]`\)"
    )
    with pytest.raises(InputError, match=remedy):
        train_model(wider, tmp_path / "m.pt", start=Start(model=model))
    assert not (tmp_path / "m.pt").exists()


def test_no_such_model_is_an_error_before_the_first_step(tiny: Experiment, tmp_path: Path):
    with pytest.raises(InputError, match="there is no model 'tetrapot'"):
        train_model(tiny, tmp_path / "m.pt", start=Start(model="tetrapot"))


@pytest.mark.usefixtures("without_pictures")
def test_the_card_names_the_model_it_started_from_also_after_a_stop(
    tiny: Experiment, model: Path, tmp_path: Path
):
    straight, cut = tmp_path / "straight.pt", tmp_path / "cut.pt"
    train_model(tiny, straight, start=Start(model=model))
    assert train_model(tiny, cut, start=Start(model=model), watch=Recorder(stop_at=2)) is None
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    model.unlink()
    train_model(tiny, cut, start=Start(resume=True))
    resumed, undisturbed = load_model_file(cut), load_model_file(straight)
    assert not differing(dict(resumed.weights), dict(undisturbed.weights))
    for each in (resumed, undisturbed):
        assert each.card["started_from"] == {"model": "first.pt", "sha256": digest, "share": 1.0}
    scratch = tmp_path / "scratch.pt"
    train_model(tiny, scratch)
    assert "started_from" not in load_model_file(scratch).card
    assert differing(dict(load_model_file(scratch).weights), dict(undisturbed.weights))


@pytest.mark.usefixtures("without_pictures")
def test_a_run_goes_on_from_its_own_model_only(tiny: Experiment, model: Path, tmp_path: Path):
    for name, start in (("new.pt", Start()), ("from.pt", Start(model=model))):
        train_model(tiny, tmp_path / name, start=start, watch=Recorder(stop_at=2))
    with pytest.raises(InputError, match=r"began from random weights, not from first\.pt"):
        train_model(tiny, tmp_path / "new.pt", start=Start(resume=True, model=model))
    other = tmp_path / "other.pt"
    save_model_file(ModelFile(tiny.to_mapping(), weights_of(tiny.with_(seed=8)), 0.5, None, {}), other)
    with pytest.raises(InputError, match=r"began from the model first\.pt, not from other\.pt"):
        train_model(tiny, tmp_path / "from.pt", start=Start(resume=True, model=other))
    model.unlink()
    with pytest.raises(InputError, match=r"there is no model .*gone\.pt"):
        train_model(tiny, tmp_path / "from.pt", start=Start(resume=True, model=tmp_path / "gone.pt"))
    # What it began from is not needed any more.
    assert train_model(tiny, tmp_path / "from.pt", start=Start(resume=True, model=model)) is not None
