"""The experiment files in configs/ are what the presets of their names write."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.presets import preset

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_there_is_a_quickstart() -> None:
    assert "quickstart" in [path.stem for path in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_its_preset_to_the_letter(path: Path, tmp_path: Path) -> None:
    assert read_experiment(path) == preset(path.stem)
    write_experiment(preset(path.stem), tmp_path / path.name)
    assert (tmp_path / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
