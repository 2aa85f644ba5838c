"""``deepstorm3d --info``: what a report of a problem should say of the computer."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

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
    assert lines[-2] == f"cpu: {torch.get_num_threads()} threads"


def test_it_says_what_does_the_joint_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from deepstorm3d import numba_cache

    monkeypatch.setattr(numba_cache, "cache_folder", lambda: tmp_path)
    assert info()[-1] == f"joint fit on the cpu: Numba, to be compiled at the first fit, kept in {tmp_path}"
    for package in ("rendering", "fitting"):
        assert "to be compiled at the first fit" in info()[-1]
        (tmp_path / package).mkdir()
        (tmp_path / package / "function.nbi").write_bytes(b"")
    assert info()[-1] == f"joint fit on the cpu: Numba, compiled, kept in {tmp_path}"
    monkeypatch.setitem(sys.modules, "deepstorm3d.numba_cache", None)
    assert info()[-1].startswith("joint fit on the cpu: PyTorch (Numba cannot be imported")


def test_a_needed_library_that_is_missing_is_named_and_an_optional_one_is_not(monkeypatch: pytest.MonkeyPatch):
    needs = ["numpy>=1", "no-such>=2", "nor-this>=1; extra == 'io'"]
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    assert [line for line in info() if line.startswith("no")] == ["no-such: missing"]
    assert f"numpy: {metadata.version('numpy')}" in info()
