"""Regenerate: the image of a list explains the frame that the list is true of, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.field import Field
from deepstorm3d.io.tables import TableHeader, write_list
from deepstorm3d.jobs.movie_of_list import doubts_of_movie
from deepstorm3d.jobs.regenerate import explain_frame, regenerate_frame
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.pixels.reading import all_good
from deepstorm3d.simulation.simulator import Simulator
from factories import tiny_experiment, untrained_model, write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

PHOTONS = torch.tensor([4000.0, 8000.0, 24000.0])


def pipeline() -> Pipeline:
    return load_pipeline(untrained_model(tiny_experiment(), 0.5), refine=False)


def scene(work: Pipeline) -> tuple[Localizations, torch.Tensor]:
    """Three molecules and their frame of 48×64 pixels, with shot noise."""
    low, high = work.experiment.z_um
    xyz = torch.tensor([[1.5, 1.5, 0.3], [3.2, 3.5, 0.5], [5.5, 2.0, 0.7]])
    xyz[:, 2] = low + xyz[:, 2] * (high - low)
    frame = torch.zeros(3, dtype=torch.int64)
    simulator = Simulator(work.psf, work.camera, Field(48, 64, work.psf.pixel_um))
    mean = simulator.expected(Emitters(xyz, frame, PHOTONS, torch.arange(3)), torch.full((1, 48, 64), 30.0))
    noisy = torch.poisson(mean[0], generator=torch.Generator().manual_seed(5))
    return Localizations.proposals(xyz, frame, torch.ones(3)), noisy


def test_the_true_list_explains_its_frame_to_the_noise() -> None:
    work = pipeline()
    found, photons = scene(work)
    report, figure = explain_frame(work, found, all_good(photons[None]))
    assert report.localizations == 3
    assert 0.93 < report.deviance_per_pixel < 1.07
    frame, residual = (np.asarray(figure.axes[number].images[0].get_array()) for number in (0, 3))
    assert frame == pytest.approx(photons.numpy())
    # In units of the noise, nothing but noise is left.
    assert residual.std() == pytest.approx(1.0, abs=0.05)


def test_with_equal_photons_only_positions_explain_the_frame() -> None:
    work = pipeline()
    found, photons = scene(work)
    fitted, _ = explain_frame(work, found, all_good(photons[None]))
    equal, _ = explain_frame(work, found, all_good(photons[None]), equal_photons=True)
    assert equal.deviance_per_pixel > 1.5 * fitted.deviance_per_pixel
    assert 0.3 < equal.correlation < fitted.correlation


def test_a_molecule_left_out_shows() -> None:
    work = pipeline()
    found, photons = scene(work)
    whole, _ = explain_frame(work, found, all_good(photons[None]))
    part, _ = explain_frame(work, found.select(slice(0, 2)), all_good(photons[None]))
    assert part.deviance_per_pixel > 1.2 * whole.deviance_per_pixel


@pytest.mark.parametrize(
    ("made", "frames", "told"),
    [
        ({"movie": "m.tif"}, 3, ""),
        ({}, 9, ""),
        ({"movie": "m.tif"}, 9, "of m.tif, of 9 frames; this is m.tif, of 3"),
        ({"movie": "n.tif"}, 3, "of n.tif, of 3 frames; this is m.tif, of 3"),
        ({"movie": "n.tif", "channels": ["n.tif", "m.tif"]}, 3, "of n.tif, of 3 frames; this is m.tif"),
    ],
)
def test_a_list_of_another_movie_is_told(
    tmp_path: Path, made: dict[str, object], frames: int, told: str
) -> None:
    movie = write_movie(tmp_path / "m.tif", np.ones((3, 8, 8)))
    doubts = doubts_of_movie(TableHeader(0.11, frames, (8, 8), made), Excerpt(movie))
    assert doubts == [] if not told else told in doubts[0]
    if "channels" in made:
        assert doubts_of_movie(TableHeader(0.11, frames, (8, 8), made), Excerpt(movie), channel=1) == []


def test_a_frame_of_another_movie_is_regenerated_with_that_doubt(tmp_path: Path) -> None:
    work = pipeline()
    found, photons = scene(work)
    movie = write_movie(tmp_path / "m.tif", photons[None], work.psf.pixel_um)
    header = TableHeader(work.psf.pixel_um, 1, (48, 64), {"movie": "other.tif"})
    write_list(tmp_path / "f.hdf5", found, header)
    report = regenerate_frame(tmp_path / "f.hdf5", Excerpt(movie), work, tmp_path / "o.png")
    assert any("other.tif" in note for note in report.notes)


def test_an_empty_list_is_a_frame_of_background() -> None:
    work = pipeline()
    found, photons = scene(work)
    report, _ = explain_frame(work, found.select(slice(0, 0)), all_good(photons[None]), equal_photons=True)
    assert report.localizations == 0


def test_frames_with_too_little_noise_fit_too_well_and_are_told() -> None:
    work = pipeline()
    found, photons = scene(work)
    right, _ = explain_frame(work, found, all_good(photons[None]))
    assert right.assessment.fits
    # A baseline of 100 that nobody took off: noise of 30 photons on a level of 130.
    report, _ = explain_frame(work, found, all_good(photons[None] + 100))
    assert report.deviance_per_pixel < 0.4
    assert report.assessment.kind == "too quiet" and "baseline" in report.assessment.text


def test_hardly_any_light_is_no_bad_fit() -> None:
    work = pipeline()
    dark = torch.zeros(48, 64)
    dark[10, 10] = 1
    report, _ = explain_frame(work, Localizations.empty(), all_good(dark[None]))
    assert report.assessment.kind == "unknown"
