"""A training and a design of one name: neither replaces what the other left, unless it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner, Result

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import train_model
from watchers import Recorder

pytestmark = pytest.mark.usefixtures("without_pictures")
WAYS: list[Literal["network", "fisher"]] = ["network", "fisher"]


@pytest.fixture(scope="module")
def tiny(small_design: Experiment) -> Experiment:
    training = TrainingSpec(
        steps=4, batch=2, crop_px=24, warmup_steps=2, validate_every=2, validation_crops=2, checkpoint_every=2
    )
    return small_design.with_(training=training, design=small_design.design.with_(fisher_steps=2))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def design(experiment: Experiment, out: Path, *options: str) -> Result:
    path = out.parent / "experiment.yaml"
    write_experiment(experiment, path)
    arguments = ["design-psf", str(path), "--out", str(out), "--device", "cpu", *options]
    done = CliRunner().invoke(app, arguments)
    path.unlink()
    return done


@pytest.mark.parametrize("by", WAYS)
def test_a_design_leaves_a_finished_training_of_its_name(
    tiny: Experiment, tmp_path: Path, by: Literal["network", "fisher"]
) -> None:
    train_model(tiny, tmp_path / "tetra.pt")
    before = contents(tmp_path)
    for options in ((), ("--resume",)):
        done = design(tiny, tmp_path / "tetra.npy", "--by", by, *options)
        assert done.exit_code == 2, done.output
        assert "tetra.pt exists" in done.stderr and "--overwrite" in done.stderr
    with pytest.raises(InputError, match=r"tetra\.pt exists"):
        ds.design_mask(tiny, tmp_path / "tetra.npy", by=by, device="cpu")
    assert contents(tmp_path) == before
    assert design(tiny, tmp_path / "tetra.npy", "--by", by, "--overwrite").exit_code == 0
    assert (contents(tmp_path)["tetra.pt"] == before["tetra.pt"]) == (by == "fisher")


@pytest.mark.parametrize("by", WAYS)
def test_a_design_neither_deletes_nor_resumes_an_unfinished_training(
    tiny: Experiment, tmp_path: Path, by: Literal["network", "fisher"]
) -> None:
    assert train_model(tiny, tmp_path / "tetra.pt", watch=Recorder(stop_at=2)) is None
    before = contents(tmp_path)
    for options in ((), ("--overwrite",), ("--resume",)):
        done = design(tiny, tmp_path / "tetra.npy", "--by", by, *options)
        assert done.exit_code == 2, done.output
        assert "unfinished training of" in done.stderr
    assert contents(tmp_path) == before
    assert train_model(tiny, tmp_path / "tetra.pt", start=Start(resume=True)) is not None


@pytest.mark.parametrize("by", WAYS)
def test_a_training_neither_deletes_nor_resumes_an_unfinished_design(
    tiny: Experiment, tmp_path: Path, by: Literal["network", "fisher"]
) -> None:
    run = design_mask if by == "network" else design_by_fisher
    run(tiny, tmp_path / "tetra.npy", watch=Recorder(stop_at=1 if by == "fisher" else 2))
    write_experiment(tiny, tmp_path / "e.yaml")
    before = contents(tmp_path)
    assert "tetra.checkpoint" in before
    for options in ((), ("--overwrite",), ("--resume",)):
        arguments = ["train", str(tmp_path / "e.yaml"), "--out", str(tmp_path / "tetra.pt"), *options]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2 and "an unfinished design of a mask" in done.stderr, done.output
    assert contents(tmp_path) == before


def test_a_training_leaves_the_log_of_a_design_without_network(tiny: Experiment, tmp_path: Path) -> None:
    design_by_fisher(tiny, tmp_path / "tetra.npy")
    before = contents(tmp_path)
    for start in (Start(), Start(resume=True)):
        with pytest.raises(InputError, match=r"tetra\.metrics\.jsonl is the log of a design"):
            train_model(tiny, tmp_path / "tetra.pt", start=start)
    assert contents(tmp_path) == before
    (tmp_path / "tetra.metrics.jsonl").unlink()
    assert train_model(tiny, tmp_path / "tetra.pt") is not None


def test_a_model_beside_which_nothing_lies_is_in_the_way_of_a_network_only(
    tiny: Experiment, tmp_path: Path
) -> None:
    """A design by Fisher information writes none of its files."""
    (tmp_path / "tetra.pt").write_bytes(b"a model from elsewhere")
    assert design(tiny, tmp_path / "tetra.npy", "--by", "network").exit_code == 2
    assert design(tiny, tmp_path / "tetra.npy", "--by", "fisher").exit_code == 0
    assert (tmp_path / "tetra.pt").read_bytes() == b"a model from elsewhere"


def test_an_unfinished_design_can_be_given_up_and_gone_on_with(tiny: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "m.npy"
    assert design_mask(tiny, out, watch=Recorder(stop_at=2)) is None
    assert design(tiny, out).exit_code == 2
    assert design(tiny, out, "--resume").exit_code == 0
    for by in WAYS:
        again = design(tiny, out, "--by", by, "--overwrite")
        assert again.exit_code == 0, again.output


def test_python_replaces_no_result_unasked(tiny: Experiment, tmp_path: Path) -> None:
    ds.train(tiny, tmp_path / "m.pt", device="cpu")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"m\.pt exists"):
        ds.train(tiny, tmp_path / "m.pt", device="cpu")
    with pytest.raises(InputError, match="nothing to resume"):
        ds.train(tiny, tmp_path / "m.pt", device="cpu", resume=True)
    assert contents(tmp_path) == before
