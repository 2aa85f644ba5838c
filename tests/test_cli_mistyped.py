"""What is easily mistyped (nm for µm, a misspelt name, files in the wrong order) is told before any work."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.io.tables import write_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, a movie and a list."""
    folder = tmp_path_factory.mktemp("mistyped")
    write_experiment(ds.preset("quickstart"), folder / "q.yaml")
    tifffile.imwrite(folder / "m.tif", np.full((3, 60, 60), 120, np.uint16), photometric="minisblack")
    xyz = [[1.0, 1.0, 0.3], [2.0, 1.5, 0.6], [2.5, 2.0, 0.9]]
    found = Localizations.proposals(torch.tensor(xyz), torch.arange(3), torch.ones(3))
    write_table(folder / "l.hdf5", found, pixel_um=0.11, frames=3, shape=(60, 60))
    (folder / "broken.yaml").write_text("microscope: [")
    return folder


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("render l.hdf5 --out o.png --z 0:1200", "z from 0 to 1200 µm: the list spans 0.30 to 0.90 µm"),
        ("export-psf q.yaml --out o.tif --z 0,1200", "depths are in µm, not nm"),
        (
            "export-psf q.yaml --out o.tif --z 0",
            "--z 0: write two numbers as A,B, the lower depth first, in µm",
        ),
        (
            "export-psf q.yaml --out o.tif --mask vortex",
            "vortex: there is no such file; a mask is read from a .npy",
        ),
        # A file in place of the folder to write.
        (
            "camera-maps m.tif --gain 0.5 --out l.hdf5",
            "cannot write into l.hdf5: it is a file, not a folder; name a folder",
        ),
        (
            "compare-psf q.yaml tetrapod --out l.hdf5",
            "cannot write into l.hdf5: it is a file, not a folder; name a folder",
        ),
        ("demo --out l.hdf5", "cannot write into l.hdf5: it is a file, not a folder; name a folder"),
        ("recommend q.yaml --depth 3000", "3,000 µm is deeper than was simulated"),
        (
            "track l.hdf5 --out o.hdf5 --range 0.3",
            "a search range of 0.3 nm is less than 1 nm, the least that is taken; it is in nm: 0.3 µm are 300",
        ),
        (
            "localize m.tif --model tetrapod --out o.hdf5 --pixel-nm 0.11",
            "0.11 nm is no pixel of a camera; if 0.11 µm are meant, that is 110 nm",
        ),
        (
            "localize m.tif --model tetrapod --out o.hdf5 --pixel-nm -5",
            "--pixel-nm of -5 nm: a pixel is larger than 0 nm",
        ),
        (
            "localize m.tif --model tetrapod --out o.hdf5 --threshold 45",
            "must be less than or equal to 1 (given: '45')",
        ),
        (
            "localize m.tif --model tetrapod --out o.hdf5 --camera Gain=2",
            "--camera Gain: no camera has such a value; did you mean 'gain'?",
        ),
        ("localize m.tif --model tetrapot --out o.hdf5", "did you mean 'tetrapod'?"),
        ("localize m.tif --model tetrapod --out o.txt", "no list is written as '.txt'; name it .hdf5"),
        ("simulate q.yaml --out o.tif --frames 0", "must be greater than or equal to 1 (given: '0')"),
        ("design-psf q.yaml --out o.npy --by fischer", "there is no 'fischer'; did you mean 'fisher'?"),
        ("config --preset strom --out o.yaml", "there is no preset 'strom'; did you mean 'storm'?"),
        (
            "config --preset storm --out o.yaml --set microscope.NA=1.4",
            "microscope.NA: no such key; did you mean 'na'?",
        ),
        (
            "evaluate m.tif --truth l.hdf5",
            "m.tif is a movie or a picture, not a list; localize the movie first",
        ),
        ("train l.hdf5 --out o.pt", "l.hdf5 is no experiment file; experiments are YAML files (.yaml)"),
        ("train broken.yaml --out o.pt", "broken.yaml is no experiment file: not YAML: while parsing"),
        ("limit q.yaml --out o.txt", "o.txt: no picture format ends in '.txt'"),
        ("retrieve-mask m.tif q.yaml --out o.npy --step-um nan", "the step (--step-um) is nan µm"),
        ("measure-psf m.tif q.yaml --out o.tif --first-um inf", "first slice (--first-um) is inf µm"),
        ("retrieve-mask m.tif q.yaml --out o.npy --side-px 20", "cannot be 20 px wide"),
    ],
)
def test_it_is_told_with_the_remedy_and_nothing_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    done = CliRunner().invoke(app, shlex.split(command), env={"COLUMNS": "400"})
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())
    assert sorted(folder.iterdir()) == before


def test_depths_in_nm_are_refused_in_python() -> None:
    with pytest.raises(
        ds.InputError, match="no objective reaches to a depth of 500 µm; depths are in µm, not nm"
    ):
        ds.psf("quickstart", [0.0, 500.0])
    with pytest.raises(ds.InputError, match="depths are in µm, not nm"):
        ds.crlb("quickstart", [[1.0, 1.0, 500.0]], photons=1000, background=20)
    with pytest.raises(ds.InputError, match="no preset 'qickstart'; did you mean 'quickstart'"):
        ds.mask("qickstart")
