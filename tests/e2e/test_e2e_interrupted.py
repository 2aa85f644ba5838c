"""Ctrl-C in the middle of a block that takes minutes: the program ends soon, and keeps the blocks before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file

SIDE = 320


def test_one_interrupt_ends_a_heavy_block(tmp_path: Path) -> None:
    base = preset("quickstart")
    experiment = base.with_(
        psf=base.psf.with_(patch_px=21, pupil_oversampling=2),
        microscope=base.microscope.with_(mask_pitch=90.0),
        network=CoarseSpec(channels=8, skip=4, dilations=(1,)),
    )
    localizer = build_localizer(experiment)
    model = ModelFile(experiment.to_mapping(), localizer.state_dict(), 0.9, None, {})
    save_model_file(model, tmp_path / "model.pt")
    # A dark frame, then one with a thousand spots: each is a block of its own.
    random = np.random.default_rng(0)
    mean = np.full((SIDE, SIDE), 20.0)
    row, column = random.integers(10, SIDE - 10, (2, 1000))
    for y, x in zip(row, column, strict=True):
        mean[y - 1 : y + 2, x - 1 : x + 2] += 300
    counts = random.poisson(np.stack([np.full_like(mean, 20.0), mean])).astype(np.uint16)
    with MovieWriter(tmp_path / "m.tif", frames=2, shape=(SIDE, SIDE), pixel_um=0.11) as writer:
        writer.append(counts)
    arguments = ["localize", "m.tif", "--model", "model.pt", "--out", "o.csv", "--method", "pursuit"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deepstorm3d", *arguments, "--device", "cpu"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    journal = tmp_path / "o.part.csv"
    deadline = time.monotonic() + 120
    while not journal.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2)
    assert process.poll() is None, "the block was not heavy"
    process.send_signal(signal.SIGINT)
    # Generous: within a second on an idle machine, while the block would take minutes.
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"--resume goes on" in errors
    assert journal.exists()
    assert not (tmp_path / "o.csv").exists()
