"""The demo in the studio: made by a run, then its frames are looked at."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.first_steps import FirstSteps, demo_words
from deepstorm3d.studio.movie.look import FrameLook
from deepstorm3d.studio.runs.record import Run
from deepstorm3d.studio.training.board import RunBoard

LONGEST_S = 240


def finished(steps: FirstSteps) -> bool:
    """Whether the run has come to its end, which is waited for."""
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        assert steps.board.changes >= 0
        if steps.run is not None and not steps.run.alive:
            return steps.run.state == "finished"
        assert not steps.made
        time.sleep(0.1)
    return False


def test_a_demo_that_was_stopped_says_that_it_begins_anew():
    stopped = Run("20260101-000000-000", "Demo", ("demo",), 100.0, "stopped", None, 103.0, "", 0)
    assert not stopped.resumable and "begins anew" in demo_words(stopped)
    assert demo_words(replace(stopped, state="failed", reason="the disk is full")) == "the disk is full"
    assert demo_words(replace(stopped, state="running", ended=None)) == "starting"


def test_the_demo_is_made_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FirstSteps, "arguments", ("demo", "--out", "demo-out", "--frames", "6"))
    look, board = FrameLook(), RunBoard(Folder(tmp_path))
    steps = FirstSteps(look, board)
    assert not steps.made and steps.run is None
    steps.make()
    assert finished(steps) and steps.made
    steps.open_movie()
    assert look.movie is not None and look.movie.shape[0] == 6
    shown = look.network.wait(120).result
    assert shown is not None and len(shown.found) > 0
    look.close()
    assert steps.files.localizations.exists()
