"""Localize as a job: streaming, tiles, resume, and what it refuses."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.parts import part_path
from deepstorm3d.io.tables import read_list, read_table
from deepstorm3d.jobs import preview, regenerate
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file, save_model_file
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.localizing.tiling import localize_in_tiles, tiles
from deepstorm3d.watch import Silent
from factories import model_of_noise, tiny_experiment, write_movie
from watchers import Recorder


def untrained(dilations: tuple[int, ...] = (1, 2)) -> Experiment:
    """A small set-up whose network has random weights: it finds nonsense, but always the same nonsense."""
    return tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=dilations))


@pytest.fixture(scope="module")
def model() -> ModelFile:
    frame = torch.poisson(torch.full((1, 48, 40), 20.0), generator=torch.Generator().manual_seed(3))
    return model_of_noise(untrained(), frame)


def unrefined(model: ModelFile) -> Pipeline:
    return load_pipeline(model, refine=False)


def movie(
    path: Path, frames: int = 12, size: tuple[int, int] = (48, 40), pixel_um: float | None = 0.11
) -> Path:
    counts = np.random.default_rng(0).poisson(20, (frames, *size)).astype(np.uint16)
    write_movie(path, counts, pixel_um)
    return path


def test_every_row_is_complete_and_finite(model: ModelFile, tmp_path: Path) -> None:
    summary = localize_movie(
        Excerpt(movie(tmp_path / "m.tif")), unrefined(model), ListFile(tmp_path / "out.hdf5")
    )
    table = read_table(tmp_path / "out.hdf5")
    assert summary.frames == 12
    assert len(table) == summary.localizations > 0
    assert table.sigma_source == "crlb"
    for name, column in table.columns().items():
        assert torch.isfinite(column).all(), name
    assert (table.sigma_xyz > 0).all()


class AfterFrames(Silent):
    """Stops after so many frames."""

    def __init__(self, frames: int) -> None:
        self.frames, self.done = frames, 0

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.done = done

    @property
    def stopped(self) -> bool:
        return self.done >= self.frames


def test_stopped_and_resumed_gives_the_same_table(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = movie(tmp_path / "m.tif")
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 3 * 48 * 40)
    localize_movie(Excerpt(source), unrefined(model), ListFile(tmp_path / "whole.csv"))

    stopped = localize_movie(
        Excerpt(source), unrefined(model), ListFile(tmp_path / "cut.csv"), watch=AfterFrames(6)
    )
    assert stopped.frames == 6
    assert not stopped.complete
    assert not (tmp_path / "cut.csv").exists()
    resumed = localize_movie(Excerpt(source), unrefined(model), ListFile(tmp_path / "cut.csv", resume=True))
    assert (resumed.frames, resumed.earlier) == (12, 6)
    assert resumed.localizations == len(read_table(tmp_path / "cut.csv"))
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("ending", ["csv", "hdf5"])
def test_a_run_goes_on_only_with_the_settings_that_it_was_begun_with(
    model: ModelFile, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = movie(tmp_path / "m.tif"), movie(tmp_path / "n.tif")
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 3 * 48 * 40)
    out, pipeline = tmp_path / f"cut.{ending}", replace(unrefined(model), model_sha256=64 * "a")
    localize_movie(Excerpt(source), pipeline, ListFile(out), watch=AfterFrames(3))
    part = part_path(out)
    begun = {file: file.read_bytes() for file in tmp_path.glob(f"{part.stem}*")}
    for excerpt, run, told in (
        (Excerpt(source), pipeline.at_threshold(0.875), "threshold was [0-9.]+, now 0.875"),
        (Excerpt(source, roi=(0, 0, 30, 30)), pipeline, "roi 3 was 40, now 30"),
        (Excerpt(source, prepared=Prepared(flip="both")), pipeline, "prepared.flip was none, now both"),
        (Excerpt(source, (6, 12)), pipeline, "first frame was 0, now 6"),
        (Excerpt(other), pipeline, "movie was m.tif, now n.tif"),
        (
            Excerpt(source),
            replace(pipeline, camera=pipeline.camera.with_(saturation=4095.0)),
            "camera.saturation was 65535.0, now 4095.0",
        ),
        (Excerpt(source, defects="none"), pipeline, "defects was auto, now none"),
        (Excerpt(source), replace(pipeline, model_sha256=64 * "b"), "model_sha256 was a{12}…, now b{12}…"),
    ):
        with pytest.raises(InputError, match=f"begun with other settings: .*{told}"):
            localize_movie(excerpt, run, ListFile(out, resume=True))
        assert begun == {file: file.read_bytes() for file in tmp_path.glob(f"{part.stem}*")} and len(begun) > 1
    assert localize_movie(Excerpt(source, (0, 9)), pipeline, ListFile(out, resume=True)).complete


def test_a_model_of_the_same_experiment_with_other_weights_is_another_model(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = movie(tmp_path / "m.tif"), ListFile(tmp_path / "cut.csv")
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 3 * 48 * 40)
    changed = {name: tensor + 0.01 if tensor.ndim == 4 else tensor for name, tensor in model.weights.items()}
    runs = []
    for name, weights in (("one", model.weights), ("other", changed)):
        save_model_file(replace(model, weights=weights), tmp_path / f"{name}.pt")
        runs.append(unrefined(load_model_file(tmp_path / f"{name}.pt")))
    localize_movie(Excerpt(source), runs[0], out, watch=AfterFrames(3))
    with pytest.raises(InputError, match="model_sha256 was"):
        localize_movie(Excerpt(source), runs[1], replace(out, resume=True))
    assert localize_movie(Excerpt(source), runs[0], replace(out, resume=True)).complete
    localize_movie(Excerpt(source), runs[0], ListFile(tmp_path / "out.hdf5"))
    assert read_list(tmp_path / "out.hdf5")[1].provenance["model_sha256"] == runs[0].model_sha256


def test_a_region_and_frame_range_keep_the_movies_coordinates(model: ModelFile, tmp_path: Path) -> None:
    source = movie(tmp_path / "m.tif")
    localize_movie(Excerpt(source, (4, 9), (8, 16, 40, 48)), unrefined(model), ListFile(tmp_path / "part.csv"))
    table = read_table(tmp_path / "part.csv")
    assert set(table.frame.tolist()) <= set(range(4, 9))
    assert float(table.xyz[:, 0].min()) > 7 * 0.11
    assert float(table.xyz[:, 1].min()) > 15 * 0.11


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_candidates_depend_neither_on_the_batch_nor_on_the_threads(
    model: ModelFile, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, before, batches = unrefined(model), torch.get_num_threads(), []
    frames = torch.poisson(torch.full((5, 40, 45), 20.0), generator=torch.Generator().manual_seed(1))
    alone = [pipeline.propose(frame[None]).shift(frames=number) for number, frame in enumerate(frames)]
    forward = pipeline.localizer.forward

    def counted(photons: torch.Tensor) -> torch.Tensor:
        batches.append((len(photons), torch.get_num_threads()))
        return forward(photons)

    monkeypatch.setattr(pipeline.localizer, "forward", counted)
    torch.set_num_threads(threads)
    try:
        found = pipeline.propose(frames)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    expected = Localizations.concat(alone)
    assert len(expected) > 20 and torch.equal(found.frame, expected.frame)
    torch.testing.assert_close(found.xyz, expected.xyz, rtol=0, atol=1e-5)
    assert batches == ([(5, 8)] if threads > len(frames) else [(1, 1)] * 5)
    assert len(pipeline.propose(frames[:0])) == 0


def test_tiles_show_no_seam(model: ModelFile) -> None:
    pipeline = unrefined(model)
    frames = torch.poisson(torch.full((2, 150, 131), 20.0), generator=torch.Generator().manual_seed(0))
    whole = pipeline.localizer.localize(frames)
    cut = localize_in_tiles(
        lambda part, _: pipeline.localizer.localize(part),
        frames,
        Field(150, 131, 0.11, (70, 90)),
        tile_px=32,
        margin_px=40,
    )
    assert len(whole) == len(cut) > 20

    def ordered(table: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        rows = torch.cat([frame[:, None].double(), table.double()], 1).numpy().round(4)
        return torch.from_numpy(rows[np.lexsort(rows.T[::-1])])

    assert torch.allclose(ordered(whole.xyz, whole.frame), ordered(cut.xyz, cut.frame), atol=2e-4)


def test_the_margin_covers_the_reach_of_the_default_network() -> None:
    """A pixel further away than the tiles' margin must not change an output (see localizing/tiling.py)."""
    localizer = build_localizer(untrained(dilations=(1, 2, 4, 8, 2, 1))).eval()
    frame = torch.full((1, 16, 256), 20.0)
    other = frame.clone()
    other[:, :, 0] = 2000.0
    with torch.no_grad():
        changed = (localizer(frame) - localizer(other)).abs().amax((0, 1, 2)) > 0
    assert int(torch.nonzero(changed).max()) <= 96


def test_tiles_cover_each_pixel_once() -> None:
    count = torch.zeros(1000, 1700)
    frame = Field(1000, 1700, 0.1, (3, 5))
    for tile in tiles(frame, tile_px=512, margin_px=64):
        count[tile.core.pixels_of(frame)] += 1
        assert [side.start % 8 for side in tile.outer.pixels_of(frame)] == [0, 0]
        rows, columns = tile.core.pixels_of(tile.outer)
        margins = (rows.start, columns.start, tile.outer.height - rows.stop, tile.outer.width - columns.stop)
        assert all(64 <= margin < 64 + 8 or margin == 0 for margin in margins)
    assert (count == 1).all()


def test_memory_is_asked_for_by_block_not_by_movie(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * 48 * 40)
    seen: list[int] = []
    pipeline_localize = "deepstorm3d.localizing.pipeline.Pipeline.explain"
    from deepstorm3d.localizing.pipeline import Pipeline

    original = Pipeline.explain

    def counted(self: Pipeline, photons: torch.Tensor, *rest: object, **named: object) -> object:
        seen.append(len(photons))
        return original(self, photons, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline_localize, counted)
    localize_movie(Excerpt(movie(tmp_path / "m.tif", frames=9)), unrefined(model), ListFile(tmp_path / "o.csv"))
    assert seen == [2, 2, 2, 2, 1]


def test_another_pixel_size_is_refused_with_both_numbers(model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"160\.0 nm.*110\.0 nm"):
        localize_movie(
            Excerpt(movie(tmp_path / "m.tif", pixel_um=0.16)), unrefined(model), ListFile(tmp_path / "o.csv")
        )
    assert not list(tmp_path.glob("o.*"))


def test_a_frame_smaller_than_the_psf_is_refused(model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"6 x 6 px.*extends over"):
        localize_movie(
            Excerpt(movie(tmp_path / "m.tif", size=(6, 6))), unrefined(model), ListFile(tmp_path / "o.csv")
        )


@pytest.mark.parametrize(
    ("frames", "roi", "says"),
    [((5, 99), None, "frames 0:12"), ((7, 3), None, "7:3"), ((None, None), (0, 0, 99, 20), "40 x 48")],
)
def test_a_selection_outside_the_movie_is_refused(
    model: ModelFile,
    tmp_path: Path,
    frames: tuple[int | None, int | None],
    roi: tuple[int, ...] | None,
    says: str,
) -> None:
    with pytest.raises(InputError, match=says):
        localize_movie(
            Excerpt(movie(tmp_path / "m.tif"), frames, roi), unrefined(model), ListFile(tmp_path / "o.csv")
        )  # type: ignore[arg-type]


def test_saturated_frames_are_counted_and_warned_of(model: ModelFile, tmp_path: Path) -> None:
    counts = np.full((3, 48, 40), 20, np.uint16)
    counts[1, 10, 10] = 65535
    write_movie(tmp_path / "m.tif", counts, pixel_um=None)
    summary = localize_movie(Excerpt(tmp_path / "m.tif"), unrefined(model), ListFile(tmp_path / "o.csv"))
    assert summary.saturated_frames == 1
    assert any("1 of 3 frames have saturated pixels" in warning for warning in summary.warnings)


def test_a_mask_for_a_model_that_has_its_own_is_refused(model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its own mask"):
        load_pipeline(model, mask=tmp_path / "mask.npy")


def test_weights_of_another_network_are_refused(model: ModelFile) -> None:
    weights = dict(model.weights)
    weights.popitem()
    with pytest.raises(InputError, match="do not fit"):
        load_pipeline(dataclasses.replace(model, weights=weights))


def pages(folder: Path, frames: int = 9) -> Path:
    """A recording as numbered files of one frame each."""
    folder.mkdir()
    counts = np.random.default_rng(0).poisson(20, (frames, 48, 40)).astype(np.uint16)
    for number, frame in enumerate(counts):
        write_movie(folder / f"run_{number:03d}.tif", frame[None])
    return folder


def test_frames_that_are_cut_off_are_left_out_and_said(model: ModelFile, tmp_path: Path) -> None:
    folder = pages(tmp_path / "run")
    localize_movie(Excerpt(folder), unrefined(model), ListFile(tmp_path / "whole.csv"))
    damaged = folder / "run_004.tif"
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(InputError, match=r"run_004.tif"):
        localize_movie(Excerpt(folder), unrefined(model), ListFile(tmp_path / "o.csv", overwrite=True))
    summary = localize_movie(
        Excerpt(folder, partial=True), unrefined(model), ListFile(tmp_path / "o.csv", overwrite=True)
    )
    assert summary.frames == 8
    assert any("4" in warning for warning in summary.warnings)
    whole, found = read_table(tmp_path / "whole.csv"), read_table(tmp_path / "o.csv")
    assert (whole.frame == 4).any()
    assert torch.equal(found.xyz, whole.select(whole.frame != 4).xyz)
    assert torch.equal(found.frame, whole.frame[whole.frame != 4])


@pytest.mark.parametrize("subtract", ["none", "minimum"])
def test_a_movie_followed_while_it_grows_gives_the_complete_movies_list(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtract: str
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * 48 * 40)
    prepared = Prepared(subtract=subtract, window=3)  # type: ignore[arg-type]
    folder = pages(tmp_path / "run", frames=9)
    localize_movie(Excerpt(folder, prepared=prepared), unrefined(model), ListFile(tmp_path / "whole.csv"))
    coming = tmp_path / "coming"
    coming.mkdir()
    names = sorted(path.name for path in folder.iterdir())

    def record() -> None:
        for name in names:
            shutil.copy(folder / name, coming / "arriving.part")
            (coming / "arriving.part").rename(coming / name)
            time.sleep(0.05)

    camera = threading.Thread(target=record)
    camera.start()
    try:
        excerpt = Excerpt(coming, prepared=prepared, follow_s=2.5)
        summary = localize_movie(excerpt, unrefined(model), ListFile(tmp_path / "followed.csv"))
    finally:
        camera.join()
    assert summary.frames == 9
    assert (tmp_path / "followed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("frames", [(50, 10), (-5, None), (3, 3)])
def test_frames_that_are_none_are_refused_before_a_movie_is_followed(
    model: ModelFile, tmp_path: Path, frames: tuple[int, int | None]
) -> None:
    excerpt = Excerpt(pages(tmp_path / "run", frames=3), frames, follow_s=600.0)
    with pytest.raises(InputError, match=f"frames {frames[0]}:"):
        localize_movie(excerpt, unrefined(model), ListFile(tmp_path / "o.csv"))
    assert not list(tmp_path.glob("o.*"))


def test_a_followed_movie_that_is_stopped_is_not_complete(model: ModelFile, tmp_path: Path) -> None:
    patience_s = 600.0
    excerpt = Excerpt(pages(tmp_path / "run", frames=3), follow_s=patience_s)
    began = time.monotonic()

    class AfterTwoSeconds(Silent):
        @property
        def stopped(self) -> bool:
            return time.monotonic() > began + 2

    summary = localize_movie(excerpt, unrefined(model), ListFile(tmp_path / "o.csv"), watch=AfterTwoSeconds())
    assert not summary.complete
    # Not by patience: also while it waits for the frames that tell of faulty pixels.
    assert time.monotonic() - began < patience_s / 2
    assert (tmp_path / "o.part.csv").exists()


def test_flipped_frames_give_flipped_positions(model: ModelFile, tmp_path: Path) -> None:
    source = movie(tmp_path / "m.tif", frames=2)
    with open_movie(source) as plain:
        counts = plain.read(0, 2)
    write_movie(tmp_path / "turned.tif", counts.transpose(0, 2, 1)[:, :, ::-1])
    localize_movie(Excerpt(source), unrefined(model), ListFile(tmp_path / "a.csv"))
    turned = Excerpt(tmp_path / "turned.tif", prepared=Prepared(flip="vertical", transpose=True))
    localize_movie(turned, unrefined(model), ListFile(tmp_path / "b.csv"))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_preview_says_which_frame_it_is_at_before_it_looks(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Recorder()
    events = watch.messages
    whole = Pipeline.localize

    def localize(self: Pipeline, photons: torch.Tensor, *given: Any, **named: Any) -> Localizations:
        events.append("looking")
        return whole(self, photons, *given, **named)

    monkeypatch.setattr(Pipeline, "localize", localize)
    for job in (regenerate, preview):
        monkeypatch.setattr(job, "save_figure", lambda figure, path: None)
    excerpt = Excerpt(movie(tmp_path / "m.tif"))
    preview.preview_movie(excerpt, unrefined(model), tmp_path / "p", frames=2, watch=watch)
    assert [event.partition(":")[0] for event in events] == [
        "frame 0 (1 of 2)", "looking", "frame 11 (2 of 2)", "looking", "comparing them with simulated frames",
    ]  # fmt: skip
