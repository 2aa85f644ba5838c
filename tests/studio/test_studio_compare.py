"""A list against the truth: known misses and false molecules come back as such, in their own frames."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import write_table, write_truth
from deepstorm3d.jobs.evaluate import evaluate_table
from deepstorm3d.studio.compare.charts import MOST_IN_3D, depth_chart, figures_table, space_points
from deepstorm3d.studio.compare.comparison import Comparison, Question
from deepstorm3d.studio.compare.marks import frame_marks
from deepstorm3d.studio.compare.outcome import FATES, Outcome, Places
from deepstorm3d.studio.compare.same import command_line, python_lines
from deepstorm3d.studio.folder import Folder
from factories import emitters, localizations, write_movie

pytest.importorskip("nicegui", reason="the studio needs NiceGUI")

PIXEL_UM = 0.1
# Molecules of 4 frames, µm; frame 2 is empty.
TRUTH = [[1.0, 1.0, 0.2], [2.0, 1.5, 0.6], [1.0, 2.0, 0.4], [2.5, 2.5, 1.0], [1.5, 1.5, 0.8]]
FRAMES = [0, 0, 1, 1, 3]
# Row 1 of the truth is missed in frame 0, row 4 in frame 3; a false one stands in frame 1.
OFFSET = [0.03, -0.04, 0.05]
FALSE = [0.4, 2.8, 0.5]


def found_rows() -> Localizations:
    kept = torch.tensor([TRUTH[row] for row in (0, 2, 3)]) + torch.tensor(OFFSET)
    return localizations(torch.cat([kept, torch.tensor([FALSE])]), [0, 1, 1, 1])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """``found.hdf5`` and ``truth.csv``."""
    recording = {"pixel_um": PIXEL_UM, "frames": 4, "shape": (32, 32)}
    write_truth(tmp_path / "truth.csv", emitters(TRUTH, FRAMES, 5000.0), **recording)
    write_table(tmp_path / "found.hdf5", found_rows(), **recording)
    return tmp_path


@pytest.fixture
def look() -> Iterator[Comparison]:
    made = Comparison()
    yield made
    made.work.stop()
    while made.work.busy:
        time.sleep(0.01)


def compared(look: Comparison, files: Path, **changes: object) -> Outcome:
    look.use(found=files / "found.hdf5", truth=files / "truth.csv", **changes)
    look.work.wait()
    assert look.error is None
    assert look.outcome is not None
    return look.outcome


def test_known_misses_and_false_rows_are_exactly_these(look: Comparison, files: Path):
    outcome = compared(look, files)
    score = outcome.evaluation.score
    assert (score.tp, score.fn, score.fp) == (3, 2, 1)
    by_fate = {fate: outcome.places[fate] for fate in FATES}
    np.testing.assert_allclose(by_fate["missed"].xyz_um, [TRUTH[1], TRUTH[4]], atol=1e-4)
    assert by_fate["missed"].frame.tolist() == [0, 3]
    np.testing.assert_allclose(by_fate["false"].xyz_um, [FALSE], atol=1e-4)
    assert by_fate["false"].frame.tolist() == [1]
    np.testing.assert_allclose(by_fate["matched"].offset_nm, 3 * [[30, -40, 50]], atol=0.1)
    assert len(by_fate["ignored"]) == 0
    assert score.rmse_lateral_nm == pytest.approx(50, abs=0.1)
    assert (outcome.frames, outcome.shape, outcome.pixel_um) == (4, (32, 32), PIXEL_UM)


def test_marks_of_a_frame_stand_where_the_rows_are(look: Comparison, files: Path):
    outcome = compared(look, files)
    circles, dots, missed = frame_marks(outcome, 0)
    assert (circles.shape, dots.shape, missed.shape) == ("circle", "plus", "square")
    np.testing.assert_allclose([circles.x, circles.y], [[10.0], [10.0]], atol=1e-2)
    np.testing.assert_allclose([dots.x, dots.y], [[10.3], [9.6]], atol=1e-2)
    np.testing.assert_allclose([missed.x, missed.y], [[20.0], [15.0]], atol=1e-2)
    assert "off by +30, -40, +50 nm" in circles.tips[0]
    assert "missed, z 0.600 µm, 5,000 photons" in missed.tips[0]
    crosses = [layer for layer in frame_marks(outcome, 1) if layer.shape == "cross"]
    assert [len(layer.x) for layer in crosses] == [1]
    assert frame_marks(outcome, 2) == []


def test_one_jumps_from_miss_to_miss_and_stays_where_there_is_none(look: Comparison, files: Path):
    compared(look, files)
    assert look.jump(("missed",), 1)
    assert look.frame == 3
    assert not look.jump(("missed",), 1)
    assert look.frame == 3
    assert look.jump(("false",), -1)
    assert look.frame == 1
    assert look.jump(("missed", "false"), -1)
    assert look.frame == 0
    look.show(99)
    assert look.frame == 3


def test_tolerance_shift_and_dim_molecules_change_the_outcome(look: Comparison, files: Path):
    outcome = compared(look, files, tolerance_nm=60.0)
    assert outcome.evaluation.score.tp == 0
    outcome = compared(look, files, tolerance_nm=150.0, min_photons=6000.0)
    # All of the truth, and the three rows of the list that belong to it.
    assert len(outcome.places["ignored"]) == 8
    with pytest.raises(InputError, match="above 0 nm"):
        look.use(tolerance_nm=0.0)
    assert look.asked.rule.tolerance_nm == 150.0


def test_marks_and_errors_are_those_of_the_list_as_it_was_shifted(look: Comparison, files: Path):
    places = torch.rand(60, 3, generator=torch.Generator().manual_seed(2)) * torch.tensor([3.0, 3.0, 1.0])
    frame = (torch.arange(60) // 6).tolist()
    recording = {"pixel_um": PIXEL_UM, "frames": 10, "shape": (32, 32)}
    write_truth(files / "truth.csv", emitters(places, frame), overwrite=True, **recording)
    write_table(files / "found.hdf5", localizations(places + 0.4, frame), overwrite=True, **recording)
    assert compared(look, files, tolerance_nm=5.0).evaluation.score.tp == 0
    outcome = compared(look, files, register=True)
    assert outcome.evaluation.score.tp == 60
    np.testing.assert_allclose(outcome.evaluation.conditions["shift_nm"], 3 * [-400], atol=1)
    assert np.abs(outcome.places["matched"].offset_nm).max() < 1
    circles, pluses = frame_marks(outcome, 4)
    np.testing.assert_allclose(circles.x, pluses.x, atol=0.02)


@pytest.mark.usefixtures("coarse_pictures")
def test_figures_and_picture_are_the_files_of_the_command(look: Comparison, files: Path):
    compared(look, files)
    look.save(files / "c.json", files / "c.png")
    saved = json.loads((files / "c.json").read_text(encoding="utf-8"))
    assert (saved["tp"], saved["fn"], saved["fp"]) == (3, 2, 1)
    assert saved == json.loads(
        json.dumps(evaluate_table(files / "found.hdf5", files / "truth.csv").to_mapping())
    )
    with pytest.raises(InputError, match="exists"):
        look.save(files / "c.json", files / "d.png")
    look.use(truth=None)
    with pytest.raises(InputError, match="no two lists"):
        look.save(files / "e.json", files / "e.png")
    assert look.outcome is None


def test_a_list_without_rows_and_a_file_that_is_none_are_said(look: Comparison, files: Path):
    empty = files / "empty.hdf5"
    write_table(empty, Localizations.empty(), pixel_um=PIXEL_UM, frames=4, shape=(32, 32))
    look.use(found=empty, truth=files / "truth.csv")
    look.work.wait()
    assert look.outcome is not None
    assert look.outcome.evaluation.notes == ["the list has no rows"]
    assert len(look.outcome.places["missed"]) == 5
    broken = files / "broken.hdf5"
    broken.write_bytes(b"nothing")
    look.use(found=broken)
    look.work.wait()
    assert look.outcome is None
    assert isinstance(look.error, InputError)


def test_frames_come_from_the_movie_or_are_empty(look: Comparison, files: Path):
    with pytest.raises(InputError, match="no frame yet"):
        look.counts(0)
    compared(look, files)
    assert not look.counts(0).any()
    assert look.counts(0).shape == (32, 32)
    frames = np.arange(6 * 32 * 32).reshape(6, 32, 32) % 1000
    movie = write_movie(files / "movie.tif", frames, PIXEL_UM)
    look.open_movie(movie)
    assert look.frames == 6
    np.testing.assert_array_equal(look.counts(4), frames[4])
    with pytest.raises(InputError):
        look.open_movie(files / "truth.csv")
    assert look.movie == movie
    look.open_movie(None)
    assert look.frames == 4


def test_charts_hold_the_rows_and_errors(look: Comparison, files: Path):
    outcome = compared(look, files)
    one, everything = (np.frombuffer(space_points(outcome, frame), "<f4").reshape(-1, 4) for frame in (1, None))
    # The last number is the fate: matched, missed, false.
    assert one[:, 3].tolist() == [0, 0, 2]
    assert everything[:, 3].tolist() == [0, 0, 0, 1, 1, 2]
    np.testing.assert_allclose(one[2, :3], FALSE, atol=1e-4)
    curves = {line["name"]: line["data"] for line in depth_chart(outcome.depth)["series"]}
    known = [value for _, value in curves["RMSE of z"] if value is not None]
    np.testing.assert_allclose(known, 50, atol=0.1)
    assert [value for _, value in curves["recall"] if value is not None].count(0) == 2
    text = figures_table(outcome.evaluation)
    assert "<td class='ds-jaccard'>0.500</td>" in text
    assert "<td class='ds-recall'>0.600</td>" in text
    assert space_points(outcome, 2) == b""
    assert depth_chart(None)["series"] == []


def test_of_very_many_rows_an_even_sample_is_drawn_in_3d():
    number = 3 * MOST_IN_3D + 1
    frame = np.arange(number)
    rows = Places(frame, np.zeros((number, 3)), np.ones(number), np.zeros((number, 3)))
    few = rows.sample(MOST_IN_3D)
    assert MOST_IN_3D / 2 < len(few) <= MOST_IN_3D
    assert (np.diff(few.frame) == few.frame[1]).all()
    assert len(rows.at(7)) == 1
    assert len(few.sample(MOST_IN_3D)) == len(few)


def test_command_and_python_do_the_same(files: Path):
    folder = Folder(files)
    asked = Question(folder.root / "found.hdf5", folder.root / "truth.csv")
    assert command_line(asked, folder) == (
        "deepstorm3d evaluate found.hdf5 --truth truth.csv --json comparison.json --plot comparison.png"
    )
    look = Comparison()
    look.use(tolerance_nm=80.0, register=True, min_photons=100.0, pixel_nm=110.0)
    asked = Question(asked.found, asked.truth, look.asked.rule, look.asked.register, look.asked.pixel_nm)
    assert "--tolerance-nm 80 --min-photons 100 --pixel-nm 110 --register" in command_line(asked, folder)
    assert python_lines(asked, folder).endswith(
        "print(ds.evaluate('found.hdf5', 'truth.csv', tolerance_nm=80.0, min_photons=100.0, register=True, "
        "pixel_um=0.11))"
    )
    with pytest.raises(InputError, match="choose them first"):
        command_line(Question(), folder)
