"""A kind of an installed package works from the command line, without a line of Python by the user."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deepstorm3d.cli import app
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.io.tables import read_table

MODULE = '''
from typing import Any, Literal

import torch

from deepstorm3d.optics.masks import MASK_KINDS, MaskSpec, PixelMask
from deepstorm3d.optics.psf import Patches, patch_corner
from deepstorm3d.optics.psf_kinds import PSF_KINDS
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.spec import quantity


class Spots:
    """Gaussians that widen with depth, sampled at the middle of the pixels."""

    def __init__(self, spec, pixel_um, patch_px):
        self.spec, self.pixel_um, self.patch_px = spec, pixel_um, patch_px

    def __call__(self, xyz, blur_px=None):
        corner, offset = patch_corner(xyz, self.pixel_um, self.patch_px)
        width = (self.spec.waist_um / self.pixel_um) * (1 + (xyz[:, 2] / 0.5) ** 2).sqrt()
        steps = torch.arange(self.patch_px).to(xyz) - self.patch_px // 2
        square = ((steps - offset[:, :, None]) / width[:, None, None]).square()
        values = torch.exp(-0.5 * (square[:, 1, :, None] + square[:, 0, None, :]))
        values = values / (2 * torch.pi * width.square())[:, None, None]
        return Patches(values, corner, values.sum((1, 2)))


@PSF_KINDS.register
class SpotPSFSpec(PSFSpec):
    kind: Literal["plugin_spot"] = "plugin_spot"
    waist_um: float = quantity(0.16, "µm", "Gaussian σ at the coverslip", gt=0)

    def images(self, microscope, source: Any, *, patch_px=None, blur_px=None):
        return Spots(self, microscope.pixel_um, self.patch_px if patch_px is None else patch_px)


@MASK_KINDS.register
class ConstantMask(MaskSpec):
    kind: Literal["plugin_constant"] = "plugin_constant"
    phase: float = quantity(1.0, "rad", "everywhere", gt=-10, lt=10)

    def build(self, microscope):
        return PixelMask(torch.full((microscope.mask_px, microscope.mask_px), self.phase))
'''
ENTRY_POINTS = """[deepstorm3d.kinds]
plugin_spot = spots_for_tests
plugin_constant = spots_for_tests:ConstantMask
plugin_broken = spots_for_tests.absent
"""
SMALL = [
    "psf.patch_px=21",
    "network.channels=8",
    "network.skip=4",
    "network.dilations=[1]",
    "training.steps=2",
    "training.batch=2",
    "training.warmup_steps=1",
    "training.crop_px=32",
    "training.validate_every=2",
    "training.validation_crops=2",
    "frame_px=[48, 56]",
]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(autouse=True, scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package `spots`, as pip would leave it in a folder of Python's path."""
    folder = tmp_path_factory.mktemp("site-packages")
    (folder / "spots_for_tests.py").write_text(MODULE, encoding="utf-8")
    facts = folder / "spots-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: spots\nVersion: 1.0\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder))


@pytest.mark.usefixtures("without_pictures")
def test_a_psf_of_another_package_is_configured_simulated_learnt_and_localized(tmp_path: Path) -> None:
    changes = [word for one in SMALL for word in ("--set", one)]
    plain, own = tmp_path / "plain.yaml", tmp_path / "own.yaml"
    done("config", "--preset", "quickstart", "--out", plain, *changes)
    assert "spots_for_tests" not in sys.modules
    done("config", "--preset", "quickstart", "--out", own, *changes, "--set", "psf.kind=plugin_spot")
    assert read_experiment(own).psf.patch_px == 21
    assert "kind: plugin_spot" in own.read_text(encoding="utf-8")
    movie, model, found = tmp_path / "m.tif", tmp_path / "m.pt", tmp_path / "found.csv"
    done("simulate", own, "--frames", 4, "--emitters", 1, "--out", movie, "--truth", tmp_path / "t.csv")
    done("train", own, "--out", model, "--device", "cpu")
    done("localize", movie, "--model", model, "--out", found, "--method", "mle")
    pixel_um = read_experiment(own).microscope.pixel_um
    truth, rows = (read_table(path, pixel_um=pixel_um) for path in (tmp_path / "t.csv", found))
    apart = (truth.xyz[:, None, :2] - rows.xyz[:, :2]).square().sum(2).sqrt()
    apart = apart + 9 * (truth.frame[:, None] != rows.frame)
    assert float((apart.amin(1) < 0.04).float().mean()) >= 0.75


def test_a_mask_of_another_package_is_named_like_the_others(tmp_path: Path) -> None:
    done("config", "--preset", "quickstart", "--out", tmp_path / "e.yaml", "--set", "mask.kind=plugin_constant",
         "--set", "mask.phase=0.5")  # fmt: skip
    mask = read_experiment(tmp_path / "e.yaml").mask
    assert mask.to_mapping() == {"kind": "plugin_constant", "phase": 0.5}


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    result = call(
        "config", "--preset", "quickstart", "--out", tmp_path / "e.yaml", "--set", "psf.kind=plugin_broken"
    )
    assert result.exit_code == 2
    words = " ".join(result.output.split())
    assert "'plugin_broken' is offered by the package spots, which cannot be imported" in words
    assert "Traceback" not in words


def test_a_kind_that_nobody_offers_is_refused_with_those_there_are(tmp_path: Path) -> None:
    result = call(
        "config", "--preset", "quickstart", "--out", tmp_path / "e.yaml", "--set", "psf.kind=plugin_absent"
    )
    assert result.exit_code == 2
    assert "plugin_absent" in result.output and "'scalar'" in result.output
