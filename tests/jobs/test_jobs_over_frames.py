"""`localize` over frames: when it does, the same list however the work was cut, and what a failure leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tifffile
import torch

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.field import Field
from deepstorm3d.fitting.sites.kept import KeptSites
from deepstorm3d.fitting.sites.windows import SitesOverMovie, Step
from deepstorm3d.io.tables import read_header, read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.second_list import SecondList
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing import over_frames, streaming
from deepstorm3d.localizing.cluster import cluster_workers
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline
from deepstorm3d.localizing.recipe import Recipe
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.watch import Watcher, advance
from factories import tiny_experiment, untrained_model, write_movie
from watchers import Recorder

FRAMES, SIZE, WINDOW = 14, (40, 48), 4
# The program with short windows, killed in the second pass.
PROGRAM = (
    f"from deepstorm3d.localizing import over_frames; over_frames.WINDOW_FRAMES = {WINDOW};"
    "from deepstorm3d.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of blinking molecules, and a model that finds them by pursuit."""
    folder = tmp_path_factory.mktemp("blinking")
    experiment = tiny_experiment(frame_px=SIZE)
    scene = experiment.scene(None)
    resting = scene.emitters.with_(
        count=FixedCount(count=2),
        photons=FixedPhotons(photons=20_000.0),
        blinking=ExponentialBlinking(mean_frames=4.0),
    )
    experiment = experiment.with_(scenes={"main": scene.with_(emitters=resting)})
    counts, _ = ds.simulate(experiment, FRAMES, seed=3)
    write_movie(folder / "m.tif", counts, experiment.microscope.pixel_um)
    save_model_file(untrained_model(experiment, 0.5), folder / "model.pt")
    return folder


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    return Recipe(str(folder / "model.pt"), method="pursuit").load()


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_frames, "WINDOW_FRAMES", WINDOW)


@pytest.fixture(scope="module")
def whole(folder: Path, pipeline: Pipeline) -> Path:
    """The list of an undisturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(over_frames, "WINDOW_FRAMES", WINDOW)
        localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(folder / "whole.csv"))
    return folder / "whole.csv"


def test_the_frames_done_are_told_within_a_window_too_and_the_work_can_end_there() -> None:
    class InTiles:
        def steps(self, _blocks: object, kept: KeptSites, watch: Watcher) -> Iterator[Step]:
            for frame in (12, 13):
                advance(watch, frame, 14)
            yield Step(14, over_frames.rows_left(kept), kept)

    def second(watch: Watcher) -> over_frames.SecondPass:
        source: Any = SimpleNamespace(span=(10, 14), last=14)
        over, light = cast("SitesOverMovie", InTiles()), cast("Any", None)
        return over_frames.SecondPass(source, over, light, [], (0.0, 0.0, 0.0), watch)

    watch = Recorder()
    list(second(watch)(Localizations.empty()))
    assert watch.steps == [(2, 4, "over frames"), (3, 4, "over frames"), (4, 4, "over frames")]
    with pytest.raises(Interrupted):
        list(second(Recorder(stop_at=2))(Localizations.empty()))


def test_the_list_says_that_and_why_it_was_fitted_over_frames(
    folder: Path, pipeline: Pipeline, whole: Path
) -> None:
    watch = Recorder()
    out = folder / "told.hdf5"
    summary = localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(out), watch=watch)
    found, header = read_table(out), read_header(out)
    assert found.molecule is not None and len(found.molecule.unique()) < len(found)
    assert summary.complete and summary.localizations == len(found) and summary.frames == FRAMES
    told = header.provenance["over_frames"]
    assert told["fitted"] is True and told["lasting"]["partners"] > 0.3 > 0.1 > told["lasting"]["chance"]
    assert any(text.startswith("fitted over frames: ") and "% by chance" in text for text in watch.messages)
    assert watch.steps[-1] == (FRAMES, FRAMES, "over frames")
    # The two formats round differently.
    other = read_table(whole)
    assert torch.equal(found.frame, other.frame) and other.molecule is not None
    assert torch.equal(found.molecule, other.molecule)
    torch.testing.assert_close(found.xyz, other.xyz, rtol=0, atol=1e-4)
    assert not list(folder.glob("told.part*"))


def test_single_frames_on_demand(folder: Path, pipeline: Pipeline, whole: Path) -> None:
    out = folder / "single.hdf5"
    localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(out), over_frames=False)
    assert read_table(out).molecule is None
    told = read_header(out).provenance["over_frames"]
    assert told == {"fitted": False, "reason": "single frames, as asked", "lasting": None}


@pytest.mark.parametrize("frames", [1, 7])
def test_the_blocks_change_nothing(
    folder: Path, pipeline: Pipeline, whole: Path, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_FITTED_PIXELS", frames * SIZE[0] * SIZE[1])
    out = folder / f"blocks{frames}.csv"
    localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(out))
    assert out.read_bytes() == whole.read_bytes()


def test_threads_change_nothing(folder: Path, pipeline: Pipeline, whole: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3 if before != 3 else 2)
    try:
        localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(folder / "threads.csv"))
    finally:
        torch.set_num_threads(before)
    assert (folder / "threads.csv").read_bytes() == whole.read_bytes()


class WithinTheSecondPass(Recorder):
    """Stops the work when some windows of frames are fitted over frames."""

    @property
    def stopped(self) -> bool:
        return any(note == "over frames" and done >= 2 * WINDOW for done, _, note in self.steps)


def test_stopped_in_the_second_pass_and_resumed(
    folder: Path, pipeline: Pipeline, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    excerpt, out = Excerpt(folder / "m.tif"), folder / "cut.csv"
    summary = localize_movie(excerpt, pipeline, ListFile(out), watch=WithinTheSecondPass())
    assert not summary.complete and not out.exists()
    assert (folder / "cut.part.csv").exists() and (folder / "cut.part.molecules.state").exists()
    fitted: list[int] = []
    windows = over_frames.OverFrames._windows

    def counted(self: Any, found: Any, begin: int) -> Any:
        for block in windows(self, found, begin):
            fitted.append(block.begin)
            yield block

    monkeypatch.setattr(over_frames.OverFrames, "_windows", counted)
    summary = localize_movie(excerpt, pipeline, ListFile(out, resume=True))
    assert summary.complete and summary.frames == FRAMES
    assert fitted == [8, 12]
    assert out.read_bytes() == whole.read_bytes()
    assert not list(folder.glob("cut.part*"))


def test_ended_between_the_rows_and_what_is_kept_of_them(
    folder: Path, pipeline: Pipeline, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    excerpt, out, calls = Excerpt(folder / "m.tif"), folder / "between.csv", []
    save = SecondList._save

    def fails(self: Any, step: Any, rows: int) -> None:
        calls.append(step.end)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(self, step, rows)

    with monkeypatch.context() as patch:
        patch.setattr(SecondList, "_save", fails)
        with pytest.raises(KeyboardInterrupt):
            localize_movie(excerpt, pipeline, ListFile(out))
    localize_movie(excerpt, pipeline, ListFile(out, resume=True))
    assert out.read_bytes() == whole.read_bytes()


def test_a_damaged_state_costs_the_second_pass_and_no_more(
    folder: Path, pipeline: Pipeline, whole: Path
) -> None:
    excerpt, out = Excerpt(folder / "m.tif"), folder / "damaged.csv"
    localize_movie(excerpt, pipeline, ListFile(out), watch=WithinTheSecondPass())
    state = folder / "damaged.part.molecules.state"
    state.write_bytes(state.read_bytes()[:100])
    localize_movie(excerpt, pipeline, ListFile(out, resume=True))
    assert out.read_bytes() == whole.read_bytes()


def test_without_memory_the_single_frames_are_kept(
    folder: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    excerpt, out = Excerpt(folder / "m.tif"), folder / "memory.csv"

    def no_memory(*_: object) -> Any:
        raise MemoryError("not enough memory: you tried to allocate 9 TB")

    with monkeypatch.context() as patch:
        patch.setattr(SitesOverMovie, "steps", no_memory)
        with pytest.raises(InputError, match=r"more memory than is free.*single frames is kept; `resume=True`"):
            localize_movie(excerpt, pipeline, ListFile(out))
    assert not out.exists()
    localize_movie(excerpt, pipeline, ListFile(out, resume=True), over_frames=False)
    localize_movie(excerpt, pipeline, ListFile(folder / "alone.csv"), over_frames=False)
    assert out.read_bytes() == (folder / "alone.csv").read_bytes()
    assert not list(folder.glob("memory.part*"))


def test_without_a_joint_fit_it_is_said_where_it_was_asked_for(folder: Path) -> None:
    pipeline = Recipe(str(folder / "model.pt"), method="mle").load()
    excerpt = Excerpt(folder / "m.tif", (0, 4))
    for wanted, sentences in ((True, 1), (None, 0)):
        summary = localize_movie(
            excerpt, pipeline, ListFile(folder / "mle.csv", overwrite=True), over_frames=wanted
        )
        assert sum("a fit over frames needs the joint fit" in text for text in summary.warnings) == sentences
        assert read_table(folder / "mle.csv").molecule is None


def test_beads_that_never_go_dark_are_one_molecule_each_until_they_jump(
    folder: Path, pipeline: Pipeline
) -> None:
    """Three beads, one of which jumps by 0.2 µm after half of the frames."""
    frame = torch.arange(FRAMES).repeat_interleave(3)
    place = torch.tensor([[1.2, 1.3, 0.2], [3.9, 1.2, 0.9], [2.6, 3.2, 0.6]]).repeat(FRAMES, 1)
    place[(frame >= FRAMES // 2) & (torch.arange(3 * FRAMES) % 3 == 1), 0] += 0.2
    truth = Emitters(place, frame, torch.full((len(frame),), 4000.0), torch.arange(len(frame)) % 3)
    simulator = Simulator(pipeline.psf, pipeline.camera, Field(*SIZE, pipeline.psf.pixel_um))
    with torch.no_grad():
        mean = simulator.expected(truth, torch.full((FRAMES, *SIZE), 20.0))
    counts = torch.poisson(mean, generator=torch.Generator().manual_seed(1))
    write_movie(folder / "beads.tif", counts, pipeline.psf.pixel_um)
    localize_movie(Excerpt(folder / "beads.tif"), pipeline, ListFile(folder / "beads.hdf5"))
    localize_movie(Excerpt(folder / "beads.tif"), pipeline, ListFile(folder / "each.hdf5"), over_frames=False)
    found, single = read_table(folder / "beads.hdf5"), read_table(folder / "each.hdf5")
    assert found.molecule is not None
    assert sorted(found.molecule.bincount().tolist()) == [FRAMES // 2, FRAMES // 2, FRAMES, FRAMES]
    pairs = match(truth, found, tolerance_um=0.1)
    assert len(pairs) == len(truth) == len(found)
    error = (found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]) / found.sigma_xyz[pairs.found_index]
    assert float(error.abs().max()) < 4.5
    long = found.molecule.bincount()[found.molecule] == FRAMES
    ratio = single.sigma_xyz[:, 0].median() / found.sigma_xyz[long, 0].median()
    assert float(ratio) == pytest.approx(FRAMES**0.5, rel=0.15)


def test_frames_that_are_missing_end_a_molecule(folder: Path, pipeline: Pipeline) -> None:
    counts = tifffile.imread(folder / "m.tif")
    missing = folder / "missing"
    missing.mkdir()
    for number in [*range(6), *range(9, FRAMES)]:
        tifffile.imwrite(missing / f"img_{number:09d}.tif", counts[number])
    excerpt = Excerpt(missing, partial=True)
    with excerpt.open() as source:
        assert list(source.movie.gaps) == [(6, 9)]
    localize_movie(excerpt, pipeline, ListFile(folder / "gap.csv"), over_frames=True)
    found = read_table(folder / "gap.csv")
    assert found.molecule is not None
    frames = set(found.frame.tolist())
    assert not frames & {6, 7, 8} and min(frames) < 6 and max(frames) > 8
    before = set(found.molecule[found.frame < 6].tolist())
    assert not before & set(found.molecule[found.frame > 8].tolist())


def test_a_cluster_changes_nothing(folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(streaming, "_FITTED_PIXELS", 3 * SIZE[0] * SIZE[1])
    recipe = Recipe(str(folder / "model.pt"), method="pursuit")
    with cluster_workers("local:2", recipe) as workers:
        localize_movie(
            Excerpt(folder / "m.tif"), recipe.load(), ListFile(folder / "spread.csv"), workers=workers
        )
    assert (folder / "spread.csv").read_bytes() == whole.read_bytes()


def test_a_movie_that_is_recorded_is_fitted_at_its_end(folder: Path, pipeline: Pipeline, whole: Path) -> None:
    counts = tifffile.imread(folder / "m.tif")
    growing = folder / "growing"
    growing.mkdir()
    for number, frame in enumerate(counts):
        tifffile.imwrite(growing / f"img_{number:09d}.tif", frame)
    excerpt = Excerpt(growing, follow_s=0.5, pixel_um=pipeline.experiment.microscope.pixel_um)
    localize_movie(excerpt, pipeline, ListFile(folder / "followed.csv"))
    assert (folder / "followed.csv").read_bytes() == whole.read_bytes()


def test_killed_in_the_second_pass_and_resumed(folder: Path, whole: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "localize", "m.tif", "--model", "model.pt", "--method", "pursuit"]
    command += ["--out", "killed.csv", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    state, deadline = folder / "killed.part.molecules.state", time.monotonic() + 600
    while not state.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if not (folder / "killed.csv").exists():
        done = subprocess.run([*command, "--resume"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"in {FRAMES} frames" in done.stdout
        assert "fitted over frames: " in done.stderr
    assert (folder / "killed.csv").read_bytes() == whole.read_bytes()
