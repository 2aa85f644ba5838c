"""Ctrl-C: the first asks, and is obeyed within seconds even by work that does not listen; the second quits."""

from __future__ import annotations

import os
import signal
import time

import pytest

from deepstorm3d.cli import interrupt
from deepstorm3d.cli.interrupt import StopRequest


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
