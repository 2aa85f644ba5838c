"""What a training costs is measured over real steps, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepstorm3d.errors import Interrupted
from deepstorm3d.jobs.training_cost import TrainingCost, training_cost
from factories import tiny_experiment
from watchers import Recorder


def test_steps_and_validation_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = Recorder()
    cost = training_cost(tiny_experiment(), watch=seen)
    assert cost.device == "cpu"
    assert min(cost.prepare_s, cost.step_s, cost.validation_s) > 0
    assert seen.done == list(range(1, 9)) and seen.messages
    assert not list(tmp_path.iterdir())


def test_a_training_twice_as_long_costs_twice_the_steps() -> None:
    cost = TrainingCost("cpu", prepare_s=10.0, step_s=2.0, validation_s=5.0)
    # 10 + 1000 · 2 + 5 · (2 + 1)
    assert cost.seconds(1000, 500) == 2025.0
    assert cost.seconds(2000, 500) == 4035.0
    assert cost.seconds(50, 500) == 120.0


def test_it_can_be_stopped() -> None:
    with pytest.raises(Interrupted):
        training_cost(tiny_experiment(), watch=Recorder(stop_at=2))
