"""The command `retrieve-mask`: beads become a mask, a picture, figures and an experiment, or a clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner, Result

from bead_stacks import (
    CENTRES,
    FIRST_UM,
    STEP_UM,
    bead_folder,
    bead_stack,
    short_retrieval,
    small_experiment,
    true_mask,
    write_stack,
)
from deepstorm3d.calibration.beads.slice_positions import read_positions
from deepstorm3d.calibration.phase_retrieval import retriever
from deepstorm3d.calibration.phase_retrieval.degeneracies import aperture_of, split_defocus, without_tilt
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.io.masks import read_mask

GIVEN = ["--step-um", str(STEP_UM), "--first-um", str(FIRST_UM), "--bead-nm", "200"]


def call(folder: Path, beads: list[Path] | Path, *options: object) -> Result:
    """The command, its mask written to mask.npy."""
    stacks = beads if isinstance(beads, list) else [beads]
    words = [*stacks, folder / "experiment.yaml", "--out", folder / "mask.npy", *options]
    return CliRunner().invoke(app, ["retrieve-mask", *(str(word) for word in words)])


@pytest.fixture
def short() -> Iterator[None]:
    with short_retrieval():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bead_folder(tmp_path)


@pytest.mark.usefixtures("without_pictures", "short")
def test_uneven_steps_are_told_and_found(folder: Path) -> None:
    truth = FIRST_UM + STEP_UM * np.arange(21)
    uneven = 0.05 * np.random.default_rng(0).standard_normal(21)
    np.savetxt(folder / "positions.txt", truth + uneven)
    told = ("--positions", folder / "positions.txt", "--bead-nm", 200)
    done = call(folder, folder / "beads.tif", *told)
    assert done.exit_code == 0, done.stderr
    assert "times what noise gives: uneven or wrong steps" in " ".join(done.output.split())
    options = ("--fit-positions", "--json", folder / "figures.json", "--overwrite")
    found = call(folder, folder / "beads.tif", *told, *options)
    assert found.exit_code == 0 and "times what noise gives" not in found.output
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    position = np.array([each["position_found_um"] for each in figures["slices"][:21]])
    assert np.std(position - truth) < 0.015
    assert figures["steps_uneven_um_rms"] == pytest.approx(np.std(uneven), abs=0.01)


def test_beads_become_a_mask_a_picture_figures_and_an_experiment(folder: Path):
    done = call(
        folder,
        folder / "beads.tif",
        *GIVEN,
        "--json",
        folder / "figures.json",
        "--experiment-out",
        folder / "found.yaml",
        "--field",
        folder / "field.png",
    )
    assert done.exit_code == 0, done.stderr
    assert "needs 4 beads" in " ".join(done.output.split())
    assert not (folder / "field.png").exists()
    phase = torch.from_numpy(read_mask(folder / "mask.npy"))
    optics = small_experiment().microscope
    truth = true_mask()().double()
    inside = aperture_of(optics, truth.shape[1])
    off = (without_tilt(phase, truth, optics)[0] - truth)[inside]
    assert float(off.square().mean().sqrt()) < 0.12
    assert "3 beads, 63 of 63 images" in done.stdout
    # Even steps, rightly told, are not called uneven.
    assert "times what noise gives" not in done.output
    assert (folder / "mask.png").stat().st_size > 50_000
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert len(figures["slices"]) == 63
    assert figures["deviance_over_noise"] == pytest.approx(1.0, abs=0.03)
    experiment = read_experiment(folder / "found.yaml")
    assert experiment.psf.blur_px == pytest.approx(0.9, abs=0.04)
    assert experiment.microscope.focus == small_experiment().microscope.focus
    assert experiment.psf.pupil_oversampling == 2
    torch.testing.assert_close(experiment_mask(experiment)().double(), phase, atol=1e-5, rtol=1e-5)
    again = call(folder, folder / "beads.tif", *GIVEN)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


@pytest.mark.usefixtures("without_pictures", "short")
def test_of_more_beads_than_needed_those_not_used_are_not_called_bad(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retriever, "_MANY", 45)
    done = call(folder, folder / "beads.tif", *GIVEN)
    assert done.exit_code == 0, done.stderr
    assert "3 beads, 42 of 63 images" in " ".join(done.output.split())
    assert "explained much worse" not in " ".join(done.output.split())


@pytest.mark.usefixtures("without_pictures", "short")
def test_positions_from_a_file_and_defocus_as_focus(folder: Path):
    # In two files, exposures doubled, in another order than they were recorded, and half a micrometre off.
    order = np.random.default_rng(0).permutation(21)
    stack = np.repeat(np.asarray(bead_stack())[order], 2, axis=0)
    positions = FIRST_UM + STEP_UM * order + 0.5
    (folder / "positions.csv").write_text(
        "# slice, focus\n" + "".join(f"{k}, {p:.3f}\n" for k, p in enumerate(positions)), encoding="utf-8"
    )
    beads = [write_stack(folder / "one.tif", stack[:, :42]), write_stack(folder / "two.tif", stack[:, 42:])]
    done = call(
        folder,
        beads,
        *("--positions", folder / "positions.csv", "--frames-per-slice", 2, "--bead-nm", 200),
        *("--defocus", "focus", "--experiment-out", folder / "found.yaml"),
    )
    assert done.exit_code == 0, done.stderr
    experiment = read_experiment(folder / "found.yaml")
    # What the aberrations hold of defocus, less the half micrometre.
    optics = small_experiment().microscope
    truth, design = true_mask()().double(), experiment_mask(small_experiment())().double()
    without, held = split_defocus(truth, design, optics)
    assert experiment.microscope.focus == pytest.approx(optics.focus + held - 0.5, abs=0.05)
    phase = torch.from_numpy(read_mask(folder / "mask.npy"))
    off = (without_tilt(phase, without, optics)[0] - without)[aperture_of(optics, truth.shape[1])]
    assert float(off.square().mean().sqrt()) < 0.12


def test_outputs_of_one_name_are_refused_before_any_work(folder: Path):
    done = call(folder, folder / "beads.tif", *GIVEN, "--json", folder / "mask.png")
    assert done.exit_code == 2
    assert "two outputs have the same name" in done.stderr


def shuffled() -> Any:
    return np.asarray(bead_stack())[np.random.default_rng(1).permutation(21)]


@pytest.mark.parametrize(
    ("stack", "options", "words"),
    [
        (lambda: np.asarray(bead_stack())[:4], GIVEN, "a stack of 4 slices: at least 5"),
        (lambda: np.asarray(bead_stack()), ["--step-um", "0.01"], "the slices span 0.2 µm"),
        (lambda: np.asarray(bead_stack()), ["--step-um", "100"], "not nm"),
        (lambda: np.asarray(bead_stack()), ["--step-um", "0"], "all slices have one position"),
        (shuffled, GIVEN, "in the order of the frames"),
        (lambda: np.random.default_rng(0).poisson(10, (21, 84, 84)), GIVEN, "no bead can be used"),
        (lambda: np.asarray(bead_stack()), [*GIVEN, "--frames-per-slice", "2"], "no multiple of the 2 frames"),
        (lambda: np.asarray(bead_stack()), [*GIVEN, "--side-px", "101"], "give an odd side of at most"),
    ],
)
def test_a_stack_that_cannot_serve_is_refused_in_words(
    folder: Path, stack: Any, options: list[str], words: str
):
    done = call(folder, write_stack(folder / "other.tif", stack()), *options)
    assert done.exit_code == 2, done.stdout
    assert words in done.stderr
    assert not (folder / "mask.npy").exists()


def test_nan_is_refused(folder: Path):
    stack = np.asarray(bead_stack()).copy()
    stack[3, 5, 5] = np.nan
    tifffile.imwrite(folder / "nan.tif", stack, photometric="minisblack")
    done = call(folder, folder / "nan.tif", *GIVEN)
    assert done.exit_code == 2
    assert "frame 3" in done.stderr
    assert "NaN" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0\n0.1\n0.2\n", "has 3 positions, the stack 21 slices"),
        ("focus\n0.1\n", "line 1"),
        ("0.1\nnan\n", "line 2"),
        ("# nothing\n", "holds no position"),
    ],
)
def test_positions_that_do_not_fit_are_refused(folder: Path, text: str, words: str):
    (folder / "positions.txt").write_text(text, encoding="utf-8")
    done = call(folder, folder / "beads.tif", "--positions", folder / "positions.txt")
    assert done.exit_code == 2
    assert words in done.stderr
    both = call(folder, folder / "beads.tif", *GIVEN, "--positions", folder / "positions.txt")
    assert "not both" in both.stderr


def test_positions_are_the_last_numbers_of_the_lines(tmp_path: Path):
    path = tmp_path / "positions.txt"
    path.write_text("# frame; z\n0; 1.5\n\n1; 1.25 # second\n", encoding="utf-8")
    assert read_positions(path).tolist() == [1.5, 1.25]
    with pytest.raises(InputError, match="cannot read"):
        read_positions(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("0,5\n0,75\n1\n", [0.5, 0.75, 1.0]),
        ("-1,5\n-0,5\n0,5\n", [-1.5, -0.5, 0.5]),
        ("1;-0,5\n2;0,25\n", [-0.5, 0.25]),
        ("1\t1,5e-1\n2\t2,5e-1\n", [0.15, 0.25]),
        ("0,1.5\n1,1.25\n", [1.5, 1.25]),
        ("0, 0, 2\n1, 0, 3\n", [2.0, 3.0]),
        ("0.5, 1\n0.5, 2\n", [1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_positions_may_have_decimal_commas(tmp_path: Path, text: str, positions: list[float], encoding: str):
    path = tmp_path / "positions.txt"
    path.write_text("# µm\n" + text, encoding=encoding)
    assert read_positions(path).tolist() == positions


def test_a_comma_that_may_be_a_decimal_sign_or_not_is_asked_about(tmp_path: Path):
    path = tmp_path / "positions.txt"
    path.write_text("0,5\n1,6\n2,7\n", encoding="utf-8")
    with pytest.raises(InputError, match="may be one number with a decimal comma or two"):
        read_positions(path)


@pytest.mark.usefixtures("without_pictures", "short")
def test_trouble_that_can_be_lived_with_is_told(folder: Path):
    stack = np.asarray(bead_stack()).clip(max=300)
    stack[:, 70:] = stack[:, 70:] * 2
    done = call(folder, write_stack(folder / "full.tif", stack[::2]), "--step-um", "0.2", "--first-um", "-1.0")
    assert done.exit_code == 0, done.stderr
    assert "the camera saturates there" in done.stderr
    assert "saturated in" in done.stderr
    assert "11 slices are few" in done.stderr


@pytest.mark.usefixtures("short")
def test_four_beads_tell_of_the_field_and_no_planes_are_written_where_they_differ_by_noise(folder: Path):
    write_stack(folder / "four.tif", bead_stack((*CENTRES, (61.7, 60.9))))
    asked = ["--field", folder / "field.png", "--json", folder / "figures.json"]
    done = call(folder, folder / "four.tif", *GIVEN, *asked, "--experiment-out", folder / "found.yaml")
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.output.split())
    assert "4 beads differ by 0.0" in said
    assert read_experiment(folder / "found.yaml").psf.field.rises == {}
    assert "psf.field" not in said and "differ across the field" not in said
    assert (folder / "field.png").stat().st_size > 10_000
    told = json.loads((folder / "figures.json").read_text())["field"]
    assert [bead["bead"] for bead in told["beads"]] == [0, 1, 2, 3]
    assert told["differ_by_rad_rms"] < 0.05
