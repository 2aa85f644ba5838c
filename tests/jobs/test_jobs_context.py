"""Localizing with a network that sees the frames before and after each: the same table however it is cut."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.preview import preview_movie
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file, save_model_file
from deepstorm3d.localizer.neighbours import with_neighbours
from deepstorm3d.localizing import cluster
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.model import Model
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.localizing.reading import light_of, read_block
from deepstorm3d.localizing.recipe import Recipe
from deepstorm3d.studio.movie.explained import Explainer, Question
from deepstorm3d.watch import Silent
from factories import model_of_noise, tiny_experiment, write_movie

SIZE, FRAMES = (48, 40), 11


@pytest.fixture(scope="module")
def model() -> ModelFile:
    """A network of random weights that sees two frames on each side: nonsense, but always the same."""
    experiment = tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2), context=2))
    frame = torch.poisson(torch.full((1, *SIZE), 20.0), generator=torch.Generator().manual_seed(3))
    return model_of_noise(experiment, frame)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(20, (FRAMES, *SIZE)).astype(np.uint16)


@pytest.fixture
def movie(counts: np.ndarray, tmp_path: Path) -> Path:
    return write_movie(tmp_path / "m.tif", counts)


@pytest.fixture
def blocks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * SIZE[0] * SIZE[1])


def unrefined(model: ModelFile) -> Pipeline:
    return load_pipeline(model, refine=False)


def assert_same(one: Localizations, other: Localizations) -> None:
    """The same rows; with another number of frames at a time, sums are rounded otherwise."""
    assert len(one) == len(other) > 20
    assert torch.equal(one.frame, other.frame)
    torch.testing.assert_close(one.xyz, other.xyz, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.photons, other.photons, rtol=1e-3, atol=1e-2)


def test_the_table_does_not_depend_on_blocks_ranges_and_stops(
    model: ModelFile, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    localize_movie(Excerpt(movie), unrefined(model), ListFile(tmp_path / "whole.csv"))
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * SIZE[0] * SIZE[1])
    localize_movie(Excerpt(movie), unrefined(model), ListFile(tmp_path / "blocks.csv"))
    assert_same(read_table(tmp_path / "blocks.csv"), read_table(tmp_path / "whole.csv"))

    class AfterThreeBlocks(Silent):
        done = 0

        def progress(self, done: int, total: int, note: str = "") -> None:
            self.done = done

        @property
        def stopped(self) -> bool:
            return self.done >= 6

    cut = ListFile(tmp_path / "cut.csv")
    assert localize_movie(Excerpt(movie), unrefined(model), cut, watch=AfterThreeBlocks()).frames == 6
    localize_movie(Excerpt(movie), unrefined(model), replace(cut, resume=True))
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "blocks.csv").read_bytes()


def test_neighbours_outside_the_range_are_seen_too(model: ModelFile, counts: np.ndarray) -> None:
    used = Model(model, device="cpu")
    whole = used.localize(counts, refine=False)
    part = used.localize(Excerpt(counts, frames=(3, 7)), refine=False)
    assert_same(part, whole.select((whole.frame >= 3) & (whole.frame < 7)))
    # Without its neighbours a frame gives another list.
    alone = used.localize(counts[3:4], refine=False)
    assert len(alone) != int((whole.frame == 3).sum()) or not torch.equal(
        alone.xyz, whole.xyz[whole.frame == 3]
    )


def test_the_list_is_that_of_the_pipeline_on_the_whole_movie(model: ModelFile, counts: np.ndarray) -> None:
    pipeline = unrefined(model)
    photons = torch.from_numpy(counts.astype(np.float32))
    around = with_neighbours(photons, 2)
    expected = pipeline.localize(photons, around=around)
    found = Model(model, device="cpu").localize(Excerpt(counts, defects="none"), refine=False)
    torch.testing.assert_close(found.xyz, expected.xyz, rtol=0, atol=1e-5)
    assert torch.equal(found.frame, expected.frame)


def test_tiles_and_batches_show_no_seam(model: ModelFile) -> None:
    pipeline = unrefined(model)
    frames = torch.poisson(torch.full((3, 330, 64), 20.0), generator=torch.Generator().manual_seed(0))
    around = with_neighbours(frames, 2)
    whole = pipeline.localize(frames, around=around)
    tiled = replace(pipeline, tile_px=96).localize(frames, around=around)
    assert len(whole) == len(tiled) > 20
    for number in range(3):
        one, other = (each.xyz[each.frame == number].sort(0).values for each in (whole, tiled))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    each = [pipeline.localize(frames[k : k + 1], around=around[k : k + 1]).shift(frames=k) for k in range(3)]
    torch.testing.assert_close(Localizations.concat(each).xyz, whole.xyz, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("blocks_of_two")
def test_a_worker_of_a_cluster_sees_the_same_neighbours(model: ModelFile, movie: Path, tmp_path: Path) -> None:
    save_model_file(model, tmp_path / "m.pt")
    stored = Model(model, device="cpu")
    with Excerpt(movie, frames=(1, 9)).open() as source:
        judged = source.judged(stored.pipeline(refine=False).camera, stored.experiment.microscope).excerpt
    recipe, threads = Recipe(str(tmp_path / "m.pt"), refine=False), torch.get_num_threads()
    try:
        found = [
            cluster._localize(recipe, judged, (first, first + 2), ("run", "here")) for first in (1, 3, 5, 7)
        ]
        # Workers outlive a run, and the file may hold another model for the next one.
        save_model_file(replace(model, threshold=1.0), tmp_path / "m.pt")
        again, later = (cluster._localize(recipe, judged, (1, 3), (run, "here")) for run in ("run", "next run"))
        assert len(again.localizations) == len(found[0].localizations) > len(later.localizations)
        save_model_file(model, tmp_path / "m.pt")
    finally:
        torch.set_num_threads(threads)
        cluster._bench.cache_clear()
    together = Localizations.concat([each.localizations for each in found])
    # Weights are stored in half precision.
    whole = Model(load_model_file(tmp_path / "m.pt"), device="cpu").localize(Excerpt(movie), refine=False)
    here = whole.select((whole.frame >= 1) & (whole.frame < 9))
    assert torch.equal(together.frame, here.frame)
    torch.testing.assert_close(together.xyz, here.xyz, rtol=0, atol=1e-5)


def pages(folder: Path, counts: np.ndarray, without: tuple[int, ...] = ()) -> Path:
    folder.mkdir()
    for number, frame in enumerate(counts):
        if number not in without:
            write_movie(folder / f"img_{number:03d}.tif", frame[None])
    return folder


def test_no_neighbours_are_seen_across_a_gap(model: ModelFile, counts: np.ndarray, tmp_path: Path) -> None:
    folder = pages(tmp_path / "run", counts, without=(5, 6))
    with open_movie(folder, partial=True) as there:
        assert list(there.gaps) == [(5, 7)]
    with Excerpt(folder, partial=True).open() as source:
        assert source.readable_around((3, 5)) == (0, 5)
        assert source.readable_around((7, 8)) == (7, FRAMES)
        read = read_block(source, (3, 5), 2)
        assert len(read.counts) == 4 and read.own == slice(2, 4)
        light, around = light_of(unrefined(model), read)
    assert around is not None
    assert torch.equal(around[1, 2], light.photons[1])
    assert torch.equal(around[1, 3], light.photons[1]) and torch.equal(around[1, 4], light.photons[1])
    assert torch.equal(around[1, 1], light.photons[0])


@pytest.mark.usefixtures("blocks_of_two")
def test_a_followed_movie_waits_for_the_frames_after_each(
    model: ModelFile, counts: np.ndarray, tmp_path: Path
) -> None:
    folder = pages(tmp_path / "run", counts)
    localize_movie(Excerpt(folder), unrefined(model), ListFile(tmp_path / "whole.csv"))
    coming = tmp_path / "coming"
    coming.mkdir()

    def record() -> None:
        for name in sorted(path.name for path in folder.iterdir()):
            shutil.copy(folder / name, coming / "arriving.part")
            (coming / "arriving.part").rename(coming / name)
            time.sleep(0.05)

    camera = threading.Thread(target=record)
    camera.start()
    try:
        localize_movie(Excerpt(coming, follow_s=3.0), unrefined(model), ListFile(tmp_path / "followed.csv"))
    finally:
        camera.join()
    assert (tmp_path / "followed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_blocks_of_a_growing_movie_come_with_those_after_them(counts: np.ndarray, tmp_path: Path) -> None:
    folder = pages(tmp_path / "run", counts[:7])
    with Excerpt(folder, follow_s=0.2).open() as source:
        at_once = source.blocks(2, 0, around=2)
        assert [next(at_once) for _ in range(2)] == [(0, 2), (2, 4)]
        # Frames 4 and 5 wait for frame 7: it does not come, and the movie has ended.
        began = time.monotonic()
        assert list(at_once) == [(4, 6), (6, 7)]
        assert time.monotonic() - began > 0.15


def test_single_frames_of_a_movie_are_seen_with_their_neighbours(
    model: ModelFile, movie: Path, tmp_path: Path
) -> None:
    save_model_file(model, tmp_path / "m.pt")
    whole = Model(load_model_file(tmp_path / "m.pt"), device="cpu").localize(Excerpt(movie), refine=False)
    explainer = Explainer()
    answer = explainer(Question(movie=movie, frame=4, model=str(tmp_path / "m.pt"), refine=False), Silent())
    explainer.close()
    assert torch.equal(answer.found.xyz, whole.xyz[whole.frame == 4])
    report = preview_movie(
        Excerpt(movie, frames=(4, 5)), unrefined(load_model_file(tmp_path / "m.pt")), tmp_path, frames=1
    )
    assert report.frames[4].localizations == len(answer.found)
