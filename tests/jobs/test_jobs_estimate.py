"""The command `estimate`: a complete experiment from a movie, a picture, and warnings where they are due."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from deepstorm3d.calibration.movie_statistics import molecules as signal
from deepstorm3d.calibration.movie_statistics import scene_match
from deepstorm3d.calibration.movie_statistics.by_model import model_for
from deepstorm3d.calibration.movie_statistics.settings import EstimateSettings
from deepstorm3d.camera import ScmosCamera
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.priors import DensityCount, FixedPhotons, GammaPhotons, Photons, UniformPhotons
from factories import write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

CAMERA = ScmosCamera(baseline=100.0, gain=2.2, read_noise=1.6)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of simulation: the same path through the program."""
    monkeypatch.setattr(scene_match, "_ROUNDS", 1)
    monkeypatch.setattr(scene_match, "_MOST_FRAMES", 40)
    monkeypatch.setattr(signal, "_BOOTSTRAPS", 4)


def small(density: float = 0.3, photons: float = 4000.0) -> Experiment:
    base = find_experiment(
        "quickstart",
        [
            "microscope.mask_pitch=96.0",
            "psf.pupil_oversampling=2",
            "psf.patch_px=21",
            "scenes.main.emitters.z_um=[0.3, 0.9]",
        ],
    )
    scene = base.scene()
    emitters = scene.emitters.with_(
        count=DensityCount(low=density, high=density), photons=FixedPhotons(photons=photons)
    )
    return base.with_(scenes={"main": scene.with_(emitters=emitters)}, camera=CAMERA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie, frames without light, and what the user knows: other photons, density and camera."""
    folder = tmp_path_factory.mktemp("estimate")
    simulate_movie(MovieSimulation(small(), frames=40, seed=3), folder / "movie.tif")
    generator = torch.Generator().manual_seed(2)
    write_movie(folder / "dark.tif", CAMERA.expose(torch.zeros(30, 64, 64), generator).numpy())
    write_experiment(small(1.0, 1500.0).with_(camera=ScmosCamera()), folder / "known.yaml")
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["estimate", *(str(word) for word in arguments)])


def test_the_new_experiment_has_the_movies_numbers(folder: Path, tmp_path: Path):
    out = tmp_path / "found.yaml"
    done = call(folder / "movie.tif", folder / "known.yaml", "--out", out, "--dark", folder / "dark.tif")
    assert done.exit_code == 0, done.stderr
    assert "scenes.main.emitters.photons" in done.stdout
    assert "camera.gain" in done.stdout
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    found = read_experiment(out)
    assert isinstance(found.camera, ScmosCamera)
    assert found.camera.gain == pytest.approx(2.2, rel=0.1)
    assert found.camera.baseline == pytest.approx(100, abs=0.2)
    assert found.camera.read_noise == pytest.approx(1.6, rel=0.12)
    scene = found.scene()
    assert isinstance(scene.emitters.photons, FixedPhotons)
    assert scene.emitters.photons.photons == pytest.approx(4000, rel=0.2)
    assert isinstance(scene.emitters.count, DensityCount)
    assert (scene.emitters.count.low + scene.emitters.count.high) / 2 == pytest.approx(0.3, rel=0.3)
    assert isinstance(scene.background, UniformBackground)
    assert (scene.background.low + scene.background.high) / 2 == pytest.approx(20, rel=0.2)
    # What the movie says nothing of stays.
    assert found.microscope == small().microscope
    assert scene.emitters.z_um == (0.3, 0.9)
    assert "do not look like" not in done.stderr


def test_a_movie_of_something_else_is_warned_of(folder: Path, tmp_path: Path):
    movie = tmp_path / "stripes.tif"
    light = 200 + 150 * torch.sin(torch.arange(64) * 0.5).expand(4, 64, 64)
    write_movie(movie, CAMERA.expose(light, torch.Generator().manual_seed(1)).numpy())
    done = call(movie, folder / "known.yaml", "--out", tmp_path / "found.yaml")
    assert done.exit_code == 0, done.stderr
    assert "the simulated frames do not look like the real ones" in done.stderr


def test_estimate_refuses_before_it_computes(folder: Path, tmp_path: Path):
    taken = tmp_path / "taken.yaml"
    taken.write_text("mine", encoding="utf-8")
    done = call(folder / "movie.tif", folder / "known.yaml", "--out", taken)
    assert (done.exit_code, "--overwrite" in done.stderr) == (2, True)
    assert taken.read_text(encoding="utf-8") == "mine"
    done = call(
        folder / "movie.tif", folder / "known.yaml", "--out", tmp_path / "new.yaml", "--roi", "0,0,30,30"
    )
    assert (done.exit_code, "too small" in done.stderr) == (2, True), done.stderr
    done = call(
        folder / "movie.tif",
        folder / "known.yaml",
        "--out",
        tmp_path / "new.yaml",
        "--set",
        "microscope.camera_pitch=16.0",
    )
    assert (done.exit_code, "pixels are" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "new.yaml").exists()


def test_a_model_for_other_pixels_or_depths_is_refused(folder: Path, tmp_path: Path):
    arguments = ["estimate", folder / "movie.tif", folder / "known.yaml", "--out", tmp_path / "e.yaml"]
    done = CliRunner().invoke(app, [str(each) for each in [*arguments, "--model", "tetrapod"]])
    assert done.exit_code == 2
    assert "was trained for depths of 2 to 6 µm, the experiment has 0.3 to 0.9" in " ".join(done.stderr.split())
    other = [*arguments, "--model", "tetrapod", "--set", "microscope.magnification=50"]
    done = CliRunner().invoke(app, [str(each) for each in other])
    assert "was trained for pixels of 110.0 nm, the experiment's are 220.0 nm" in done.stderr
    done = CliRunner().invoke(app, [str(each) for each in [*arguments, "--device", "cpu"]])
    assert (done.exit_code, "give --model too" in done.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("density", "photons", "spread"),
    [
        (0.2, UniformPhotons(low=5000.0, high=30000.0), 0.41),
        (0.45, GammaPhotons(shape=6.0, scale=3000.0), 0.41),
        (0.9, FixedPhotons(photons=30000.0), 0.0),
    ],
    ids=["uniform", "gamma", "fixed"],
)
def test_molecules_of_a_few_frames_tell_what_pixel_values_do_not(
    tmp_path: Path, density: float, photons: Photons, spread: float
):
    experiment = experiment_of(find_model("tetrapod")).with_(camera=CAMERA)
    scene = experiment.scenes["nucleus"]
    experiment = experiment.with_(scenes={"nucleus": scene})
    count = DensityCount(low=0.8 * density, high=1.2 * density)
    there = scene.with_(emitters=scene.emitters.with_(count=count, photons=photons))
    truth = experiment.with_(scenes={"nucleus": there})
    simulate_movie(MovieSimulation(truth, frames=8, seed=5), tmp_path / "movie.tif")
    pipeline = model_for("tetrapod", experiment, mask=None, device="cpu")
    found = estimate_movie(
        Excerpt(tmp_path / "movie.tif"),
        experiment,
        tmp_path / "e.yaml",
        EstimateSettings(baseline=100.0, pipeline=pipeline),
    )
    guess = found.scene.guess
    drawn = photons.draw(20_000, torch.Generator().manual_seed(0))
    assert guess.density == pytest.approx(density, rel=0.15)
    assert guess.photons == pytest.approx(float(drawn.mean()), rel=0.15)
    # Up to 0.15 it counts as one brightness.
    assert guess.photon_spread == pytest.approx(spread, abs=0.1 if spread else 0.15)
    assert found.experiment.scenes["nucleus"].emitters.photons.kind == photons.kind


@pytest.mark.parametrize("preset", ["storm", "quickstart"])
def test_frames_that_are_too_small_are_refused_with_the_size_that_would_do(preset: str, tmp_path: Path) -> None:
    experiment = find_experiment(preset)
    for side in (8, 13, 32, 40):
        movie = tmp_path / f"{side}.tif"
        counts = torch.poisson(torch.full((20, side, side), 50.0), generator=torch.Generator().manual_seed(0))
        write_movie(movie, counts.numpy().astype("uint16"))
        with pytest.raises(InputError, match=f"frames of {side} × {side} px are too small.*at least 52 px"):
            estimate_movie(Excerpt(movie), experiment, tmp_path / "e.yaml")
