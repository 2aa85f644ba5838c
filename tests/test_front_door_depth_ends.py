"""Molecules outside of the depths of a model lie at an end of the range of the fit, and the user is told."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

import deepstorm3d as ds
from deepstorm3d.analysis.filters import rows_where
from deepstorm3d.analysis.quality import list_quality
from deepstorm3d.emitters import UNKNOWN_SIGMA_UM, Localizations
from deepstorm3d.errors import DoubtfulResult
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.channels import FoundInChannels
from deepstorm3d.io.tables import read_list
from deepstorm3d.jobs.channels_summary import ChannelsSummary
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.report.sections import glance_section
from deepstorm3d.localizing.depth_ends import DepthEnds
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.model import Model
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from factories import localizations, tiny_experiment, untrained_model, write_movie
from watchers import Recorder

FRAMES = 10


def experiment(low: float, high: float) -> Experiment:
    """Molecules that rest for four frames, at these depths."""
    base = tiny_experiment(frame_px=(40, 48))
    scene = base.scene(None)
    resting = scene.emitters.with_(
        count=FixedCount(count=3),
        photons=FixedPhotons(photons=20_000.0),
        blinking=ExponentialBlinking(mean_frames=4.0),
        z_um=(low, high),
    )
    return base.with_(scenes={"main": scene.with_(emitters=resting)})


@pytest.fixture(scope="module")
def movie() -> NDArray[Any]:
    """Molecules at depths of 0 to 1.2 µm."""
    return ds.simulate(experiment(0.0, 1.2), FRAMES, seed=5)[0]


def told(model: Model, movie: NDArray[Any], over_frames: bool) -> tuple[Localizations, list[str]]:
    """The list, and the warnings that speak of ends."""
    with pytest.warns(DoubtfulResult) as record:
        found = model.localize(movie, method="pursuit", over_frames=over_frames)
    return found, [text for each in record if "lie at the end" in (text := str(each.message))]


@pytest.mark.parametrize("over_frames", [False, True])
def test_rows_at_both_ends_are_counted(movie: NDArray[Any], over_frames: bool, tmp_path: Path) -> None:
    # Molecules are fitted at 0.35 to 0.85 µm then.
    model = Model(untrained_model(experiment(0.55, 0.65), 0.5))
    found, texts = told(model, movie, over_frames)
    low, high = (int((found.xyz[:, 2] - end).abs().lt(1e-5).sum()) for end in (0.35, 0.85))
    assert min(low, high) >= 3
    for text, number, end, beyond in zip(
        texts, (low, high), (0.35, 0.85), ("nearer to the coverslip than", "deeper than"), strict=True
    ):
        assert f"{number} of {len(found)} rows (" in text and f"z = {end:g} µm" in text
        assert f"molecules {beyond} the depths of the model (0.55 to 0.65 µm)" in text
    unknown = found.sigma_xyz[:, 2] == UNKNOWN_SIGMA_UM
    assert int(unknown.sum()) == low + high < len(found)
    cure = texts[0].split("filter '")[1].split("'")[0]
    assert torch.equal(rows_where(found, cure), ~unknown)
    # The command counts the same, and its file is read as it was written.
    pipeline = model.pipeline(method="pursuit")
    out = ListFile(tmp_path / "found.csv")
    source = Excerpt(write_movie(tmp_path / "movie.tif", movie))
    summary = localize_movie(source, pipeline, out, over_frames=over_frames)
    assert [text for text in summary.warnings if "lie at the end" in text] == texts
    table, header = read_list(out.path)
    assert int((table.sigma_xyz[:, 2] >= UNKNOWN_SIGMA_UM / 2).sum()) == low + high
    glance = glance_section(table, header, list_quality(table, header.frames))
    assert any("these fits failed" in text for text in glance.paragraphs)


def test_a_model_that_knows_the_depths_says_nothing(movie: NDArray[Any]) -> None:
    model = Model(untrained_model(experiment(-0.2, 1.2), 0.5))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        found = model.localize(movie, method="pursuit", over_frames=False)
    assert not [each for each in record if "lie at the end" in str(each.message)]
    assert len(found) > 20 and float(found.sigma_xyz.max()) < 0.2


def test_a_few_rows_at_an_end_are_not_told() -> None:
    ends = DepthEnds(Bounds((-0.2, 1.2)), (0.0, 1.0))
    ends.add(localizations([[0.0, 0.0, z] for z in [-0.2, -0.2, *[0.5] * 100, 1.2, 1.2, 1.2]]))
    (text,) = ends.warnings()
    assert text.startswith("3 of 105 rows (2.86 %) lie at the end") and "z = 1.2 µm" in text
    ends.add(localizations([[0.0, 0.0, 0.5]] * 300))
    assert ends.warnings() == []
    without = DepthEnds()
    without.add(localizations([[0.0, 0.0, 1.2]] * 5))
    assert without.warnings() == []


def test_of_two_channels_they_are_told_too() -> None:
    summary = ChannelsSummary(ends=DepthEnds(Bounds((-0.2, 1.2)), (0.0, 1.0)))
    rows = localizations([[0.0, 0.0, 1.2]] * 4)
    summary.add(FoundInChannels(rows, torch.ones(1, 2), together=0, filled=0, split=0, removed=0))
    assert any("4 of 4 rows (100 %) lie at the end" in text for text in summary.doubts())


class After(Recorder):
    """Stops the work after some frames."""

    @property
    def stopped(self) -> bool:
        return any(done >= 6 for done, *_ in self.steps)


class InSecondPass(Recorder):
    """Stops the work when some frames are fitted over frames."""

    @property
    def stopped(self) -> bool:
        return any(note == "over frames" and done >= 8 for done, _, note in self.steps)


@pytest.mark.parametrize(
    ("over_frames", "stop", "ending"),
    [(False, After, ".hdf5"), (False, After, ".csv"), (True, InSecondPass, ".hdf5")],
)
def test_a_resumed_run_counts_the_whole_list(
    movie: NDArray[Any],
    over_frames: bool,
    stop: type[Recorder],
    ending: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.run.block_frames", lambda *_, **__: 2)
    monkeypatch.setattr("deepstorm3d.localizing.over_frames.WINDOW_FRAMES", 2)
    pipeline = Model(untrained_model(experiment(0.55, 0.65), 0.5)).pipeline(method="pursuit")
    source = Excerpt(write_movie(tmp_path / "movie.tif", movie))
    whole = localize_movie(source, pipeline, ListFile(tmp_path / f"a{ending}"), over_frames=over_frames)
    out = ListFile(tmp_path / f"b{ending}")
    assert not localize_movie(source, pipeline, out, over_frames=over_frames, watch=stop()).complete
    resumed = localize_movie(source, pipeline, replace(out, resume=True), over_frames=over_frames)
    ends = [text for text in whole.warnings if "lie at the end" in text]
    assert len(ends) == 2
    assert [text for text in resumed.warnings if "lie at the end" in text] == ends


def test_more_depths_are_advised_where_a_scene_may_have_them() -> None:
    base = experiment(0.0, 1.0)
    glass = base.with_(psf=base.psf.to_kind(VectorialPSFSpec, supercritical=True))
    rows = localizations([[0.0, 0.0, z] for z in [-0.2, 1.2] for _ in range(5)])
    for model, advised in ((base, [True, True]), (glass, [False, True])):
        ends = DepthEnds.of_fit(Bounds((-0.2, 1.2)), model)
        ends.add(rows)
        texts = ends.warnings()
        assert ["for more depths" in text for text in texts] == advised
        assert all("focus" in text and "refractive index" in text for text in texts)


def test_a_fit_of_one_depth_has_no_ends() -> None:
    ends = DepthEnds(Bounds((0.5, 0.5)), (0.5, 0.5))
    ends.add(localizations([[0.0, 0.0, 0.5]] * 10))
    assert ends.warnings() == []
