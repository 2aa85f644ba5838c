"""Commands that take one channel of an experiment: which one is said, and asked for by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.jobs.compare_psf import compare_masks
from deepstorm3d.jobs.export_psf import export_psf
from factories import tiny_experiment


def setup() -> ds.Experiment:
    first = tiny_experiment()
    return first.with_(channels={"far": Channel(light=0.25, focus=first.microscope.focus + 0.5)})


def test_a_psf_is_exported_of_the_channel_that_is_named(tmp_path: Path) -> None:
    ds.write_experiment(setup(), tmp_path / "two.yaml")
    shapes = ["--step-nm", "200", "--patch-px", "21"]
    said, planes = [], []
    for name, more in (("a.tif", []), ("b.tif", ["--channel", "far"])):
        out = tmp_path / name
        done = CliRunner().invoke(
            app, ["export-psf", str(tmp_path / "two.yaml"), "--out", str(out), *shapes, *more]
        )
        assert done.exit_code == 0, done.output
        said.append(" ".join(done.output.split()))
        planes.append(tifffile.imread(out))
    assert "of the channel 'first' alone" in said[0] and "others: far (--channel)" in said[0]
    assert "of the channel 'far' alone" in said[1]
    assert np.abs(planes[0] - planes[1]).max() > 0.1 * planes[0].max()
    wrong = CliRunner().invoke(
        app, ["export-psf", str(tmp_path / "two.yaml"), "--out", str(tmp_path / "c.tif"), "--channel", "near"]
    )
    assert wrong.exit_code == 2 and "there is no channel 'near'" in " ".join(wrong.output.split())


def test_functions_for_one_channel_refuse_several(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a PSF file is of one channel, .* has first, far"):
        export_psf(setup(), tmp_path / "a.tif")
    with pytest.raises(InputError, match="masks are compared in one channel"):
        compare_masks(setup(), [], tmp_path)
    assert setup().of_channel("far") == setup().of_channel(1)
