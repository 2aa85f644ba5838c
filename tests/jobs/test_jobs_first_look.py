"""Every run tells at its first block where frames contradict the camera or the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from deepstorm3d.calibration.beads.images import Moves
from deepstorm3d.calibration.beads.stacks import SliceScan, read_bead_stacks
from deepstorm3d.camera import Camera, IdealCamera, ScmosCamera
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.fitting.joint import Explained
from deepstorm3d.frames.pixel_faults import faults_of
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.jobs.channel_inputs import both_pipelines
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.preview import preview_movie
from deepstorm3d.jobs.regenerate import regenerate_frame
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file
from deepstorm3d.localizing.blocks import Found
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.first_look import FirstLook, check_counts
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.localizing.run import LocalizeSummary
from deepstorm3d.pixels.faults import PixelFaults
from deepstorm3d.simulation.backgrounds import UniformBackground
from factories import tiny_experiment, untrained_model
from watchers import Recorder

pytestmark = pytest.mark.usefixtures("coarse_pictures")

MOVES: Moves = "objective"


@pytest.fixture(scope="module")
def model() -> ModelFile:
    experiment = tiny_experiment()
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(torch.full((1, 8, 8), 20.0) + torch.rand(1, 8, 8))
    return ModelFile(experiment.to_mapping(), localizer.state_dict(), 0.9999, None, {})


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not matter here, and takes long."""

    def nothing(self: Pipeline, photons: torch.Tensor, *given: object, **named: object) -> Explained:
        return Explained(Localizations.empty(), torch.full((len(photons),), float("nan")))

    monkeypatch.setattr(Pipeline, "explain", nothing)


def stack(path: Path, counts: NDArray[np.generic]) -> Path:
    tifffile.imwrite(path, counts)
    return path


def looked_at(camera: Camera) -> Callable[[Path], PixelFaults]:
    """What `retrieve-mask` finds wrong with the pixels of a stack, before it looks for beads."""
    return lambda path: faults_of(tifffile.imread(path), camera, {}, tiny_experiment().microscope)


def background(level: float = 20.0, frames: int = 6) -> NDArray[np.uint16]:
    return np.random.default_rng(1).poisson(level, (frames, 64, 64)).astype(np.uint16)


FRAMES = {
    "right": (background(), None),
    "no baseline given": (background() + np.uint16(100), "have no noise|times the value the camera predicts"),
    "bytes swapped": (background().byteswap(), "bytes seem to be swapped"),
    "another background": (background(200.0), "trained for 20"),
    "black": (np.zeros((6, 64, 64), np.uint16), "black"),
}


def run(model: ModelFile, movie: Path, out: Path, **options: object) -> tuple[LocalizeSummary, list[str]]:
    watch = Recorder()
    work = load_pipeline(model, refine=bool(options.pop("refine", False)), **options)  # type: ignore[arg-type]
    summary = localize_movie(Excerpt(movie), work, ListFile(out), watch=watch)
    return summary, watch.messages


@pytest.mark.parametrize("case", FRAMES)
def test_a_run_tells_at_once_and_at_the_end(model: ModelFile, tmp_path: Path, case: str) -> None:
    counts, says = FRAMES[case]
    summary, told = run(model, stack(tmp_path / "m.tif", counts), tmp_path / "o.csv")
    if says is None:
        assert told == [] and not any("frames 0 to" in warning for warning in summary.warnings)
        return
    assert any(re.search(says, text) for text in told), told
    assert any(re.search(says, text) and "frames 0 to 5" in text for text in summary.warnings)


@pytest.mark.parametrize("options", [{"refine": True}, {"method": "mle"}, {"method": "pursuit"}])
def test_every_method_looks(model: ModelFile, tmp_path: Path, options: dict[str, object]) -> None:
    movie = stack(tmp_path / "m.tif", background(frames=2) + np.uint16(100))
    _, told = run(model, movie, tmp_path / "o.csv", **options)
    assert sum("trained for 20" in text or "times the value the camera predicts" in text for text in told) == 1


def test_workers_are_given_frames_that_were_looked_at(model: ModelFile, tmp_path: Path) -> None:
    movie, watch = stack(tmp_path / "m.tif", background() + np.uint16(100)), Recorder()
    pipeline = load_pipeline(model, refine=False)

    def workers(excerpt: Excerpt, blocks: object, *_: object) -> object:
        for block in blocks:  # type: ignore[attr-defined]
            assert watch.messages, "the first block was given out before it was looked at"
            yield Found(block, Localizations.empty(), 0)

    summary = localize_movie(
        Excerpt(movie), pipeline, ListFile(tmp_path / "o.csv"), workers=workers, watch=watch
    )
    assert summary.warnings[0].endswith(watch.messages[0].removeprefix("warning: "))


def test_the_preview_says_the_same_and_that_nothing_fits(model: ModelFile, tmp_path: Path) -> None:
    pipeline = load_pipeline(model, refine=False)
    right = preview_movie(Excerpt(stack(tmp_path / "a.tif", background())), pipeline, tmp_path / "a", frames=1)
    assert right.fits, right.lines
    quiet = stack(tmp_path / "b.tif", background() + np.uint16(200))
    report = preview_movie(Excerpt(quiet), pipeline, tmp_path / "b", frames=1)
    assert not report.fits
    assert any("times the value the camera predicts" in line for line in report.lines)
    assert "contradict each other" in report.lines[-1]


NO_LIGHT = {
    "black": np.zeros((12, 64, 64), np.uint16),
    "constant": np.full((12, 64, 64), 102, np.uint16),
    "saturated": np.full((12, 64, 64), 65535, np.uint16),
    "NaN": np.full((12, 64, 64), np.nan, np.float32),
}


@pytest.mark.parametrize("word", NO_LIGHT)
def test_frames_without_light_are_refused_by_every_command_that_measures(
    model: ModelFile, tmp_path: Path, word: str
) -> None:
    movie = stack(tmp_path / "m.tif", NO_LIGHT[word])
    experiment = tiny_experiment()
    with pytest.raises(InputError, match=word):
        estimate_movie(Excerpt(movie), experiment, tmp_path / "e.yaml")
    with pytest.raises(InputError, match=word):
        scan_stack(Excerpt(movie), experiment, tmp_path / "t.csv", FocalPlanes(0.1))
    with pytest.raises(InputError, match=word):
        read_bead_stacks(
            [movie],
            IdealCamera(),
            SliceScan(lambda slices: 0.1 * torch.arange(slices), MOVES),
            lambda position: torch.ones(21, 21),
            21,
            faults=looked_at(IdealCamera()),
        )
    (tmp_path / "l.csv").write_text('"frame","x [nm]","y [nm]","z [nm]"\n1,2000,2000,500\n', encoding="utf-8")
    with pytest.raises(InputError, match=word):
        pipeline = load_pipeline(model, refine=False)
        regenerate_frame(tmp_path / "l.csv", Excerpt(movie), pipeline, tmp_path / "p.png")
    assert {path.name for path in tmp_path.iterdir()} == {"m.tif", "l.csv"}


def test_a_run_over_black_frames_ends_with_an_empty_list_and_says_why(model: ModelFile, tmp_path: Path) -> None:
    summary, _ = run(model, stack(tmp_path / "m.tif", NO_LIGHT["black"]), tmp_path / "o.csv")
    assert summary.localizations == 0
    assert any("black" in warning for warning in summary.warnings)


def test_bead_stacks_in_the_wrong_byte_order_are_told(tmp_path: Path) -> None:
    camera = ScmosCamera(baseline=100.0, gain=2.2)
    at = np.arange(64) - 32
    spot = 30_000 * np.exp(-(at[:, None] ** 2 + at**2) / 18) / 56
    counts = camera.expose(
        torch.from_numpy(spot + 20).float().expand(12, -1, -1), torch.Generator().manual_seed(0)
    ).numpy()
    for swap in (False, True):
        whole = counts.round().astype(np.uint16)
        path = stack(tmp_path / f"{swap}.tif", whole.byteswap() if swap else whole)
        told: list[str] = []
        try:
            told += read_bead_stacks(
                [path],
                camera,
                SliceScan(lambda slices: 0.1 * torch.arange(slices), MOVES),
                lambda position: torch.from_numpy(spot[21:44, 21:44] / spot.sum()).float(),
                23,
                faults=looked_at(camera),
            ).warnings
        except InputError as error:
            told.append(str(error))
        assert any("bytes seem to be swapped" in text for text in told) == swap, told


def test_regenerate_says_that_residuals_are_too_small(model: ModelFile, tmp_path: Path) -> None:
    save_model_file(model, tmp_path / "model.pt")
    movie = stack(tmp_path / "m.tif", background() + np.uint16(100))
    (tmp_path / "l.csv").write_text('"frame","x [nm]","y [nm]","z [nm]"\n1,2000,2000,500\n', encoding="utf-8")
    words = [tmp_path / "l.csv", movie, "--model", tmp_path / "model.pt", "--out", tmp_path / "p.png"]
    done = CliRunner().invoke(app, ["regenerate", *map(str, words)])
    assert done.exit_code == 0, done.stderr
    assert "times what noise gives" in done.stderr


def test_each_channel_is_judged_by_its_share_of_the_light() -> None:
    """A fifth of 200 photons in the first channel, the rest in the second."""
    scene = tiny_experiment().scene().with_(background=UniformBackground(low=200.0, high=200.0))
    setup = tiny_experiment(scenes={"main": scene}, channels={"far": Channel(light=0.8)})
    model = untrained_model(setup, 1.0)
    pipelines = both_pipelines([(load_pipeline(model, method="pursuit"), model)]).pipelines
    for pipeline, own, other in zip(pipelines, (40.0, 160.0), (160.0, 40.0), strict=True):
        assert check_counts(pipeline, background(own)) == []
        assert [each.kind for each in check_counts(pipeline, background(other))] == ["level"]
        with Excerpt(background(own)).open() as source:
            watch = Recorder()
            assert list(FirstLook(source, pipeline, watch).over([(0, 6)])) == [(0, 6)]
            assert watch.messages == []
