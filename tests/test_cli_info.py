"""``deepstorm3d --info``: what a report of a problem should say of the computer."""

from __future__ import annotations

from importlib import metadata

import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d
from deepstorm3d.cli import app


def info() -> list[str]:
    """The lines that the program prints."""
    done = CliRunner().invoke(app, ["--info"])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_the_versions_and_the_devices_are_told():
    lines = info()
    assert lines[0] == f"deepstorm3d: {deepstorm3d.__version__}"
    for library in ("numpy", "torch", "scipy"):
        assert f"{library}: {metadata.version(library)}" in lines
    assert lines[-1] == f"cpu: {torch.get_num_threads()} threads"


def test_a_needed_library_that_is_missing_is_named_and_an_optional_one_is_not(monkeypatch: pytest.MonkeyPatch):
    needs = ["numpy>=1", "no-such>=2", "nor-this>=1; extra == 'io'"]
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    assert [line for line in info() if line.startswith("no")] == ["no-such: missing"]
    assert f"numpy: {metadata.version('numpy')}" in info()
