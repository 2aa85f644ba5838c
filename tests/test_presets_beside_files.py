"""A preset or a file: one rule for every command and function. The preset is meant, whatever lies beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli.app import app
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.presets import PRESETS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("name", PRESETS)
def test_a_folder_of_its_name_hides_no_preset(name: str, here: Path) -> None:
    (here / name).mkdir()
    assert find_experiment(name) == ds.preset(name)
    assert ds.mask(name).shape == ds.mask(ds.preset(name)).shape


def test_a_preset_comes_before_a_file_of_its_name_and_that_is_told(here: Path) -> None:
    other = ds.preset("storm").with_(name="mine")
    ds.write_experiment(other, here / "quickstart")
    for call in (find_experiment, lambda name: ds.simulate(name)):
        with pytest.warns(ds.DoubtfulResult, match=r"'quickstart' is the preset; .*\./quickstart"):
            call("quickstart")
    assert find_experiment("./quickstart").name == "mine"
    assert ds.simulate("./quickstart", emitters=1)[0].shape[1:] == other.frame_px


def test_a_command_takes_the_preset_and_says_so_where_a_file_has_its_name(here: Path) -> None:
    (here / "quickstart").mkdir()
    status, told = run("simulate", "quickstart", "--frames", 1, "--out", "a.tif")
    assert status == 0 and "warning" not in told
    (here / "quickstart").rmdir()
    (here / "quickstart").write_text("not an experiment")
    status, told = run("simulate", "quickstart", "--frames", 1, "--out", "b.tif")
    assert status == 0 and "warning: 'quickstart' is the preset" in told


def test_a_folder_that_is_no_preset_is_refused_with_what_to_do(here: Path) -> None:
    (here / "mine").mkdir()
    status, told = run("simulate", "mine", "--frames", 1, "--out", "a.tif")
    assert status == 2 and "mine is a folder, not an experiment file; give the file (.yaml) in it" in told
    for call in (ds.simulate, ds.mask):
        with pytest.raises(ds.InputError, match="mine is a folder"):
            call("mine")


def test_a_built_in_model_comes_before_a_file_of_its_name_and_that_is_told(here: Path) -> None:
    (here / "astigmatic").write_bytes(b"not a model")
    with pytest.warns(ds.DoubtfulResult, match=r"'astigmatic' is the built-in model; .*\./astigmatic"):
        ds.load_model("astigmatic")
