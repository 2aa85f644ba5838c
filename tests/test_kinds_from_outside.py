"""A camera, a background and a photon law that are defined here work in every job like the program's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import CAMERAS, CameraSpec, Noise, ScmosCamera, poisson
from deepstorm3d.chip import Maps
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.field import Field
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import read_table, read_truth
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.camera_change import change_camera
from deepstorm3d.localizing.catalogue import describe_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.backgrounds import BACKGROUNDS, BackgroundSpec
from deepstorm3d.simulation.photons import PHOTONS, PhotonSpec
from deepstorm3d.simulation.priors import EmitterPrior, FixedCount, Scene
from deepstorm3d.spec import quantity

LEAK = 9.0


@CAMERAS.register
class LeakyCamera(CameraSpec):
    """A camera that counts each photo-electron with others of its own, at random."""

    kind: Literal["leaky"] = "leaky"
    leak: float = quantity(4.0, "e-", "electrons of its own in each pixel, mean", ge=0)
    saturation: float = quantity(65535.0, "counts", "greatest count a pixel can give", gt=0)

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        return poisson(expected + self.leak, generator).clamp(max=self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        return counts.float() - self.leak

    def pixel_noise(self, maps: Maps | None = None) -> Noise:
        return Noise(read_variance=self.leak)


@BACKGROUNDS.register
class SlopingBackground(BackgroundSpec):
    """Brighter to the right."""

    kind: Literal["sloping"] = "sloping"
    high: float = quantity(12.0, "photons/pixel", "at the right edge", ge=0)

    def draw(
        self, frames: int, field: Field, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Tensor:
        return (
            torch.linspace(0, self.high, field.width).expand(frames, *field.size).to(device or generator.device)
        )

    @property
    def levels(self) -> tuple[float, float]:
        return 0.0, self.high


@PHOTONS.register
class TwoBrightnesses(PhotonSpec):
    """Dim or bright, as often."""

    kind: Literal["two"] = "two"
    dim: float = quantity(3000.0, "photons", "of a dim emitter", gt=0)
    bright: float = quantity(6000.0, "photons", "of a bright emitter", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        which = torch.rand(number, generator=generator, device=generator.device) < 0.5
        return torch.where(which, self.dim, self.bright)

    @property
    def mean(self) -> float:
        return (self.dim + self.bright) / 2


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment of these kinds, as read from its file."""
    emitters = EmitterPrior(
        count=FixedCount(count=2), photons=TwoBrightnesses(), z_um=(0.2, 1.0), margin_px=(9.0, 9.0)
    )
    base = preset("quickstart")
    experiment = base.with_(
        psf=base.psf.with_(patch_px=21),
        camera=LeakyCamera(leak=LEAK),
        scenes={"main": Scene(emitters=emitters, background=SlopingBackground())},
        frame_px=(32, 40),
        network=CoarseSpec(channels=8, skip=8, dilations=(1,)),
        training=TrainingSpec(steps=2, batch=2, crop_px=24, validation_crops=4),
    )
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    write_experiment(experiment, path)
    again = read_experiment(path)
    assert again == experiment
    assert "kind: leaky" in path.read_text(encoding="utf-8")
    return again


@pytest.mark.usefixtures("without_pictures")
def test_a_toy_camera_simulates_trains_and_localizes(toy: Experiment, tmp_path: Path) -> None:
    simulate_movie(MovieSimulation(toy, frames=3, seed=3), tmp_path / "m.tif", truth=tmp_path / "truth.csv")
    with open_movie(tmp_path / "m.tif") as movie:
        counts = movie.read(0, 3)
    # Left of all molecules there is next to no light: the camera's own electrons alone.
    assert float(counts[:, :, :2].mean()) == pytest.approx(LEAK, rel=0.2)
    assert train_model(toy, tmp_path / "toy.pt", device="cpu") is not None
    model = load_model_file(tmp_path / "toy.pt")
    # The network has learnt nothing in two steps: the search of the joint fit finds the molecules.
    pipeline = load_pipeline(model, method="pursuit")
    assert isinstance(pipeline.camera, LeakyCamera) and pipeline.camera.leak == LEAK
    localize_movie(Excerpt(tmp_path / "m.tif"), pipeline, ListFile(tmp_path / "list.csv"))
    pixel_um = toy.microscope.pixel_um
    truth = read_truth(tmp_path / "truth.csv", pixel_um=pixel_um)
    found = read_table(tmp_path / "list.csv", pixel_um=pixel_um)
    assert abs(len(found) - len(truth)) <= 2
    near = torch.cdist(truth.xyz, found.xyz) + 9 * (truth.frame[:, None] != found.frame[None])
    assert float((near.amin(1) < 0.1).float().mean()) > 0.8
    card = describe_model(model).scenes[0]
    assert (card.photons, card.background) == ("mean 4500 (two)", "0 to 12 per px")


def test_a_registered_camera_is_changed_and_refused_like_the_others() -> None:
    leaky = LeakyCamera(leak=2.0)
    assert change_camera(leaky, {"leak": 3}) == LeakyCamera(leak=3.0)
    assert change_camera(leaky, {"gain": 2.5}) == ScmosCamera(gain=2.5, baseline=0.0, read_noise=0.0)
    with pytest.raises(InputError, match=r"leek: no camera has such a value; did you mean 'leak'"):
        change_camera(leaky, {"leek": 3})


def test_a_camera_that_does_not_say_when_its_pixels_are_full_is_refused_where_it_is_defined():
    with pytest.raises(TypeError, match="needs a field saturation"):
        type("Endless", (CameraSpec,), {"__annotations__": {"kind": Literal["endless"]}, "kind": "endless"})
