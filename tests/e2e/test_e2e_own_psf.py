"""A PSF of one's own, registered from outside: it is simulated, learnt and fitted like those of the program."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import configure_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.export_psf import export_psf
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.catalogue import describe_model, export_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import Patches, patch_corner
from deepstorm3d.optics.psf_kinds import PSF_KINDS
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.simulation.specimen import Specimen
from deepstorm3d.spec import quantity


class GaussianImages:
    """Gaussians, integrated over pixels, that widen with depth as a beam does."""

    def __init__(self, spec: GaussianPSFSpec, pixel_um: float, patch_px: int) -> None:
        self.spec, self.pixel_um, self.patch_px = spec, pixel_um, patch_px

    def __call__(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        blur = torch.full_like(xyz[:, 0], self.spec.blur_px) if blur_px is None else blur_px
        corner, offset = patch_corner(xyz, self.pixel_um, self.patch_px)
        waist = self.spec.waist_um / self.pixel_um
        width = waist * (1 + (xyz[:, 2] / self.spec.range_um).square()).sqrt()
        sigma = (width.square() + blur.square()).sqrt()[:, None, None]
        edges = torch.arange(self.patch_px + 1, dtype=xyz.dtype) - self.patch_px / 2
        below = torch.erf((edges - offset[:, :, None]) / (math.sqrt(2) * sigma)) / 2
        across, down = below.diff(dim=2).unbind(1)
        values = down[:, :, None] * across[:, None]
        return Patches(values, corner, values.sum((1, 2)))


@PSF_KINDS.register
class GaussianPSFSpec(PSFSpec):
    """A spot without a mask."""

    kind: Literal["toy_gaussian"] = "toy_gaussian"
    waist_um: float = quantity(0.12, "µm", "Gaussian σ at the coverslip", gt=0)
    range_um: float = quantity(0.5, "µm", "depth at which it is wider by √2", gt=0)

    def images(
        self,
        microscope: Microscope,
        source: Any,
        *,
        patch_px: int | None = None,
        blur_px: tuple[float, float] | None = None,
    ) -> GaussianImages:
        return GaussianImages(self, microscope.pixel_um, self.patch_px if patch_px is None else patch_px)


SMALL = [
    "psf.kind=toy_gaussian",
    "psf.waist_um=0.13",
    "psf.patch_px=21",
    "network.channels=8",
    "network.skip=4",
    "network.dilations=[1]",
    "training.steps=2",
    "training.batch=2",
    "training.warmup_steps=1",
    "training.crop_px=32",
    "training.validate_every=2",
    "training.validation_crops=2",
    "frame_px=[48, 56]",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """experiment.yaml, a movie with its truth, and a model of two steps."""
    folder = tmp_path_factory.mktemp("own")
    experiment = configure_experiment("quickstart", folder / "experiment.yaml", assignments=SMALL)
    simulate_movie(
        MovieSimulation(experiment, frames=3, specimen=Specimen(emitters=6)),
        folder / "m.tif",
        truth=folder / "t.csv",
    )
    assert train_model(experiment, folder / "model.pt") is not None
    return folder


def experiment_in(folder: Path) -> Experiment:
    return read_experiment(folder / "experiment.yaml")


def test_it_stands_in_an_experiment_file_with_its_own_keys(folder: Path) -> None:
    psf = experiment_in(folder).psf
    assert psf == GaussianPSFSpec(waist_um=0.13, patch_px=21)
    text = (folder / "experiment.yaml").read_text(encoding="utf-8")
    assert "kind: toy_gaussian" in text and "waist_um: 0.13  # µm: Gaussian σ at the coverslip" in text
    assert "pupil_oversampling" not in text
    with pytest.raises(InputError, match=r"psf.waist: no such key; did you mean 'waist_um'\?"):
        read_experiment(folder / "experiment.yaml", ["psf.waist=0.2"])


def test_the_simulated_movie_shows_its_spots(folder: Path) -> None:
    experiment = experiment_in(folder)
    truth = read_table(folder / "t.csv", pixel_um=experiment.microscope.pixel_um)
    with open_movie(folder / "m.tif") as movie:
        light = torch.from_numpy(movie.read(0, 3).astype("float32")).sum() - 20.0 * 3 * 48 * 56
    # 18 molecules of 5,000 photons; what lies beyond the frame and the background's noise: 5 %.
    assert float(light) == pytest.approx(5000.0 * len(truth), rel=0.05)


def test_its_model_localizes_with_the_joint_fit(folder: Path) -> None:
    model = load_model_file(folder / "model.pt")
    assert model.mask is None and model.planes is None
    assert describe_model(model).psf == "toy_gaussian PSF"
    pipeline = load_pipeline(model, threshold=0.999)
    assert isinstance(pipeline.fit, JointFit)
    localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(folder / "found.hdf5"))
    pixel = experiment_in(folder).microscope.pixel_um
    truth, found = (read_table(folder / name, pixel_um=pixel) for name in ("t.csv", "found.hdf5"))
    apart = torch.cdist(truth.xyz, found.xyz).masked_fill(truth.frame[:, None] != found.frame, 9.0).amin(1)
    # The network has learnt nothing: the likelihood finds the molecules through the PSF. 6 are in each frame.
    assert float((apart < 0.1).float().mean()) >= 0.7


def test_what_it_has_no_mask_for_is_refused_and_the_rest_is_exported(folder: Path, tmp_path: Path) -> None:
    experiment = experiment_in(folder)
    with pytest.raises(InputError, match=r"has a toy_gaussian PSF, and its mask is unknown"):
        experiment_mask(experiment)
    planes = export_psf(experiment, tmp_path / "psf.tif")
    assert float(planes.values[0].max()) > 2 * float(planes.values[-1].max())
    written = export_model(folder / "model.pt", tmp_path / "out")
    assert [path.name for path in written] == ["experiment.yaml", "card.json"]
    assert read_experiment(tmp_path / "out" / "experiment.yaml").psf == experiment.psf
