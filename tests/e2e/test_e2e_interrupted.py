"""Ctrl-C in the middle of a block that takes minutes: the program ends soon, and keeps the blocks before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from deepstorm3d.localizer.modelfile import save_model_file
from factories import tiny_experiment, untrained_model, write_movie

SIDE = 320


def test_one_interrupt_ends_a_heavy_block(tmp_path: Path) -> None:
    save_model_file(untrained_model(tiny_experiment(), 0.9), tmp_path / "model.pt")
    # A dark frame, then one with a thousand spots: each is a block of its own.
    random = np.random.default_rng(0)
    mean = np.full((SIDE, SIDE), 20.0)
    row, column = random.integers(10, SIDE - 10, (2, 1000))
    for y, x in zip(row, column, strict=True):
        mean[y - 1 : y + 2, x - 1 : x + 2] += 300
    counts = random.poisson(np.stack([np.full_like(mean, 20.0), mean])).astype(np.uint16)
    write_movie(tmp_path / "m.tif", counts)
    arguments = ["localize", "m.tif", "--model", "model.pt", "--out", "o.csv", "--method", "pursuit"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deepstorm3d", *arguments, "--device", "cpu"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    journal = tmp_path / "o.part.csv"
    deadline = time.monotonic() + 600
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
