"""Beads that span the field: planes of their aberrations go into the experiment, none where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bead_stacks import FIRST_UM, STEP_UM, draw_beads, small_experiment, true_mask, write_stack
from deepstorm3d.cli import app
from deepstorm3d.jobs.experiment import Experiment, read_experiment, write_experiment
from deepstorm3d.optics.field import FieldSpec
from deepstorm3d.optics.mask_shift import footprint_um
from deepstorm3d.optics.masks import PixelMask, ZernikeMask, ZernikePhase, build_mask

# Column and row of each bead, in frames of 84 × 84 px.
PLACES = ((18.2, 17.7), (64.4, 20.1), (20.8, 63.3), (65.1, 64.6))
FIELD = FieldSpec(size_px=(84, 84), rises={5: (0.5, -0.2), 8: (0.0, 0.5)})


# Astigmatism of both orders: a mask that shows where it stands.
ZERNIKE = ZernikeMask(coefficients={6: 1.2, 12: -0.7})


def moved_stack(experiment: Experiment, mm: float) -> torch.Tensor:
    """Photons (S, 84, 84) of beads through a mask that stands off the pupil plane."""
    field = FieldSpec(size_px=(84, 84), mask_offset=mm)
    mask, stack = build_mask(ZERNIKE, experiment.microscope), torch.zeros(())
    for number, place in enumerate(PLACES):
        at = field.places(torch.tensor([place], dtype=torch.float64))
        x, y = footprint_um(field, experiment.microscope, at)[0].tolist()
        there = PixelMask(mask.crossed_at((x, y), experiment.microscope).detach())
        stack = stack + draw_beads(experiment, (place,), 2, mask=there, background=0.0 if number else 10.0)
    return stack


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


def retrieved(folder: Path, experiment: Experiment, stack: torch.Tensor) -> tuple[Experiment, str]:
    write_experiment(experiment, folder / "experiment.yaml")
    beads = write_stack(folder / "beads.tif", stack)
    told = ["--step-um", STEP_UM, "--first-um", FIRST_UM, "--bead-nm", 200, "--out", folder / "mask.npy"]
    also = ["--experiment-out", folder / "found.yaml", "--field", folder / "field.png"]
    words = ["retrieve-mask", beads, folder / "experiment.yaml", *told, *also]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert (folder / "field.png").stat().st_size > 20_000
    return read_experiment(folder / "found.yaml"), " ".join(done.output.split())


def test_planes_are_found_and_told(tmp_path: Path) -> None:
    experiment, said = retrieved(tmp_path, small_experiment(), stack_of(FIELD))
    found = experiment.psf.field
    assert found.size_px == (84, 84)
    assert set(found.rises) == set(FIELD.rises)
    for noll, rise in FIELD.rises.items():
        assert found.rises[noll] == pytest.approx(rise, abs=0.04)
    assert "psf.field of the experiment: 2 polynomials that rise" in said
    assert "aberrations differ across the field" in said and "holds planes through them" in said
    # With them there is nothing left that another warning would explain.
    assert said.count("warning:") == 1, said


def test_none_are_written_where_beads_differ_by_noise(tmp_path: Path) -> None:
    experiment, said = retrieved(tmp_path, small_experiment(), stack_of(FieldSpec()))
    assert experiment.psf.field.rises == {}
    assert "psf.field" not in said and "differ across the field" not in said


@pytest.mark.parametrize("mm", [45.0, -45.0])
def test_a_mask_off_the_pupil_plane_is_found_and_told(tmp_path: Path, mm: float) -> None:
    experiment = small_experiment().with_(mask=ZERNIKE)
    found, said = retrieved(tmp_path, experiment, moved_stack(experiment, mm))
    assert found.psf.field.mask_offset == pytest.approx(mm, rel=0.1)
    # What the offset explains is not told a second time as aberrations.
    assert found.psf.field.rises == {}
    assert f"mm {'behind' if mm > 0 else 'before'} the pupil plane" in said
