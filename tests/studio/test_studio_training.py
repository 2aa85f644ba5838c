"""The panel "Train and run" without a browser: forms, costs, curves, and what it shows of real runs."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepstorm3d.cli.progress_file import Told
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.tables import read_table
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.explained import Question
from deepstorm3d.studio.runs.record import Run
from deepstorm3d.studio.training.board import RunBoard
from deepstorm3d.studio.training.curves import accuracy_chart, loss_chart, read_curves
from deepstorm3d.studio.training.found_so_far import scale_bar_um
from deepstorm3d.studio.training.localize_form import LocalizeForm
from deepstorm3d.studio.training.train_form import TrainForm
from deepstorm3d.studio.training.words import share_done, told_line
from factories import model_of_noise, tiny_experiment, write_movie
from short_runs import TINY_TRAINING, wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def board(folder: Folder):
    """The panel's state; what it has started is ended."""
    board = RunBoard(folder)
    yield board
    board.cost.stop()
    for run in board.shelf.runs():
        board.shelf.stop(run.id, at_once=True)
        wait_for(lambda id=run.id: not board.shelf.run(id).alive, "the end of a run")


def seen(board: RunBoard, id: str, state: str) -> Run:
    """The run as the board shows it, as soon as it is in that state."""

    def look() -> Run | None:
        _ = board.changes
        return next((run for run in board.runs if run.id == id and run.state == state), None)

    return wait_for(look, f"{id} is {state}")


def steps_done(board: RunBoard) -> int:
    """Of the run that is looked at."""
    return 0 if board.run is None or board.run.told is None else board.run.told.done


# The form for a training.


def test_the_command_of_a_training_has_what_the_form_says(folder: Folder) -> None:
    write_experiment(preset("quickstart"), folder.root / "mine.yaml")
    form = TrainForm(
        experiment="mine.yaml", out="day 1/model", steps=50, validate_every=10, device="cpu", overwrite=True
    )
    form = form.changed(from_model="tetrapod", settings="training.batch=4 'network.dilations=[1, 2]'")
    assert form.arguments(folder) == (
        *("train", "mine.yaml", "--out", "day 1/model.pt", "--from", "tetrapod"),
        *("--set", "training.steps=50", "--set", "training.validate_every=10"),
        *("--set", "training.batch=4", "--set", "network.dilations=[1, 2]", "--device", "cpu", "--overwrite"),
    )
    read = form.read(folder)
    assert (read.training.steps, read.training.batch, read.network.dilations) == (50, 4, (1, 2))  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"experiment": ""}, "choose an experiment"),
        ({"experiment": "nowhere.yaml"}, "there is no 'nowhere.yaml'"),
        ({"experiment": "../mine.yaml"}, "outside the folder"),
        ({"out": "../model.pt"}, "outside the folder"),
        ({"out": " "}, "give the model a file name"),
        ({"out": "missing/model.pt"}, "does not exist"),
        ({"out": "there.pt"}, "exists"),
        ({"out": "begun.pt"}, "unfinished training"),
        ({"from_model": "nowhere.pt"}, "there is no 'nowhere.pt'"),
        ({"from_model": "../there.pt"}, "outside the folder"),
        ({"settings": "training.batch"}, "write key=value"),
        ({"settings": "training.batch='4"}, "cannot be read"),
        ({"settings": "training.patches=4"}, "patches"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_training_that_could_not_start_is_refused_in_words(
    folder: Folder, entries: dict[str, Any], words: str
) -> None:
    (folder.root / "there.pt").touch()
    (folder.root / "begun.checkpoint").touch()
    form = TrainForm(experiment="quickstart")
    form.check(folder)
    with pytest.raises(InputError, match=words):
        form.changed(**entries).check(folder)


def test_the_cost_is_measured_once_for_any_length(board: RunBoard) -> None:
    board.fill(experiment="quickstart", settings=" ".join(TINY_TRAINING), device="cpu", steps=100)
    question = board.train.question(board.folder)
    assert board.cost.text(question, 100, 50) == ""
    before = board.changes
    board.ask_cost()
    board.cost.wait(300)
    assert board.changes > before
    text = board.cost.text(question, 100, 50)
    assert text.startswith("about ") and "on cpu" in text
    board.fill(steps=1_000_000)
    assert board.train.question(board.folder) == question
    assert " h " in board.cost.text(question, 1_000_000, 1_000_000)
    board.fill(settings="training.batch=1")
    assert board.cost.text(board.train.question(board.folder), 100, 50) == ""


def test_an_experiment_that_is_wrong_is_no_cost_but_an_error(board: RunBoard) -> None:
    board.fill(experiment="quickstart", settings="training.batch=none")
    board.ask_cost()
    board.cost.wait(60)
    question = board.train.question(board.folder)
    assert isinstance(board.cost.error(question), InputError)
    assert board.cost.text(question, 10, 10) == ""


# The form for a movie.


def test_the_form_takes_over_what_the_movie_panel_shows(folder: Folder) -> None:
    (folder.root / "movie.tif").touch()
    asked = Question(
        movie=folder.root / "movie.tif",
        roi=(1, 2, 30, 40),
        prepared=Prepared(flip="vertical", transpose=True, subtract="median"),
        pixel_um=0.11,
        model="tetrapod",
        camera=(("gain", 2.2), ("baseline", 100)),
        threshold=0.3,
        refine=False,
    )
    form = LocalizeForm(frames="0:10", separate=True).taken_from(asked, folder)
    assert form.arguments(folder) == (
        *("localize", "movie.tif", "--model", "tetrapod", "--out", "found.hdf5"),
        *("--camera", "gain=2.2", "--camera", "baseline=100", "--threshold", "0.3", "--frames", "0:10"),
        *("--roi", "1,2,30,40", "--flip", "vertical", "--subtract", "median", "--pixel-nm", "110"),
        *("--no-refine", "--separate", "--transpose"),
    )
    trained = dataclasses.replace(asked, model=str(folder.root / "day 1" / "mine.pt"))
    assert LocalizeForm().taken_from(trained, folder).model == "day 1/mine.pt"
    with pytest.raises(InputError, match="no movie is open"):
        LocalizeForm().taken_from(Question(), folder)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"movie": ""}, "no file is chosen"),
        ({"movie": "notes.txt"}, "notes.txt"),
        ({"model": ""}, "choose a model"),
        ({"model": "mine.pt"}, "there is no 'mine.pt'"),
        ({"out": "../found.hdf5"}, "outside the folder"),
        ({"out": "found.h5"}, r"must be \.hdf5 or \.csv"),
        ({"out": "there.hdf5"}, "exists"),
        ({"out": "begun.hdf5"}, "interrupted run"),
        ({"frames": "ten"}, "write A:B"),
        ({"roi": "1,2"}, "X0,Y0,X1,Y1"),
        ({"camera": "gain"}, "write key=value"),
    ],
)
def test_a_movie_that_could_not_be_localized_is_refused_in_words(
    folder: Folder, entries: dict[str, Any], words: str
) -> None:
    write_movie(folder.root / "movie.tif", np.zeros((2, 20, 20), np.uint16))
    for name in ("there.hdf5", "begun.part.hdf5", "notes.txt"):
        (folder.root / name).touch()
    form = LocalizeForm(movie="movie.tif", model="tetrapod")
    form.check(folder)
    with pytest.raises(InputError, match=words):
        form.changed(**entries).check(folder)


# What is shown of runs.


def test_a_training_is_stopped_resumed_and_finished_and_every_board_shows_the_same(board: RunBoard) -> None:
    other = RunBoard(board.folder)
    settings = " ".join((*TINY_TRAINING, "training.checkpoint_every=10"))
    board.fill(
        experiment="quickstart", out="mine.pt", steps=200, validate_every=100, settings=settings, device="cpu"
    )
    id = board.start_training().id
    assert board.selected == id and board.run is not None and board.run.title == "Train mine.pt"
    wait_for(lambda: board.changes and steps_done(board) >= 12, "12 steps")
    board.stop(id)
    stopped = seen(board, id, "stopped")
    assert seen(other, id, "stopped") == stopped and other.selected == id
    assert stopped.told is not None and 12 <= stopped.told.done < 200
    files = board.training_files(stopped)
    assert files is not None
    assert [step for step, _ in read_curves(files.metrics).loss][:1] == [10.0]

    other.resume(id)
    finished = seen(board, id, "finished")
    curves = read_curves(files.metrics)
    assert [step for step, _ in curves.loss] == sorted({step for step, _ in curves.loss})
    assert curves.loss[-1][0] == 200 and [step for step, _ in curves.jaccard] == [100, 200]
    assert files.preview.exists() and (board.folder.root / "mine.pt").exists()
    assert share_done(finished) == 1.0 and told_line(finished).startswith("finished after ")
    board.forget(id)
    assert board.runs == () and board.run is None
    assert (board.folder.root / "mine.pt").exists()


def test_what_a_movie_gives_is_drawn_as_it_comes_and_is_whole_at_the_end(board: RunBoard) -> None:
    root = board.folder.root
    counts = np.random.default_rng(0).poisson(20, (8, 60, 80)).astype(np.uint16)
    model = model_of_noise(tiny_experiment(), torch.from_numpy(counts[:1].astype(np.float32)), values=40)
    save_model_file(model, root / "noise.pt")
    write_movie(root / "m.tif", counts)
    board.fill_localize(movie="m.tif", model="noise.pt", refine=False, roi="10,0,70,60", device="cpu")
    id = board.start_localizing().id
    seen(board, id, "finished")
    assert board.run is not None
    found = board.found(board.run)
    assert found is not None
    drawn = wait_for(lambda: found.drawn if board.changes and found.drawn else None, "the picture")
    found.wait(60)
    drawn = found.drawn or drawn
    table = read_table(root / "found.hdf5")
    assert drawn.rows == len(table) > 0 and drawn.frames == 8
    assert drawn.z_range_um == tiny_experiment().z_um
    with Image.open(io.BytesIO(drawn.png)) as picture:
        pixels = np.asarray(picture)
    # The region is 60 × 60 camera pixels.
    assert abs(pixels.shape[0] - pixels.shape[1]) <= 1
    assert (pixels.max(axis=2) > 0).sum() > len(table) / 2
    assert found.error is None


def test_a_text_list_has_no_picture_while_it_grows(board: RunBoard) -> None:
    assert board.found(a_run(arguments=("localize", "m.tif", "--out", "found.csv"))) is None
    assert board.found(a_run(arguments=("train", "x", "--out", "m.pt"))) is None
    assert board.training_files(a_run(arguments=("localize", "m.tif", "--out", "found.csv"))) is None


def a_run(**changes: Any) -> Run:
    made = Run("20260101-000000-000", "t", ("train",), 100.0, "running", None, None, "", 0)
    return dataclasses.replace(made, **changes)


def test_a_run_is_told_in_words() -> None:
    told = Told(1200, 8000, "steps", "loss 0.5", 2.0, 3400.0, "")
    assert told_line(a_run()) == "starting" and share_done(a_run()) is None
    assert told_line(a_run(told=told)) == "1,200 of 8,000 steps · 2 per second · 56 min 40 s left · loss 0.5"
    assert share_done(a_run(told=told)) == 0.15
    assert told_line(a_run(told=told, state="stopping")).startswith("stopping ")
    ended = a_run(told=told, state="failed", ended=165.0)
    assert told_line(ended) == "failed after 1 min 05 s · 1,200 of 8,000 steps · loss 0.5"
    assert told_line(a_run(state="lost")) == "ended without a word"
    doubtful = a_run(state="finished", ended=103.0, warnings=("the network found none of 5 molecules",))
    assert told_line(doubtful) == "finished after 3 s, with a warning"


def test_curves_come_from_whole_lines_and_go_into_charts(tmp_path: Path) -> None:
    log = tmp_path / "m.metrics.jsonl"
    assert not read_curves(log)
    lines = [
        {"step": 10, "loss": 5.0},
        {"step": 20, "loss": 4.0, "validation_loss": 4.5, "jaccard": 0.25, "rmse_lateral_nm": 30.0},
        {"step": 30, "loss": 3.0, "validation_loss": 4.0, "jaccard": None, "rmse_axial_nm": 60.0},
    ]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 40, "lo')
    curves = read_curves(log)
    assert curves.loss == [(10, 5), (20, 4), (30, 3)]
    assert (curves.jaccard, curves.lateral_nm, curves.axial_nm) == ([(20, 0.25)], [(20, 30)], [(30, 60)])
    training, validation = loss_chart(curves)["series"]
    assert training["data"] == [[10, 5], [20, 4], [30, 3]] and validation["data"] == [[20, 4.5], [30, 4.0]]
    assert [series["yAxisIndex"] for series in accuracy_chart(curves)["series"]] == [0, 1, 1]


@pytest.mark.parametrize(("width", "bar"), [(100.0, 20.0), (13.0, 2.0), (3.0, 0.5), (0.4, 0.05)])
def test_a_scale_bar_is_a_round_length_of_a_fifth_at_most(width: float, bar: float) -> None:
    assert scale_bar_um(width) == pytest.approx(bar)
