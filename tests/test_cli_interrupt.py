"""Ctrl-C: the first asks, and is obeyed within seconds even by work that does not listen; the second quits.

What the system asks by SIGTERM ends every command alike.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepstorm3d.cli import app, interrupt
from deepstorm3d.cli.interrupt import StopRequest
from deepstorm3d.io.parts import part_path, unfinished_path
from deepstorm3d.jobs.simulate import MovieSimulation, SimulatedBlock


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def ask() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_work_that_never_asks_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_PATIENCE_S", 0.05)
    with pytest.raises(KeyboardInterrupt), StopRequest():
        ask()
        busy(60)


def test_work_that_has_been_told_is_left_to_end_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_PATIENCE_S", 0.05)
    with StopRequest() as stop:
        assert not stop()
        ask()
        assert stop()
        busy(0.2)
    # Nor does anything come after it.
    busy(0.1)


def test_a_system_that_asks_gives_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_PATIENCE_S", 0.05)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        busy(0.3)
        assert stop()
    monkeypatch.setattr(interrupt, "_SYSTEM_PATIENCE_S", 0.05)
    with pytest.raises(KeyboardInterrupt), StopRequest():
        os.kill(os.getpid(), signal.SIGTERM)
        busy(60)


def test_the_second_quits_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest():
        ask()
        ask()
        busy(60)


ARGUMENTS = ("simulate", "quickstart", "--frames", "3", "--seed", "1")
SMALL = ("--set", "mask={kind: zero}", "--set", "psf.patch_px=13", "--set", "frame_px=[16, 16]")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_simulation_that_is_ended_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    blocks = MovieSimulation.blocks

    def killed(self: MovieSimulation) -> Iterator[SimulatedBlock]:
        yield from blocks(self)
        signal.raise_signal(number)

    monkeypatch.setattr(MovieSimulation, "blocks", killed)
    before = signal.getsignal(signal.SIGTERM)
    out = ("--out", str(tmp_path / "m.tif"), "--truth", str(tmp_path / "m.csv"))
    # Of a process in the background of a shell Ctrl-C is ignored.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = CliRunner().invoke(app, [*ARGUMENTS, *SMALL, *out])
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
    assert done.exit_code == 130
    assert "interrupted" in done.stderr and "--resume" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_simulation_left_that_was_killed_is_replaced(tmp_path: Path) -> None:
    movie, truth = tmp_path / "m.tif", tmp_path / "m.csv"
    for name in (part_path(movie), unfinished_path(truth), unfinished_path(truth).with_suffix(".json")):
        name.write_text("half")
    done = CliRunner().invoke(app, [*ARGUMENTS, *SMALL, "--out", str(movie), "--truth", str(truth)])
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "m.tif"]


def test_the_part_of_a_list_is_left_by_a_truth_of_the_same_name(tmp_path: Path) -> None:
    part, truth = part_path(tmp_path / "m.csv"), tmp_path / "m.csv"
    part.write_text("rows")
    out = ("--out", str(tmp_path / "m.tif"), "--truth", str(truth))
    assert CliRunner().invoke(app, [*ARGUMENTS, *SMALL, *out]).exit_code == 0
    assert part.read_text() == "rows"
