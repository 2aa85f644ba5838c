"""Runs that are stopped within a block of frames, and runs over frames that no model explains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.localizing import watching
from deepstorm3d.localizing.cluster import _result
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.simulator import Simulator
from factories import tiny_experiment, untrained_model, write_movie
from watchers import Recorder

SIZE, FRAMES = (40, 48), 4
PLACES = torch.tensor([[1.2, 1.3, 0.2], [3.9, 1.2, 0.9], [2.6, 3.2, 0.6]])


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """A network that has learnt nothing and proposes nothing: the fit finds the molecules."""
    return load_pipeline(untrained_model(tiny_experiment(), 0.9), threshold=0.999)


@pytest.fixture
def movie(pipeline: Pipeline, tmp_path: Path) -> Path:
    """Four frames, a block of their own; the last two are recorded with ten times the gain."""
    rows = torch.arange(3 * FRAMES)
    truth = Emitters(PLACES.repeat(FRAMES, 1), rows // 3, torch.full((len(rows),), 4000.0), rows)
    simulator = Simulator(pipeline.psf, pipeline.camera, Field(*SIZE, pipeline.psf.pixel_um))
    with torch.no_grad():
        mean = simulator.expected(truth, torch.full((FRAMES, *SIZE), 20.0))
    counts = torch.poisson(mean, generator=torch.Generator().manual_seed(1)).numpy()
    counts[2:] *= 10
    path = tmp_path / "m.tif"
    write_movie(path, counts.astype(np.uint16), pipeline.psf.pixel_um)
    return path


class UntilTheFirstFrame(Recorder):
    """Stops the work when some frames of a block are done, but not all."""

    @property
    def stopped(self) -> bool:
        return any(0 < done < total for done, total, _ in self.steps)


def test_a_run_stopped_within_a_block_goes_on_to_the_same_table(
    pipeline: Pipeline, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_REPORT_S", 0.0)
    whole = localize_movie(Excerpt(movie), pipeline, ListFile(tmp_path / "whole.csv"))
    assert whole.localizations == 3 * FRAMES
    stopped = localize_movie(
        Excerpt(movie), pipeline, ListFile(tmp_path / "cut.csv"), watch=UntilTheFirstFrame()
    )
    # It came out of the middle of its only block.
    assert not stopped.complete
    assert stopped.frames == 0
    assert not (tmp_path / "cut.csv").exists()
    resumed = localize_movie(Excerpt(movie), pipeline, ListFile(tmp_path / "cut.csv", resume=True))
    assert resumed.complete
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".hdf5"])
def test_an_error_before_any_frame_is_done_leaves_nothing_and_a_later_one_what_is_done(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._FITTED_PIXELS", 2 * SIZE[0] * SIZE[1])
    frames = np.full((FRAMES, *SIZE), 20.0, np.float32) + np.random.default_rng(0).random((FRAMES, *SIZE))
    excerpt = Excerpt(tmp_path / "m.npy", pixel_um=pipeline.psf.pixel_um)
    for bad, left in ((1, False), (3, True)):
        wrong = frames.copy()
        wrong[bad, 5, 5] = np.nan
        np.save(tmp_path / "m.npy", wrong)
        with pytest.raises(InputError, match=f"frame {bad} has 1 of"):
            localize_movie(excerpt, pipeline, ListFile(tmp_path / f"found{suffix}"))
        assert bool(list(tmp_path.glob("found*"))) == left


@pytest.mark.parametrize("stop", [2, 3, FRAMES - 1])
def test_a_run_that_went_on_tells_of_its_whole_list(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """All molecules shine in the frames before it was stopped: that is no list without molecules."""
    monkeypatch.setattr("deepstorm3d.localizing.streaming._FITTED_PIXELS", SIZE[0] * SIZE[1])
    rows = torch.arange(6)
    truth = Emitters(PLACES.repeat(2, 1), rows // 3, torch.full((6,), 4000.0), rows)
    simulator = Simulator(pipeline.psf, pipeline.camera, Field(*SIZE, pipeline.psf.pixel_um))
    with torch.no_grad():
        mean = simulator.expected(truth, torch.full((FRAMES, *SIZE), 20.0))
    counts = torch.poisson(mean, generator=torch.Generator().manual_seed(2))
    excerpt, out = Excerpt(write_movie(tmp_path / "m.tif", counts, pipeline.psf.pixel_um)), tmp_path / "f.csv"

    class AfterFrames(Recorder):
        @property
        def stopped(self) -> bool:
            return bool(self.steps) and self.steps[-1][0] >= stop

    stopped = localize_movie(excerpt, pipeline, ListFile(out), over_frames=False, watch=AfterFrames())
    assert (stopped.complete, stopped.frames, stopped.localizations) == (False, stop, 6)
    resumed = localize_movie(excerpt, pipeline, ListFile(out, resume=True), over_frames=False)
    assert (resumed.complete, resumed.frames, resumed.localizations) == (True, FRAMES, len(read_table(out)))
    assert resumed.localizations == 6 and resumed.per_frame == 6 / FRAMES
    assert not any("no molecule was found" in text for text in resumed.warnings)


def test_frames_that_are_not_explained_are_counted_and_told_at_once_and_at_the_end(
    pipeline: Pipeline, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._FITTED_PIXELS", SIZE[0] * SIZE[1])
    watch = Recorder()
    summary = localize_movie(Excerpt(movie), pipeline, ListFile(tmp_path / "o.csv"), watch=watch)
    (told,) = (text for text in watch.messages if "not explained" in text)
    assert told.startswith("frames 2 to 2: 1 of 1 frames are not explained")
    (warning,) = (text for text in summary.warnings if "not explained" in text)
    assert warning.startswith("2 of 4 frames are not explained by the model")
    assert "gain" in warning
    # The molecules themselves are sure.
    found = read_table(tmp_path / "o.csv")
    assert torch.bincount(found.frame).tolist() == [3] * FRAMES
    quality = [float(found.fit_quality[found.frame == frame].median()) for frame in range(FRAMES)]
    assert max(quality[:2]) < 1.5
    assert min(quality[2:]) > 5


def test_good_frames_are_not_told(pipeline: Pipeline, movie: Path, tmp_path: Path) -> None:
    watch = Recorder()
    summary = localize_movie(Excerpt(movie, (0, 2)), pipeline, ListFile(tmp_path / "o.csv"), watch=watch)
    assert not [text for text in [*watch.messages, *summary.warnings] if "not explained" in text]


def test_progress_is_told_within_a_block(
    pipeline: Pipeline, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_REPORT_S", 0.0)
    watch = Recorder()
    localize_movie(Excerpt(movie, (1, 4)), pipeline, ListFile(tmp_path / "o.csv"), watch=watch)
    told = [step[:2] for step in watch.steps]
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, 3), (3, 3))
    assert {done for done, _ in told} == {0, 1, 2, 3}


class Never:
    """What a worker will give, some day."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def result(self) -> Any:
        assert self.error is not None, "the result is asked for before it is there"
        raise self.error

    def done(self) -> bool:
        return self.error is not None

    @property
    def status(self) -> str:
        return "error" if self.done() else "pending"

    def add_done_callback(self, call: Any) -> None:
        if self.done():
            call(self)


def test_waiting_for_workers_can_be_stopped_and_goes_on_being_told() -> None:
    watch = Recorder(stop_at=5)
    with pytest.raises(Interrupted):
        _result(Never(), watch, lambda: 1)
    assert watch.asked == 5
    assert len(watch.steps) == 4
    # A worker's own failure is not taken for patience.
    with pytest.raises(TimeoutError, match="disk"):
        _result(Never(TimeoutError("disk")), Recorder(), lambda: 1)
