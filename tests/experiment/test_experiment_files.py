"""Experiment files and the files that they name, found again wherever an experiment is written or read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.configure import configure_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.named_files import files_named
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.optics.masks import FileMask
from factories import tiny_experiment

NAMES = ["gain.npy", "mask.npy", "red.npy", "pair.yaml"]


def naming(folder: Path) -> Experiment:
    """An experiment with files of every place that names one, in a folder as seen from here."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(b"here")
    path = {name: str(folder / name) for name in NAMES}
    red = Channel(light=0.5, mask=FileMask(path=path["red.npy"]), transform=path["pair.yaml"])
    return tiny_experiment(
        camera=ScmosCamera(gain=path["gain.npy"]), mask=FileMask(path=path["mask.npy"]), channels={"red": red}
    )


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("out", "written"),
    [
        ("sub/e.yaml", NAMES),
        ("e.yaml", [f"sub/{name}" for name in NAMES]),
        ("other/e.yaml", [f"{{root}}/sub/{name}" for name in NAMES]),
    ],
)
def test_files_are_found_wherever_an_experiment_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, written: list[str], absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = naming(tmp_path / "sub" if absolute else Path("sub"))
    Path("other").mkdir()
    # Files of the same names beside the new file are others.
    Path("other/sub").mkdir()
    for name in NAMES:
        Path("other/sub", name).write_bytes(b"elsewhere")
    write_experiment(experiment, out)
    root = tmp_path.resolve()
    text = Path(out).read_text(encoding="utf-8")
    for name in written:
        assert f": {name.format(root=root)}" in text.replace('"', "").replace("'", "")
    monkeypatch.chdir(tmp_path.parent)
    for path in files_named(read_experiment(tmp_path / out)):
        assert Path(path).read_bytes() == b"here"


def test_names_of_files_that_there_are_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    named = tiny_experiment(mask=FileMask(path="elsewhere/mask.npy"))
    write_experiment(named, "other/e.yaml")
    assert files_named(read_experiment("other/e.yaml")) == ["elsewhere/mask.npy"]
    write_experiment(tiny_experiment(mask=FileMask(path="", sha256="0" * 64)), "other/hash.yaml")
    assert files_named(read_experiment("other/hash.yaml")) == []


def test_a_configured_experiment_names_the_mask_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another one of that name lies beside it."""
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    phase = experiment_mask(preset("quickstart"))().numpy()
    np.save("mask.npy", phase)
    np.save("other/mask.npy", 0 * phase)
    configure_experiment("quickstart", Path("other/e.yaml"), mask=Path("mask.npy"))
    (path,) = files_named(read_experiment("other/e.yaml"))
    assert Path(path).resolve() == (tmp_path / "mask.npy").resolve()
