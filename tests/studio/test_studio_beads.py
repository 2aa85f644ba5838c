"""Beads are found, chosen by clicks, and give a mask that is written with its experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bead_stacks import CENTRES, SIDE, bead_folder, bead_stack, short_retrieval, true_mask, write_stack
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.phase_retrieval.figure_data import picture_of
from deepstorm3d.calibration.phase_retrieval.retrieval import Unknowns
from deepstorm3d.calibration.phase_retrieval.summary import summary_lines
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.io.masks import read_mask
from deepstorm3d.studio.beads.bench import BeadBench
from deepstorm3d.studio.beads.pictures import amplitude_of, as_address, bead_strip, coloured, slices_picture
from deepstorm3d.studio.beads.recording import RECORDING
from deepstorm3d.studio.beads.same import command_line, python_lines
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.setup.setup import Setup

AT = [(round(x), round(y)) for x, y in CENTRES]


@pytest.fixture(autouse=True)
def few_rounds() -> Iterator[None]:
    with short_retrieval():
        yield


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """The set-up with which the beads were drawn."""
    bead_folder(tmp_path)
    setup = Setup(Folder(tmp_path))
    setup.read("experiment.yaml")
    return setup


@pytest.fixture
def bench(tmp_path: Path, setup: Setup) -> BeadBench:
    """A bench with three usable beads, and one beside the border."""
    write_stack(tmp_path / "beads.tif", bead_stack((*CENTRES, (5.0, 41.0))))
    bench = BeadBench(setup.folder, lambda: setup.experiment, setup.draft.take)
    bench.record(step_um=0.1, first_um=-1.0, bead_um=0.2, side_px=SIDE)
    bench.open("beads.tif")
    assert bench.surveyed.wait().error is None
    assert bench.survey is not None
    return bench


def test_beads_are_found_and_those_that_cannot_be_used_say_why(bench: BeadBench) -> None:
    by_place = {entry.place[1:]: entry for entry in bench.entries}
    assert [entry.place for entry in bench.entries if entry.taken] == [(0, *place) for place in AT]
    assert "border" in by_place[5, 41].reason and not by_place[5, 41].taken
    assert by_place[AT[0]].words == f"column {AT[0][0]}, row {AT[0][1]}, brightness 1.00"


def test_a_click_leaves_a_bead_out_takes_it_again_and_adds_one(bench: BeadBench) -> None:
    before = bench.changes
    bench.click(0, AT[1][0] + 2.3, AT[1][1] - 1.0)
    assert bench.choice.taken() == ((0, *AT[0]), (0, *AT[2])) and bench.changes > before
    assert bench.chosen_settings.beads_at == bench.choice.taken()
    bench.click(0, *AT[1])
    assert bench.choice.as_found and bench.chosen_settings == bench.settings
    bench.click(0, 50.0, 50.0)
    assert len(bench.entries) == 5 and bench.entries[-1].words.endswith("added by you")
    added = bench.entries[-1].place
    assert max(abs(added[1] - 50), abs(added[2] - 50)) <= 5
    bench.turn(added)
    assert bench.choice.as_found
    with pytest.raises(InputError, match=r"5 px from the border; its image of 21 px needs 10"):
        bench.click(0, 5.0, 41.0)


def test_the_choice_of_beads_ends_with_the_stack_and_outlives_a_number(bench: BeadBench) -> None:
    bench.click(0, *AT[1])
    bench.record(bead_um=0.1)
    bench.surveyed.wait()
    assert (0, *AT[1]) not in bench.choice.taken() and len(bench.choice.taken()) == 2
    write_stack(bench.folder.root / "other.tif", bead_stack(seed=1))
    bench.open("other.tif")
    bench.surveyed.wait()
    assert bench.survey is not None and bench.choice.as_found


def test_two_surveys_of_one_stack_are_two(bench: BeadBench) -> None:
    before = bench.survey
    bench.record(step_um=0.11)
    assert bench.surveyed.wait().error is None
    assert before is not None and bench.survey is not None and bench.survey != before
    assert bench.survey.stacks[0] != before.stacks[0] and bench.survey == bench.survey


def test_a_comma_may_belong_to_the_name_of_a_stack(bench: BeadBench) -> None:
    folder = bench.folder.root
    for name in ("beads, 100nm.tif", "c.tif"):
        (folder / name).write_bytes((folder / "beads.tif").read_bytes())
    for names in (["beads, 100nm.tif"], ["c.tif", "beads, 100nm.tif", "beads.tif"]):
        bench.open(", ".join(names))
        assert [path.name for path in bench.stacks] == names
    with pytest.raises(InputError, match="there is no 'beads'"):
        bench.open("beads, 200nm.tif")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("frames_per_slice", "0", "0 exposures"),
        ("frames_per_slice", "-3", "-3 exposures"),
        ("bead_um", "-100", "-100 nm"),
        ("bead_um", "nan", "nan µm"),
        ("step_um", "inf", "inf µm"),
        ("first_um", "nan", "nan µm"),
        ("bead_z_um", "-1", "in the glass"),
        ("side_px", "-5", "-5 px wide"),
        ("side_px", "20", "20 px wide"),
    ],
)
def test_a_number_that_no_recording_has_is_refused_by_its_name(
    bench: BeadBench, name: str, text: str, words: str
) -> None:
    field, before = next(field for field in RECORDING if field.name == name), bench.settings
    with pytest.raises(InputError, match=words):
        bench.record(**{name: field.read(text)})
    assert bench.settings == before


def test_what_cannot_be_searched_is_told(bench: BeadBench) -> None:
    with pytest.raises(InputError, match="outside the folder"):
        bench.open("../beads.tif")
    with pytest.raises(InputError, match="step of 0"):
        bench.record(step_um=0.0)
    assert bench.settings.step_um == 0.1
    bench.record(step_um=100.0)
    assert isinstance(bench.surveyed.wait().error, InputError)
    assert bench.problem is not None and bench.entries == []
    with pytest.raises(InputError, match="no bead is chosen"):
        bench.retrieve()


def test_a_mask_is_found_from_chosen_beads_and_written_with_its_experiment(
    bench: BeadBench, setup: Setup
) -> None:
    bench.click(0, *AT[2])
    bench.find(amplitude=True)
    bench.retrieve()
    found = bench.work.wait()
    assert bench.work.done == bench.work.total > 0
    assert [(place.column, place.row) for place in found.fit.stacks.places] == AT[:2]
    wrapped = torch.exp(1j * (found.phase - true_mask()())).detach()
    assert float(wrapped.mean().abs()) > 0.9

    pixels, positions = slices_picture(picture_of(found))
    assert pixels.shape == (3 * SIDE + 2, 8 * SIDE + 7, 4)
    assert positions == sorted(positions) and positions[0] == pytest.approx(-1.0)
    amplitude = amplitude_of(found)
    assert np.nanmean(amplitude) == pytest.approx(1.0) and np.nanstd(amplitude) > 1e-4
    assert np.isnan(amplitude[0, 0])

    files = bench.write("mask.npy", "found.yaml")
    root = bench.folder.root
    assert {path.name for path in files} == {
        *("mask.npy", "mask.png", "mask.json", "mask.beads.txt", "found.yaml")
    }
    np.testing.assert_allclose(read_mask(root / "mask.npy"), found.phase.numpy(), atol=1e-6)
    assert read_experiment(root / "found.yaml").psf.to_mapping()["transmission"]
    assert (root / "mask.beads.txt").read_text(encoding="utf-8").splitlines()[1:] == ["20 20", "60 22"]
    with pytest.raises(InputError, match="exists"):
        bench.write("mask.npy", "found.yaml")
    with pytest.raises(InputError, match="outside the folder"):
        bench.write("../mask.npy", "")
    assert summary_lines(found)[0].startswith("2 beads, ")
    assert setup.draft.start == "found.yaml" and setup.experiment.mask.kind == "file", "it goes on in Set-up"


def test_a_retrieval_is_stopped(bench: BeadBench) -> None:
    bench.retrieve()
    with pytest.raises(InputError, match="busy"):
        bench.retrieve()
    bench.work.stop()
    assert bench.work.wait() is None and bench.work.state == "stopped"
    with pytest.raises(InputError, match="no mask was found"):
        bench.write("mask.npy", "found.yaml")


def test_the_command_line_says_the_same(bench: BeadBench) -> None:
    bench.record(step_um=-0.1, positions=None, frames_per_slice=1)
    bench.find(defocus="focus", positions=True)
    words = command_line(bench, "experiment.yaml", "mask.npy")
    assert words == (
        "deepstorm3d retrieve-mask beads.tif experiment.yaml --step-um=-0.1 --first-um=-1 --bead-nm 200 "
        "--side-px 21 --defocus focus --fit-positions --out mask.npy"
    )
    bench.surveyed.wait()
    bench.choice.survey = bench.survey
    bench.click(0, *AT[0])
    assert "--beads-at mask.beads.txt" in command_line(bench, "experiment.yaml", "mask.npy")
    lines = python_lines(bench, "experiment.yaml", "mask.npy").splitlines()
    assert lines[2].startswith(
        "recorded = ds.BeadSettings(step_um=-0.1, first_um=-1.0, bead_um=0.2, side_px=21"
    )
    assert lines[3].endswith("recorded, defocus='focus', fit_positions=True)")


def test_numbers_of_the_recording_are_read_in_the_units_of_the_page() -> None:
    fields = {field.name: field for field in RECORDING}
    assert fields["bead_um"].shown(BeadSettings(bead_um=0.1)) == "100"
    assert fields["bead_um"].read("200") == 0.2
    assert fields["step_um"].read(" ") is None and fields["side_px"].read("61") == 61
    for name, text in (("bead_um", ""), ("side_px", "61.5"), ("step_um", "fast")):
        with pytest.raises(InputError, match=fields[name].label.partition(" (")[0]):
            fields[name].read(text)
    assert all(field.help for field in RECORDING)
    assert Unknowns() == Unknowns("mask", False, False)


def test_pictures_have_their_colours_and_leave_out_what_is_not_there() -> None:
    ramp = np.array([[0.0, 1.0, np.nan]])
    pixels = coloured(ramp, 0, 1, "gray")
    assert pixels[0, 0].tolist() == [0, 0, 0, 255] and pixels[0, 1].tolist() == [255, 255, 255, 255]
    assert pixels[0, 2, 3] == 0
    strip = bead_strip(np.random.default_rng(0).random((9, 5, 5)))
    assert strip.shape == (5, 5 * 5 + 4, 4)
    assert as_address(strip).startswith("data:image/png;base64,")
