"""The command `axial-scan`, and `evaluate --register` with what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from deepstorm3d.cli import app
from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.io.tables import read_truth, write_truth
from deepstorm3d.optics.assembly import Assembly
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask

pytestmark = pytest.mark.usefixtures("coarse_pictures")

PLACES = torch.tensor([[1.5, 1.6, 2.5], [5.1, 1.9, 3.0], [1.9, 5.2, 3.9], [4.6, 4.7, 2.6], [3.2, 3.4, 3.4]])
CHANGES = ["microscope.mask_pitch=96.0", "psf.pupil_oversampling=2", "scenes.nucleus.emitters.z_um=[2.2, 4.2]"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five emitters, planes 0.3 µm apart from 2 µm on."""
    experiment = find_experiment("telomeres", CHANGES)
    microscope, path = experiment.microscope, tmp_path_factory.mktemp("scan") / "stack.tif"
    psf = build_psf(experiment.psf, microscope, ZeroMask().build(microscope), patch_px=31)
    generator = torch.Generator().manual_seed(4)
    with MovieWriter(path, frames=14, shape=(64, 64), pixel_um=microscope.pixel_um) as movie:
        for plane in range(14):
            patches = psf(PLACES, focus_um=torch.full((5,), 2 + 0.3 * plane))
            places = Assembly(patches.corner, torch.zeros(5, dtype=torch.int64), (31, 31), (1, 64, 64))
            light = 50 + places.add(places.inside(patches.values * 40000.0))
            movie.append(torch.poisson(light, generator=generator).numpy())
    return path


def call(*arguments: object) -> Result:
    changes = [word for one in CHANGES for word in ("--set", one)]
    return CliRunner().invoke(app, ["axial-scan", *(str(word) for word in arguments), *changes])


def test_the_list_is_the_truth_of_one_frame(stack: Path, tmp_path: Path):
    out = tmp_path / "truth.csv"
    done = call(stack, "telomeres", "--step-um", 0.3, "--first-focus-um", 2, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "5 spots in 14 planes, travel 2 to 5.9 µm" in done.stdout
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    found = read_truth(out)
    assert found.frame.tolist() == [0] * 5
    distance = torch.cdist(PLACES, found.xyz).amin(1)
    assert float(distance.max()) < 0.05


def test_a_snapshot_is_registered_onto_the_scan(tmp_path: Path):
    generator = torch.Generator().manual_seed(1)
    xyz = 10 * torch.rand(30, 3, generator=generator)
    for name, places in (("scan.csv", xyz), ("found.csv", xyz[3:] + torch.tensor([0.4, -0.3, 0.6]))):
        table = Emitters(
            places, torch.zeros(len(places)).long(), torch.ones(len(places)), torch.arange(len(places))
        )
        write_truth(tmp_path / name, table, pixel_um=0.11, frames=1, shape=(100, 100))
    arguments = [
        "evaluate",
        str(tmp_path / "found.csv"),
        "--truth",
        str(tmp_path / "scan.csv"),
        "--pixel-nm",
        "110",
    ]
    runner = CliRunner()
    assert "0 hits" in runner.invoke(app, arguments).stdout
    done = runner.invoke(app, [*arguments, "--register"])
    assert done.exit_code == 0, done.stderr
    assert "27 hits, 0 false, 3 missed" in done.stdout
    assert "shifted by -400, 300, -600 nm in x, y, z" in done.stdout


def test_a_stack_that_cannot_be_used_is_refused(stack: Path, tmp_path: Path):
    out = tmp_path / "truth.csv"
    for arguments, words in (
        (("--step-um", 0), "is no stack"),
        (("--step-um", 0.3, "--first-focus-um", 9), "--first-focus-um"),
        (("--step-um", 0.3, "--first-focus-um", 2, "--frames", "0:3"), "at least 5"),
    ):
        done = call(stack, "telomeres", *arguments, "--out", out)
        assert (done.exit_code, words in done.stderr) == (2, True), done.stderr
    assert not out.exists()
