"""Bad input through the command line: one clear message, exit status 2, nothing under the final name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from typer.testing import CliRunner

from deepstorm3d.cli.app import app
from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.train import train_model
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.simulation.simulator import Simulator
from factories import tiny_experiment, write_movie
from full_disk import files_at_most

SIZE = (48, 40)


def small() -> Experiment:
    """One that trains in seconds."""
    experiment = tiny_experiment()
    training = experiment.training.with_(
        steps=3, batch=2, crop_px=24, validation_crops=2, validate_every=3, warmup_steps=1
    )
    return experiment.with_(training=training)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "experiment.yaml"
    write_experiment(small(), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    train_model(small(), path)
    return path


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    counts = np.random.default_rng(0).poisson(20, (10, *SIZE)).astype(np.uint16)
    write_movie(path, counts)
    return path


def refused(*words: str | Path) -> str:
    """Run a command that must be refused; its message."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.output.count("error:") == 1
    return " ".join(result.output.split())


def refused_movie(movie: Path, model: Path, tmp_path: Path) -> str:
    message = refused("localize", movie, "--model", model, "--out", tmp_path / "out.hdf5")
    assert not (tmp_path / "out.hdf5").exists()
    return message


def test_a_truncated_tiff(model: Path, movie: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tif"
    data = movie.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    message = refused_movie(cut, model, tmp_path)
    assert "cut.tif" in message
    assert "frames" in message


def test_an_rgb_image(model: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((*SIZE, 3), np.uint8), photometric="rgb")
    assert "colour" in refused_movie(tmp_path / "rgb.tif", model, tmp_path).lower()


def test_frames_with_nan(model: Path, tmp_path: Path) -> None:
    frames = np.full((4, *SIZE), 20, np.float32)
    frames[2, 5, 5] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", frames, photometric="minisblack")
    message = refused_movie(tmp_path / "nan.tif", model, tmp_path)
    assert "frame 2" in message


def test_a_frame_smaller_than_the_psf(model: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "tiny.tif", np.zeros((3, 6, 6), np.uint16), photometric="minisblack")
    assert "6 x 6 px" in refused_movie(tmp_path / "tiny.tif", model, tmp_path)


def test_something_that_is_no_movie(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not an image")
    assert "TIFF" in refused_movie(tmp_path / "notes.tif", model, tmp_path)


def test_a_mask_of_the_wrong_size(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((40, 40)))
    message = refused(
        "config", "--preset", "storm", "--mask", tmp_path / "mask.npy", "--out", tmp_path / "e.yaml"
    )
    assert "40x40" in message
    assert not (tmp_path / "e.yaml").exists()


def test_a_misspelt_key_and_a_value_out_of_range(config: Path, tmp_path: Path) -> None:
    mapping = yaml.safe_load(config.read_text(encoding="utf-8"))
    mapping["microscope"]["wavelenght"] = 0.6
    mapping["microscope"]["na"] = 7
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(mapping), encoding="utf-8")
    message = refused("train", wrong, "--out", tmp_path / "model.pt")
    assert "did you mean 'wavelength'" in message
    assert "microscope.na" in message
    assert "less than 2" in message
    assert not list(tmp_path.glob("model*"))


def test_a_file_that_is_no_model(movie: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 nothing")
    message = refused("localize", movie, "--model", tmp_path / "model.pt", "--out", tmp_path / "out.csv")
    assert "not a model file" in message


def test_a_pixel_size_the_model_was_not_trained_for(model: Path, tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", np.zeros((1, *SIZE), np.uint16), 0.16)
    message = refused_movie(tmp_path / "m.tif", model, tmp_path)
    assert "160.0 nm" in message
    assert "110.0 nm" in message


@pytest.mark.parametrize("ending", ["csv", "hdf5"])
def test_no_space_for_the_output(model: Path, movie: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    with files_at_most(2000):
        message = refused("localize", movie, "--model", model, "--out", out, "--threshold", "0", "--no-refine")
    assert "Free some space" in message
    assert out.name in message
    assert not out.exists()


def interrupt_when(process: subprocess.Popen[str], ready: Path, seconds: float = 600) -> None:
    """Send Ctrl-C as soon as a file appears."""
    end = time.monotonic() + seconds
    while not ready.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert ready.exists(), "the run never got to the point of interruption"
    os.kill(process.pid, signal.SIGINT)


def start(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deepstorm3d", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_in_train_keeps_a_checkpoint_and_resume_finishes(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.pt"
    changes = ("--set", "training.steps=4000", "--set", "training.checkpoint_every=5")
    process = start("train", config, "--out", out, *changes)
    interrupt_when(process, tmp_path / "model.checkpoint")
    _, words = process.communicate(timeout=600)
    assert process.returncode == 130, words
    assert (tmp_path / "model.checkpoint").exists()
    assert not out.exists()
    assert "--resume" in words
    steps = [line for line in (tmp_path / "model.metrics.jsonl").read_text().splitlines() if line]
    assert len(steps) < 4000


def molecules() -> np.ndarray:
    """Ten frames with one molecule each: what an untrained network misses and the fit finds."""
    experiment = small()
    psf = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment))
    rows = torch.arange(10)
    place = torch.tensor([2.0, 2.4, 0.5]) + 0.1 * rows[:, None] * torch.tensor([1.0, -0.5, 0.5])
    truth = Emitters(place, rows, torch.full((10,), 8000.0), rows)
    simulator = Simulator(psf, experiment.camera, Field(*SIZE, experiment.microscope.pixel_um))
    with torch.no_grad():
        counts = simulator(truth, torch.full((10, *SIZE), 20.0), torch.Generator().manual_seed(1))
    return counts.round().numpy().astype(np.uint16)


def test_ctrl_c_in_localize_keeps_what_is_done_and_resume_finishes(
    model: Path, movie: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.tif"
    write_movie(long, np.tile(molecules(), (12, 1, 1)))
    out = tmp_path / "out.csv"
    words = ("localize", long, "--model", model, "--out", out)
    process = start(*words)
    interrupt_when(process, tmp_path / "out.part.csv")
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert (tmp_path / "out.part.csv").exists()
    assert not out.exists()
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--resume")])
    assert result.exit_code == 0, result.stderr
    # The movie repeats every ten frames, so a lost or doubled block would show in the counts.
    table = read_table(out)
    counts_per_frame = np.bincount(table.frame.numpy(), minlength=120).reshape(12, 10)
    assert (counts_per_frame > 0).all()
    assert (counts_per_frame == counts_per_frame[0]).all()
