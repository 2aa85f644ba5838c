"""Beads that a user chooses are used as they are; a survey lists all, and says why one cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from bead_stacks import CENTRES, SIDE, bead_folder, bead_stack, small_experiment, write_stack
from deepstorm3d.calibration.beads.reading import read_beads
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.beads.stack_places import read_bead_positions
from deepstorm3d.cli.app import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.optics import whole_mask

AT = [(round(x), round(y)) for x, y in CENTRES]
RECORDED = BeadSettings(step_um=0.1, first_um=-1.0, bead_um=0.2, side_px=SIDE)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "beads.tif", bead_stack())


def read(stacks: list[Path], **changes: object) -> list[tuple[int, int, int]]:
    experiment = small_experiment()
    recorded = BeadSettings(step_um=0.1, first_um=-1.0, bead_um=0.2, side_px=SIDE, **changes)  # pyright: ignore[reportArgumentType]
    found = read_beads(experiment, stacks, recorded, whole_mask(experiment))
    return [(place.stack, place.column, place.row) for place in found.places]


def test_only_the_chosen_beads_are_cut_out_the_brightest_first(stack: Path) -> None:
    assert read([stack], beads_at=(AT[2], AT[0])) == [(0, *AT[0]), (0, *AT[2])]
    assert len(read([stack])) == 3


def test_a_bead_that_is_not_alone_is_used_where_it_is_chosen_and_its_neighbour_is_named(tmp_path: Path) -> None:
    close = write_stack(tmp_path / "close.tif", bead_stack((*CENTRES[:2], (60.4, 34.0))))
    assert read([close]) == [(0, *AT[0])]
    experiment = small_experiment()
    recorded = BeadSettings(step_um=0.1, first_um=-1.0, side_px=SIDE, beads_at=(AT[1],))
    found = read_beads(experiment, [close], recorded, whole_mask(experiment))
    assert [(place.column, place.row) for place in found.places] == [AT[1]]
    assert any("chosen, although there is light of another one 12 px away" in each for each in found.warnings)


@pytest.mark.parametrize(
    ("beads_at", "words"),
    [
        (((4, 40),), "reaches beyond the frame, whose border is 4 px away"),
        (((100, 40),), r"not in the frame of 84 x 84 px"),
        (((1, 20, 20),), "in stack 1, but there are 1 stacks"),
        ((), "no bead is chosen"),
    ],
)
def test_a_bead_that_cannot_be_used_is_refused(stack: Path, beads_at: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read([stack], beads_at=beads_at)


def test_several_stacks_name_the_stack_of_each_bead(stack: Path) -> None:
    other = write_stack(stack.with_name("other.tif"), bead_stack(seed=1))
    assert read([stack, other], beads_at=((1, *AT[0]),)) == [(1, *AT[0])]
    with pytest.raises(InputError, match="does not say in which it is"):
        read([stack, other], beads_at=(AT[0],))
    chosen = stack.with_name("chosen.txt")
    chosen.write_text("other.tif 20 20 # the bright one\nbeads.tif;60;22\n", encoding="utf-8")
    assert read_bead_positions(chosen, [stack, other]) == [(1, 20, 20), (0, 60, 22)]
    assert read([stack, other], beads_at=chosen) == [(0, 60, 22), (1, 20, 20)]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "names no bead"), ("third.tif 1 2\n", "stack third.tif, which is not"), ("1 2 x\n", "line 1")],
)
def test_a_file_of_beads_that_does_not_fit_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "chosen.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_bead_positions(tmp_path / "chosen.txt", [tmp_path / "beads.tif"])


def test_the_command_takes_the_beads_of_a_file(tmp_path: Path) -> None:
    bead_folder(tmp_path)
    (tmp_path / "chosen.txt").write_text("60 22\n", encoding="utf-8")
    words = [
        *("measure-psf", tmp_path / "beads.tif", tmp_path / "experiment.yaml", "--out", tmp_path / "psf.tif"),
        *("--step-um", 0.1, "--first-um", -1.0, "--bead-nm", 200, "--beads-at", tmp_path / "chosen.txt"),
    ]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert "1 of 1 beads" in done.stdout


def test_a_survey_lists_every_spot_and_says_why_one_cannot_be_used() -> None:
    stack = bead_stack((*CENTRES[:2], (60.4, 34.0), (5.0, 62.0))).numpy()
    survey = ds.find_beads(stack, small_experiment(), RECORDED)
    (seen,) = survey.stacks
    assert survey.side == SIDE
    reasons = {(spot.column, spot.row): spot.reason for spot in seen.spots}
    assert reasons[AT[0]] == ""
    assert "px away" in reasons[AT[1]] and "border" in reasons[5, 62]
    assert seen.spots[0].brightness == 1.0
    assert seen.spot_near(AT[0][0] + 3, AT[0][1] - 2) == AT[0]
    assert torch.equal(seen.position_um, seen.position_um.sort().values)
    middle = seen.cut(*AT[0], SIDE)
    assert middle.shape == (len(seen.position_um), SIDE, SIDE)
    torch.testing.assert_close(middle[:, SIDE // 2, SIDE // 2], seen.parts[:, AT[0][1], AT[0][0]])
