"""Localizing a recording that is followed: what is lost of it is told, and what was found is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableWriter, read_list, read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from factories import model_of_noise, tiny_experiment, write_movie

PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def model() -> ModelFile:
    frame = torch.poisson(torch.full((1, 48, 40), 20.0), generator=torch.Generator().manual_seed(3))
    return model_of_noise(tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2))), frame)


@pytest.fixture
def pipeline(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Its blocks have two frames."""
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * 48 * 40)
    return load_pipeline(model, refine=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Twelve single frames without the sixth."""
    folder = tmp_path / "run"
    folder.mkdir()
    counts = np.random.default_rng(0).poisson(20, (12, 48, 40)).astype(np.uint16)
    for number in set(range(12)) - {5}:
        write_movie(folder / f"run_{number:03d}.tif", counts[number, None])
    return folder


def followed(
    run: Path, frames: tuple[int | None, int | None] = (None, None), *, partial: bool = False
) -> Excerpt:
    return Excerpt(run, frames, follow_s=PATIENCE_S, partial=partial)


def expected(run: Path, pipeline: Pipeline) -> bytes:
    """The list of what is there."""
    out = run.with_name("there.csv")
    localize_movie(Excerpt(run, partial=True), pipeline, ListFile(out))
    return out.read_bytes()


def test_frames_behind_a_gap_are_told_and_those_before_it_kept(
    run: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    out = tmp_path / "o.csv"
    told = r"frame 5 is missing; 6 whole frames lie behind .* kept in o\.part\.csv, and `resume=True` goes on"
    with pytest.raises(InputError, match=told) as caught:
        localize_movie(followed(run), pipeline, ListFile(out))
    assert "`partial=True`" in caught.value.remedy
    assert not out.exists() and (tmp_path / "o.part.csv").exists()
    with pytest.raises(InputError, match="frame 5 is missing"):
        localize_movie(followed(run), pipeline, ListFile(out, resume=True))
    summary = localize_movie(followed(run, partial=True), pipeline, ListFile(out, resume=True))
    assert summary.complete and (summary.frames, summary.earlier) == (11, 5)
    assert out.read_bytes() == expected(run, pipeline)


def test_a_run_goes_on_where_the_missing_frame_came(run: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    with pytest.raises(InputError, match="frame 5 is missing"):
        localize_movie(followed(run), pipeline, ListFile(out))
    (run / "run_005.tif").write_bytes((run / "run_004.tif").read_bytes())
    summary = localize_movie(followed(run), pipeline, ListFile(out, resume=True))
    assert summary.frames == 12 and set(read_table(out).frame.tolist()) == set(range(12))


def test_a_gap_is_gone_past_where_that_is_wanted(run: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    summary = localize_movie(followed(run, partial=True), pipeline, ListFile(out))
    assert summary.frames == 11 and any("frame 5 is missing" in told for told in summary.warnings)
    assert out.read_bytes() == expected(run, pipeline)


def come(run: Path) -> None:
    """The sixth frame, late, and one more at the end."""
    for number in (5, 12):
        (run / f"run_{number:03d}.tif").write_bytes((run / "run_004.tif").read_bytes())


@pytest.mark.parametrize("ending", ["csv", "hdf5"])
def test_frames_that_come_after_they_were_given_up_are_told(
    ending: str, run: Path, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, append = tmp_path / f"o.{ending}", TableWriter.append

    def append_then_come(self: TableWriter[Any], rows: Any, *, frames_done: int) -> None:
        append(self, rows, frames_done=frames_done)
        if frames_done == 8:
            come(run)

    monkeypatch.setattr(TableWriter, "append", append_then_come)
    summary = localize_movie(followed(run, partial=True), pipeline, ListFile(out))
    assert summary.frames == 12 and 5 not in read_table(out).frame.tolist()
    assert sum("frame 5 came too late" in told for told in summary.warnings) == 1
    if ending == "hdf5":
        assert read_list(out)[1].provenance["given_up"] == [[5, 6]]
    assert not list(tmp_path.glob("o.part*"))


@pytest.mark.parametrize("follow_s", [PATIENCE_S, None])
def test_frames_that_come_while_a_run_is_stopped_are_told(
    follow_s: float | None, run: Path, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, append = tmp_path / "o.csv", TableWriter.append

    def append_then_fail(self: TableWriter[Any], rows: Any, *, frames_done: int) -> None:
        append(self, rows, frames_done=frames_done)
        if frames_done == 8:
            raise InputError("the power fails")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="the power fails"):
        patch.setattr(TableWriter, "append", append_then_fail)
        localize_movie(followed(run, partial=True), pipeline, ListFile(out))
    come(run)
    again = Excerpt(run, follow_s=follow_s, partial=True)
    summary = localize_movie(again, pipeline, ListFile(out, resume=True))
    assert summary.complete and 5 not in read_table(out).frame.tolist()
    assert sum("frame 5 came too late" in told for told in summary.warnings) == 1
    anew = localize_movie(again, pipeline, ListFile(out, overwrite=True))
    assert anew.frames == 13 and not any("too late" in told for told in anew.warnings)


def test_a_range_before_the_gap_needs_nothing_behind_it(run: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    summary = localize_movie(followed(run, (0, 5)), pipeline, ListFile(tmp_path / "o.csv"))
    assert summary.complete and summary.frames == 5
    with pytest.raises(InputError, match="frame 5 is missing") as caught:
        localize_movie(followed(run, (8, None)), pipeline, ListFile(tmp_path / "p.csv"))
    assert "kept" not in str(caught.value) and not list(tmp_path.glob("p.*"))


def test_an_end_that_is_cut_and_a_range_that_is_not_reached_are_told(
    run: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    os.truncate(run / "run_011.tif", 300)
    summary = localize_movie(followed(run, (0, 200), partial=True), pipeline, ListFile(tmp_path / "o.csv"))
    told = " ".join(summary.warnings)
    assert summary.frames == 10 and "truncated" in told and "run_011.tif" in told
    assert "the recording ended at frame 11; frames 0:200 were asked for" in told


def test_a_range_behind_the_end_is_refused(run: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"frames 50: are not in the movie, which has frames 0:12"):
        localize_movie(followed(run, (50, None), partial=True), pipeline, ListFile(tmp_path / "o.csv"))
    assert not list(tmp_path.glob("o.*"))


def test_in_memory_what_was_found_before_a_gap_is_returned_with_a_warning(
    run: Path, model: ModelFile, tmp_path: Path
) -> None:
    save_model_file(model, tmp_path / "model.pt")
    loaded = ds.load_model(tmp_path / "model.pt", device="cpu")
    with pytest.warns(ds.DoubtfulResult) as told:
        found = loaded.localize(followed(run), refine=False)
    assert any("6 whole frames lie behind" in str(warning.message) for warning in told)
    assert set(found.frame.tolist()) == set(range(5))
    with pytest.raises(InputError, match="6 whole frames lie behind"):
        loaded.localize(followed(run, (8, None)), refine=False)


def test_the_command_ends_as_for_any_other_movie_with_a_gap(
    run: Path, model: ModelFile, tmp_path: Path
) -> None:
    save_model_file(model, tmp_path / "model.pt")
    options = ["--model", tmp_path / "model.pt", "--out", tmp_path / "o.csv", "--no-refine", "--device", "cpu"]
    words = [str(word) for word in ("localize", run, *options)]
    refused = CliRunner().invoke(app, words)
    ended = CliRunner().invoke(app, [*words, "--follow", str(PATIENCE_S)])
    assert refused.exit_code == ended.exit_code == 2
    for told in ("6 whole frames lie behind", "--partial", "--resume"):
        assert told in " ".join(ended.output.split())
    gone_on = CliRunner().invoke(app, [*words, "--follow", str(PATIENCE_S), "--partial", "--resume"])
    assert gone_on.exit_code == 0 and (tmp_path / "o.csv").exists()
