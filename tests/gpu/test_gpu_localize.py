"""Localizing on a GPU: every method, tiles, whole movies, the preview, and the recovery from lack of memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpu_scenes import SIZE, experiment, model, molecules, photons, pipeline
from typer.testing import CliRunner

from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.preview import preview_movie
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing import memory
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.memory import WithinMemory
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from factories import write_movie
from watchers import Recorder

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda", "coarse_pictures")]
# How each list is made: options of `gpu_scenes.pipeline`.
METHODS: dict[str, dict[str, Any]] = {
    "coarse alone": {"refine": False},
    "mixture alone": {"network": "mixture", "refine": False},
    "voxel alone": {"network": "voxel", "refine": False},
    "network and fit": {},
    "network and fit with blur": {"blurred": True},
    "pursuit": {"method": "pursuit"},
    "single fits": {"method": "mle"},
}


def matched(ours: Localizations, theirs: Localizations, within_um: float = 0.002) -> float:
    """Share of the longer list with a partner in the other."""
    a, b = (
        torch.cat([table.xyz.cpu().double(), 10.0 * table.frame.cpu().double()[:, None]], 1)
        for table in (ours, theirs)
    )
    near = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") < within_um
    return min(float(near.any(1).double().mean()), float(near.any(0).double().mean()))


@pytest.mark.parametrize("name", METHODS)
def test_the_same_molecules_as_on_the_processor(name: str) -> None:
    frames = photons(1)
    ours = pipeline("cuda", **METHODS[name]).localize(frames.to("cuda"))
    theirs = pipeline("cpu", **METHODS[name]).localize(frames)
    assert ours.xyz.is_cuda
    assert len(theirs) > 0
    for column, values in ours.columns().items():
        assert bool(torch.isfinite(values).all()), column
    # A network of random weights has many maxima near its threshold.
    assert matched(ours, theirs) >= (0.8 if "alone" in name else 0.99)
    if name in ("network and fit", "pursuit"):
        truth = molecules(1)
        there = Localizations.proposals(truth.xyz, truth.frame, torch.ones(len(truth)))
        assert matched(ours, there, 0.06) == 1.0


def test_frames_without_molecules_stay_empty() -> None:
    noise = torch.poisson(torch.full((2, *SIZE), 20.0), generator=torch.Generator().manual_seed(1))
    assert len(pipeline("cuda", method="pursuit").localize(noise.to("cuda"))) == 0
    assert len(pipeline("cuda").localize(noise[:0].to("cuda"))) == 0


def test_a_large_frame_in_tiles_has_the_molecules_of_the_whole() -> None:
    whole = pipeline("cuda", refine=False)
    frame = torch.nn.functional.pad(photons(1), (150, 60, 0, 200), value=20.0).to("cuda")
    found = whole.localize(frame)
    assert len(found) > 4
    assert matched(dataclasses.replace(whole, tile_px=32).localize(frame), found, 0.005) >= 0.9


def movie(path: Path) -> Path:
    """Two frames of two molecules, as an sCMOS camera counts them."""
    counts = (100.0 + 2.2 * photons()).round().numpy().astype(np.uint16)
    write_movie(path, counts, experiment().microscope.pixel_um)
    return path


def test_a_movie_with_a_camera_and_its_map_becomes_a_table(tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.full(SIZE, 1.6, dtype=np.float32))
    camera = {"kind": "scmos", "baseline": 100, "gain": 2.2, "read_noise": str(tmp_path / "noise.npy")}
    excerpt = Excerpt(movie(tmp_path / "m.tif"), roi=(2, 2, 42, 38))
    for device in ("cpu", "cuda"):
        working = load_pipeline(model(), camera=camera, refine=False, device=device)
        summary = localize_movie(excerpt, working, ListFile(tmp_path / f"{device}.hdf5"))
        assert summary.complete
        assert summary.frames == 2
    ours, theirs = (read_table(tmp_path / f"{device}.hdf5") for device in ("cuda", "cpu"))
    assert len(theirs) > 0
    assert matched(ours, theirs) >= 0.8


def test_a_preview_of_an_emccds_movie(tmp_path: Path) -> None:
    camera = {"kind": "emccd", "baseline": 100, "gain": 2.2, "em_gain": 1}
    working = load_pipeline(model(), camera=camera, refine=False, device="cuda")
    watch = Recorder()
    said = watch.messages
    report = preview_movie(
        Excerpt(movie(tmp_path / "m.tif")), working, tmp_path / "preview", frames=1, watch=watch
    )
    assert report.lines
    assert said[0].startswith("frame 0 (1 of 1)")
    assert (tmp_path / "preview" / "histogram.png").exists()


def test_the_program_takes_the_gpu_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []
    whole = Pipeline.propose

    def propose(self: Pipeline, frames: torch.Tensor) -> Localizations:
        devices.append(frames.device.type)
        return whole(self, frames)

    monkeypatch.setattr(Pipeline, "propose", propose)
    save_model_file(model(), tmp_path / "m.pt")
    words = [str(movie(tmp_path / "m.tif")), "--model", str(tmp_path / "m.pt"), "--no-refine"]
    camera = ["--camera", "kind=scmos", "--camera", "baseline=100", "--camera", "gain=2.2"]
    done = CliRunner().invoke(app, ["localize", *words, *camera, "--out", str(tmp_path / "out.csv")])
    assert done.exit_code == 0, done.output
    assert devices == ["cuda"]
    assert (tmp_path / "out.csv").exists()


SHORT = {
    "torch's own": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cuFFT": RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
}


def short_of_memory(most_frames: int, error: Exception) -> Callable[[Pipeline, torch.Tensor], Localizations]:
    """A step of the pipeline that fails with more frames than fit."""
    whole = Pipeline.propose

    def propose(self: Pipeline, frames: torch.Tensor) -> Localizations:
        if len(frames) > most_frames:
            raise error
        return whole(self, frames)

    return propose


@pytest.mark.parametrize("library", SHORT)
def test_lack_of_memory_makes_the_batch_smaller_and_changes_nothing(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, frames = pipeline("cuda", refine=False), photons(3).to("cuda")
    expected = working.localize(frames)
    monkeypatch.setattr(Pipeline, "propose", short_of_memory(1, SHORT[library]))
    watch = Recorder()
    said = watch.messages
    found = WithinMemory(working, watch=watch)(frames).localizations
    assert said[-1] == "out of memory: going on with 1 frames at a time"
    assert matched(found, expected) == 1.0


def test_the_first_guess_follows_the_memory_that_the_card_has(monkeypatch: pytest.MonkeyPatch) -> None:
    working, frames = pipeline("cuda", refine=False), photons(3).to("cuda")
    need = memory.bytes_per_pixel(working) * SIZE[0] * SIZE[1]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(4.1 * need), 2**40))
    monkeypatch.setattr(Pipeline, "propose", short_of_memory(2, torch.OutOfMemoryError("too many")))
    watch = Recorder()
    said = watch.messages
    assert len(WithinMemory(working, watch=watch)(frames).localizations) > 0
    assert not said
