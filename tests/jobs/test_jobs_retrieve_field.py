"""Beads that span the field: planes of their aberrations go into the experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bead_stacks import FIRST_UM, STEP_UM, draw_beads, short_retrieval, small_experiment, true_mask, write_stack
from deepstorm3d.cli import app
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.masks import PixelMask, ZernikePhase

# Column and row of each bead, in frames of 84 × 84 px.
PLACES = ((18.2, 17.7), (64.4, 20.1), (20.8, 63.3), (65.1, 64.6))
FIELD = FieldSpec(size_px=(84, 84), rises={5: (0.5, -0.2), 8: (0.0, 0.5)})


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    with short_retrieval():
        yield


def stack_of(field: FieldSpec) -> torch.Tensor:
    """Photons (S, 84, 84): each bead with the aberrations of its place."""
    base = small_experiment()
    stack = torch.zeros(())
    for number, place in enumerate(PLACES):
        table = field.at((place[0] + 0.5) / 84 - 0.5, (place[1] + 0.5) / 84 - 0.5)
        values = torch.tensor(list(table.values()), dtype=torch.float64)
        mask = PixelMask(ZernikePhase(base.microscope, list(table), values, base=true_mask())().detach())
        stack = stack + draw_beads(base, (place,), seed=2, mask=mask, background=0.0 if number else 10.0)
    return stack


def retrieved(folder: Path, field: FieldSpec) -> tuple[Experiment, str]:
    write_experiment(small_experiment(), folder / "experiment.yaml")
    beads = write_stack(folder / "beads.tif", stack_of(field))
    told = ["--step-um", STEP_UM, "--first-um", FIRST_UM, "--bead-nm", 200, "--out", folder / "mask.npy"]
    also = ["--experiment-out", folder / "found.yaml", "--field", folder / "field.png"]
    words = ["retrieve-mask", beads, folder / "experiment.yaml", *told, *also]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert (folder / "field.png").stat().st_size > 20_000
    return read_experiment(folder / "found.yaml"), " ".join(done.output.split())


def test_planes_are_found_and_told(tmp_path: Path) -> None:
    experiment, said = retrieved(tmp_path, FIELD)
    found = experiment.psf.field
    assert found.size_px == (84, 84)
    assert set(found.rises) == set(FIELD.rises)
    for noll, rise in FIELD.rises.items():
        assert found.rises[noll] == pytest.approx(rise, abs=0.04)
    assert "psf.field of the experiment: 2 polynomials that rise" in said
    assert "aberrations differ across the field" in said and "contains planes through them" in said
    # With them there is nothing left that another warning would explain.
    assert said.count("warning:") == 1, said
