"""The command `limit`: a short table, a plot and a CSV, for the experiment's mask and for others beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from deepstorm3d.cli import app
from deepstorm3d.io.masks import write_mask
from deepstorm3d.jobs import limit as job

pytestmark = pytest.mark.usefixtures("coarse_pictures")

SMALL = ["microscope.mask_pitch=120.0", "psf.patch_px=13", "frame_px=[32, 32]"]


def call(*arguments: object) -> Result:
    changes = [word for one in SMALL for word in ("--set", one)]
    return CliRunner().invoke(app, ["limit", "quickstart", *changes, *(str(word) for word in arguments)])


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse sweep: seconds for the tests, the same path through the program."""
    sweep = job.Sweep(depths=5, photons=(1e3, 2e3, 3e3), background=(10.0, 20.0), emitters=(1, 7), molecules=14)
    monkeypatch.setattr(job, "Sweep", lambda **given: replace(sweep, **given))


def test_limit_prints_the_bounds_and_writes_plot_and_table(tmp_path: Path):
    out, table = tmp_path / "limit.png", tmp_path / "limit.csv"
    done = call("--out", out, "--csv", table, "--photons", 4000, "--background", 7)
    assert done.exit_code == 0, done.stderr
    for words in (
        "astigmatic",
        "depth 1.2 µm",
        "all depths, rms",
        "3,000 photons, rms",
        "background 10, rms",
        "7 in a frame, 0.56 per µm²",
        "4,000 photons, background 7 per pixel, blur 1 px; no noise without light",
    ):
        assert words in done.stdout, words
    assert "2,000 photons" not in done.stdout  # in the table file, not on the screen
    assert out.read_bytes().startswith(b"\x89PNG")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + 5 + 3 + 2 + 2 * 2
    assert f"wrote {out}" in done.stderr


def test_limit_sets_masks_side_by_side(tmp_path: Path):
    write_mask(tmp_path / "flat.npy", torch.zeros(51, 51))
    done = call("--out", tmp_path / "limit.pdf", "--mask", tmp_path / "flat.npy", "--seed", 3)
    assert done.exit_code == 0, done.stderr
    assert "astigmatic (the experiment's)" in done.stdout
    assert "flat.npy" in done.stdout


def test_limit_refuses_before_it_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, small = tmp_path / "limit.png", tmp_path / "small.npy"
    write_mask(small, torch.zeros(5, 5))
    done = call("--out", out, "--mask", small)
    assert done.exit_code == 2
    assert "error: small.npy: " in done.stderr
    monkeypatch.setattr(job, "limit", lambda *_, **__: pytest.fail("computed before it was refused"))
    out.write_text("mine", encoding="utf-8")
    for arguments, word in (
        (["--out", out], "--overwrite"),
        (["--out", tmp_path / "new.png", "--csv", out], "--overwrite"),
        (["--out", tmp_path / "new.png", "--mask", tmp_path / "none.npy"], "no such mask file"),
    ):
        done = call(*arguments)
        assert (done.exit_code, word in done.stderr) == (2, True), done.stderr
    assert out.read_text(encoding="utf-8") == "mine"
