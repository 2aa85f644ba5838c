"""The commands that make masks, as a user types them: design-psf, export-mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deepstorm3d.cli import app
from deepstorm3d.io.masks import read_mask

# A pupil of 21 samples and a network of nothing: seconds.
SMALL = [
    word
    for change in (
        "microscope.mask_pitch=200",
        "psf.patch_px=13",
        "network.channels=8",
        "network.skip=8",
        "network.dilations=[1]",
        "training.steps=4",
        "training.batch=2",
        "training.crop_px=24",
        "training.validate_every=2",
        "training.validation_crops=2",
        "design.fisher_steps=3",
    )
    for word in ("--set", change)
]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("by", ["network", "fisher"])
def test_a_mask_is_designed_exported_and_taken_up_again(tmp_path: Path, by: str) -> None:
    mask, picture = tmp_path / "m.npy", tmp_path / "m.png"
    done = call("design-psf", "mask-design", "--by", by, "--start", "astigmatic", "--out", mask, *SMALL)
    assert done.exit_code == 0, done.output
    assert str(mask) in done.stdout
    exported = call(
        "export-mask", mask, "mask-design", "--for", "slm", "--pitch-um", 20, "--size", "300x250",
        "--flip", "x", "--grating", "6,0", "--out", picture, *SMALL[:4],
    )  # fmt: skip
    assert exported.exit_code == 0, exported.output
    assert "rad rms" in exported.stdout
    error = np.angle(np.exp(1j * (read_mask(picture) - read_mask(mask))))
    assert np.abs(error).max() <= np.pi / 256 + 1e-6
    again = call("design-psf", "mask-design", "--by", "fisher", "--start", picture, "--out", mask, *SMALL)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert call(
        "design-psf", "mask-design", "--by", "fisher", "--start", picture, "--out", mask, "--overwrite", *SMALL
    ).exit_code == 0  # fmt: skip


def test_a_plate_says_what_its_levels_cost(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.random.default_rng(0).normal(size=(21, 21)))
    options = ["--for", "plate", "--levels", 2, "--out", tmp_path / "p.tif", *SMALL[:4]]
    done = call("export-mask", tmp_path / "m.npy", "mask-design", *options)
    assert done.exit_code == 0, done.output
    assert "any phase" in done.output
    assert "+" in done.output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--for", "slm", "--size", "100"], "two numbers"),
        (["--for", "slm", "--size", "50x50", "--pitch-um", 8], "demagnify"),
        (["--for", "slm", "--calibration", "none.csv"], "none.csv"),
        (["--for", "plate"], "not '.png'"),
        (["--for", "slm", "--levels", 300], "levels: must be less than or equal to 256 (given: 300)"),
        (["--for", "plate", "--n-plate", 1.0], "n_plate: must be greater than 1 (given: 1.0)"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path: Path, options: list[object], complaint: str) -> None:
    np.save(tmp_path / "m.npy", np.zeros((21, 21)))
    done = call(
        "export-mask", tmp_path / "m.npy", "mask-design", *options, "--out", tmp_path / "o.png", *SMALL[:4]
    )
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert not (tmp_path / "o.png").exists()


def test_a_start_that_is_none_is_refused(tmp_path: Path) -> None:
    done = call("design-psf", "mask-design", "--start", "tetrapot", "--out", tmp_path / "m.npy")
    assert done.exit_code == 2
    assert "tetrapod" in done.stderr
