"""The command `measure-psf`: beads become planes that spline fitters read, or a clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from bead_stacks import FIRST_UM, STEP_UM, bead_folder, bead_stack, small_experiment, true_mask, write_stack
from deepstorm3d.cli import app
from deepstorm3d.io.psfs import read_psf
from deepstorm3d.optics.computed import build_psf

GIVEN = ["--step-um", str(STEP_UM), "--first-um", str(FIRST_UM), "--bead-nm", "200"]


def call(folder: Path, *options: object) -> Result:
    words = ["measure-psf", folder / "beads.tif", folder / "experiment.yaml", *options]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bead_folder(tmp_path)


def test_beads_become_the_psf_that_they_show(folder: Path) -> None:
    done = call(folder, "--out", folder / "psf.h5", *GIVEN)
    assert done.exit_code == 0, done.output
    assert "3 of 3 beads, 21 planes" in done.stdout
    assert (folder / "psf.png").stat().st_size > 20_000
    measured = read_psf(folder / "psf.h5")
    optics, side = small_experiment().microscope, measured.values.shape[1]
    psf = build_psf(small_experiment().psf.with_(blur_px=0.9), optics, true_mask(), patch_px=side)
    # Deep molecules look like beads on the coverslip when the objective is far from the sample.
    focus = torch.flip(FIRST_UM + STEP_UM * torch.arange(21.0), (0,))
    xyz = torch.tensor([[0.0, 0.0, 0.1]]).expand(21, 3)
    expected = psf(xyz, focus_um=focus).values
    pairs = zip(measured.values.flatten(1), expected.flatten(1), strict=True)
    alike = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]
    assert min(alike) > 0.9
    assert np.mean(alike) > 0.96
    assert measured.range_um[0] < optics.focus / 1.3 < measured.range_um[1]


def test_what_is_no_stack_of_one_kind_is_refused(folder: Path) -> None:
    done = call(folder, "--out", folder / "psf.txt", *GIVEN)
    assert done.exit_code == 2 and "no format of PSFs" in " ".join(done.output.split())
    write_stack(folder / "short.tif", bead_stack()[:11])
    both = call(folder, "--out", folder / "psf.h5", *GIVEN)
    assert both.exit_code == 0
    words = ["measure-psf", folder / "beads.tif", folder / "short.tif", folder / "experiment.yaml"]
    options = ["--out", folder / "two.h5", *GIVEN]
    mixed = CliRunner().invoke(app, [str(word) for word in (*words, *options)])
    assert mixed.exit_code == 2 and "differ in their slices" in " ".join(mixed.output.split())
    again = call(folder, "--out", folder / "psf.h5", *GIVEN)
    assert again.exit_code == 2 and "--overwrite" in again.output
    assert not (folder / "two.h5").exists()
