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

from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file

FRAMES = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of noise, and a network of random weights that sees molecules in it."""
    folder = tmp_path_factory.mktemp("killed")
    experiment = preset("quickstart").with_(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2)))
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(torch.full((1, 8, 8), 20.0) + torch.rand(1, 8, 8))
    # So large that every frame is a block of its own; some fifty of the greatest values count as molecules.
    counts = np.random.default_rng(0).poisson(20, (FRAMES, 520, 520)).astype(np.uint16)
    with torch.no_grad():
        heat = torch.sigmoid(localizer.eval()(torch.from_numpy(counts[:1].astype(np.float32))))
    threshold = float(heat.flatten().topk(100).values[-1])
    save_model_file(
        ModelFile(experiment.to_mapping(), localizer.state_dict(), threshold, None, {}), folder / "model.pt"
    )
    with MovieWriter(folder / "m.tif", frames=FRAMES, shape=(520, 520), pixel_um=0.11) as writer:
        writer.append(counts)
    return folder


def command(folder: Path, out: str, *options: str) -> list[str]:
    arguments = ["localize", "m.tif", "--model", "model.pt", "--out", out, "--no-refine", "--device", "cpu"]
    return [sys.executable, "-m", "deepstorm3d", *arguments, *options]


def kill_when_grown(folder: Path, watched: Path, out: str, *options: str) -> None:
    """Start a run, and kill it some blocks later with a signal that nothing can catch."""
    before = watched.stat().st_size if watched.exists() else 0
    process = subprocess.Popen(command(folder, out, *options), cwd=folder, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not watched.exists() or watched.stat().st_size < before + 2500:
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("suffix", "grows"), [("csv", "csv"), ("hdf5", "rows")])
def test_killed_twice_and_resumed(folder: Path, suffix: str, grows: str) -> None:
    subprocess.run(command(folder, f"whole.{suffix}"), cwd=folder, check=True, capture_output=True)
    part = folder / f"cut.part.{grows}"
    kill_when_grown(folder, part, f"cut.{suffix}")
    kill_when_grown(folder, part, f"cut.{suffix}", "--resume")
    assert not (folder / f"cut.{suffix}").exists()
    done = subprocess.run(
        command(folder, f"cut.{suffix}", "--resume"), cwd=folder, check=True, capture_output=True, text=True
    )
    # The last run had only the rest to do.
    assert f"in {FRAMES} frames" not in done.stdout
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
