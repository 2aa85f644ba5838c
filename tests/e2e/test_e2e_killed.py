"""Killed without warning, twice, and resumed: the table of an undisturbed run, to the last byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deepstorm3d.cli import app
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing import streaming
from factories import model_of_noise, tiny_experiment, write_movie

FRAMES, SIDE = 24, 150
# The program with every frame a block of its own, so that small frames make a run with many blocks.
PROGRAM = (
    f"from deepstorm3d.localizing import streaming; streaming._PIXELS = {SIDE**2};"
    "from deepstorm3d.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of noise, and a network of random weights that sees molecules in it."""
    folder = tmp_path_factory.mktemp("killed")
    # Some fifty of the greatest values count as molecules.
    counts = np.random.default_rng(0).poisson(20, (FRAMES, SIDE, SIDE)).astype(np.uint16)
    experiment = tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2)))
    model = model_of_noise(experiment, torch.from_numpy(counts[:1].astype(np.float32)), values=100)
    save_model_file(model, folder / "model.pt")
    write_movie(folder / "m.tif", counts)
    return folder


def arguments(out: str, *options: str) -> list[str]:
    given = ["localize", "m.tif", "--model", "model.pt", "--out", out, "--no-refine", "--device", "cpu"]
    return [*given, *options]


def finished(out: str, *options: str) -> str:
    """Run to the end in this process; what was printed."""
    done = CliRunner().invoke(app, arguments(out, *options))
    assert done.exit_code == 0, done.output
    return done.output


def kill_when_grown(folder: Path, watched: Path, out: str, *options: str) -> None:
    """Start a run, and kill it some blocks later with a signal that nothing can catch."""
    before = watched.stat().st_size if watched.exists() else 0
    command = [sys.executable, "-c", PROGRAM, *arguments(out, *options)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 600
    while not watched.exists() or watched.stat().st_size < before + 2500:
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("suffix", "grows"), [("csv", "csv"), ("hdf5", "rows")])
def test_killed_twice_and_resumed(
    folder: Path, suffix: str, grows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(streaming, "_PIXELS", SIDE**2)
    assert f"in {FRAMES} frames, " in finished(f"whole.{suffix}")
    part = folder / f"cut.part.{grows}"
    kill_when_grown(folder, part, f"cut.{suffix}")
    kill_when_grown(folder, part, f"cut.{suffix}", "--resume")
    assert not (folder / f"cut.{suffix}").exists()
    # The last run had only the rest to do.
    told = finished(f"cut.{suffix}", "--resume")
    assert f"in {FRAMES} frames (" in told and "before it went on" in told
    assert not list(folder.glob("cut.part*"))
    if suffix == "csv":
        assert (folder / "cut.csv").read_bytes() == (folder / "whole.csv").read_bytes()
        return
    rows = []
    for name in ("cut", "whole"):
        with h5py.File(folder / f"{name}.hdf5", "r") as file:
            rows.append(file["locs"][()])  # type: ignore[index]
    assert len(rows[0]) > FRAMES
    assert rows[0].tobytes() == rows[1].tobytes()
