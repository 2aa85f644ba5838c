"""Dyes of a movie of one channel: from simulated frames to a list, by Python and by the command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.camera import IdealCamera
from deepstorm3d.cli import app
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.dye import Dye
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.io.tables import read_list, read_truth
from deepstorm3d.jobs.dyes_of_movie import MovieDyes, dyes_of_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.specimen import Specimen
from factories import tiny_experiment, untrained_model
from watchers import Recorder

FRAMES = 4


def setup() -> Experiment:
    """Bright molecules of an astigmatic lens, at 500 and 700 nm."""
    base = tiny_experiment(frame_px=(48, 48), camera=IdealCamera())
    scene = base.scene()
    bright = scene.emitters.with_(photons=FixedPhotons(photons=6000.0), margin_px=(8.0, 8.0))
    scene = scene.with_(emitters=bright, background=UniformBackground(low=15.0, high=15.0))
    dyes = {"short": Dye(wavelength=0.5), "long": Dye(wavelength=0.7)}
    return base.with_(scenes={"main": scene}, dyes=dyes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie with its truth, and models that propose nothing: the search of the fit finds the molecules."""
    made = tmp_path_factory.mktemp("dyes")
    simulation = MovieSimulation(setup(), frames=FRAMES, specimen=Specimen(emitters=4), seed=3)
    simulate_movie(simulation, made / "movie.tif", truth=made / "truth.csv")
    save_model_file(untrained_model(setup(), 1.0), made / "dyes.pt")
    save_model_file(untrained_model(setup().with_(dyes={}), 1.0), made / "plain.pt")
    return made


def right(found: Localizations, truth: Emitters) -> float:
    """Part of the true molecules that are found with their dye."""
    pairs = match(truth, found, tolerance_um=0.1)
    assert found.dye is not None and truth.dye is not None
    return float((found.dye[pairs.found_index] == truth.dye[pairs.truth_index]).sum()) / len(truth)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["dyes", *map(str, arguments)])


def test_a_movie_gives_a_list_with_the_dye_of_each_molecule(folder: Path) -> None:
    truth = read_truth(folder / "truth.csv")
    model = ds.load_model(folder / "dyes.pt", device="cpu")
    found = ds.dyes_of_movie(folder / "movie.tif", model)
    assert found.names == ("short", "long")
    assert right(found.localizations, truth) > 0.9
    assert found.misassigned < 0.1 and sum(found.molecules) == len(found.localizations)
    # Positions in the list are those of the molecule's own PSF.
    pairs = match(truth, found.localizations, tolerance_um=0.1)
    off = found.localizations.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]
    assert float((off / found.localizations.sigma_xyz[pairs.found_index]).abs().median()) < 1.2


def test_the_command_takes_wavelengths_and_writes_the_list(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.hdf5"
    done = call(
        folder / "movie.tif", "--model", folder / "plain.pt", "--dye", "red=700", "--dye", "green=500",
        "--frames", "1:4", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "green" in done.output and "expected to be wrong" in done.output
    table, header = read_list(out)
    assert header.provenance["dyes"] == ["green", "red"]
    assert sorted(set(table.frame.tolist())) == [1, 2, 3]
    truth = read_truth(folder / "truth.csv")
    assert right(table, truth.select(truth.frame >= 1)) > 0.9
    again = call(folder / "movie.tif", "--model", folder / "dyes.pt", "--out", out)
    assert again.exit_code == 2 and "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "plain.pt"], "two wavelengths or more, there are: none"),
        (["--model", "plain.pt", "--dye", "a=0.3"], "emission wavelength in nm"),
        (["--model", "plain.pt", "--dye", "a=600", "--dye", "b=600"], "there are: a 600 nm, b 600 nm"),
        (["--model", "dyes.pt", "--dyes", "2"], "for lists with shares"),
        (["--dye", "a=0.3", "--frames", "0:2"], "--frames is for movies"),
        (["--model", "dyes.pt", "--sure", "2"], "between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path, options: list[str], words: str) -> None:
    given = [str(folder / text) if text.endswith(".pt") else text for text in options]
    done = call(folder / "movie.tif", *given, "--out", tmp_path / "x.hdf5")
    assert done.exit_code == 2 and words in " ".join(done.stderr.split())
    assert not (tmp_path / "x.hdf5").exists()


def test_a_network_of_several_channels_is_refused(folder: Path) -> None:
    two = setup().with_(dyes={}, channels={"far": Channel()})
    with pytest.raises(InputError, match="sees several channels"):
        dyes_of_movie(Excerpt(folder / "movie.tif"), untrained_model(two, 1.0), MovieDyes({"a": 0.5, "b": 0.7}))


def test_a_watcher_stops_the_work(folder: Path) -> None:
    with pytest.raises(Interrupted):
        dyes_of_movie(
            Excerpt(folder / "movie.tif", frames=(0, 1)),
            untrained_model(setup(), 1.0),
            MovieDyes(),
            watch=Recorder(stop_at=1),
        )


def test_an_empty_movie_gives_an_empty_list() -> None:
    dark = torch.poisson(torch.full((1, 48, 48), 15.0), torch.Generator().manual_seed(1)).numpy()
    model = untrained_model(setup(), 1.0)
    found = dyes_of_movie(Excerpt(dark), model, MovieDyes())
    assert found.molecules == (0, 0, 0) and len(found.localizations) == 0
