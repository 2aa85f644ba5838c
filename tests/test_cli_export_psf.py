"""A PSF handed on to other programs, as a user asks for it: export-psf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deepstorm3d.cli import app
from deepstorm3d.io.psfs import read_psf

SMALL = ["--set", "microscope.mask_pitch=72", "--set", "psf.patch_px=41"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in ("export-psf", *arguments)])


def test_the_psf_of_an_experiment_is_written_with_its_depths(tmp_path: Path) -> None:
    done = call("telomeres", "--out", tmp_path / "psf.h5", "--z", "2.5,3.5", "--step-nm", 100, *SMALL)
    assert done.exit_code == 0, done.output
    assert "11 planes" in done.stdout and "2.5 to 3.5 µm" in done.stdout
    assert "z = 0 of the other program is the middle of the range, 3 µm" in done.output
    psf = read_psf(tmp_path / "psf.h5")
    assert psf.range_um == pytest.approx((2.5, 3.5))
    assert 0.5 < float(psf.values.sum((1, 2)).min()) < 1
    again = call("telomeres", "--out", tmp_path / "psf.h5", *SMALL)
    assert again.exit_code == 2 and "--overwrite" in again.output


def test_another_mask_and_patch_are_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((111, 111)))
    common = (*SMALL, "--z", "3,4", "--patch-px", 21)
    assert call("telomeres", "--out", tmp_path / "a.tif", *common).exit_code == 0
    assert (
        call("telomeres", "--out", tmp_path / "b.tif", "--mask", tmp_path / "flat.npy", *common).exit_code == 0
    )
    own, flat = (read_psf(tmp_path / name).values for name in ("a.tif", "b.tif"))
    assert own.shape == flat.shape == (21, 21, 21)
    assert flat.max() > 2 * own.max()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--out", "psf.txt"], "no format of PSFs ends in '.txt'"),
        (["--out", "psf.h5", "--z", "3"], "two numbers"),
        (["--out", "psf.h5", "--z", "3,2"], "holds no planes"),
        (["--out", "psf.h5", "--patch-px", "20"], "no middle pixel"),
    ],
)
def test_what_cannot_be_exported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("telomeres", *options, *SMALL)
    assert done.exit_code == 2
    assert complaint in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())
