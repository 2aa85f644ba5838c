"""A mask and a network that are defined here work in every job like the program's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import with_mask
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.tables import read_table, read_truth
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.kinds import NETWORKS
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizer.network import NetworkSpec, ProposalNetwork
from deepstorm3d.localizing.catalogue import describe_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.maxima import highest_around
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import MASK_KINDS, MaskSpec, PhaseMask, PixelMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import on_axis
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.priors import EmitterPrior, FixedCount, Scene
from deepstorm3d.spec import quantity
from factories import tiny_experiment

# A prism in the Fourier plane moves the image; by so many pixels to the right.
MOVED_PX = 3.0


@MASK_KINDS.register
class PrismMask(MaskSpec):
    """A linear phase, as of a prism: it moves the image and does nothing else."""

    kind: Literal["prism"] = "prism"
    moved_px: float = quantity(0.0, "px", "by which images move to the right", gt=-10, lt=10)

    def build(self, microscope: Microscope) -> PhaseMask:
        scope = microscope
        right = mask_coordinates(scope.mask_px, scope.mask_pitch)
        # An emitter at x has the phase 2 pi M x right / (wavelength f) in the Fourier plane.
        waves = scope.magnification * self.moved_px * scope.pixel_um / (scope.wavelength * scope.focal_length)
        return PixelMask((2 * math.pi * waves * right).expand(scope.mask_px, scope.mask_px).contiguous())


class BrightPixels(nn.Module):
    """Takes each pixel that stands out for a molecule in the middle of the depths; two numbers to learn."""

    memory_format = torch.contiguous_format

    def __init__(self, level: float, pixel_um: float, z_um: tuple[float, float]) -> None:
        super().__init__()
        self.level, self.slope = nn.Parameter(torch.tensor(level)), nn.Parameter(torch.tensor(4.0))
        self.pixel_um, self.z = pixel_um, sum(z_um) / 2

    def forward(self, images: Tensor) -> Tensor:
        return self.slope * (images[:, 0] - self.level)

    def loss(self, raw: Tensor, truth: Emitters) -> Tensor:
        there = torch.zeros_like(raw)
        column, row = (truth.xyz[:, :2] / self.pixel_um).round().long().unbind(1)
        there[truth.frame, row, column] = 1.0
        return functional.binary_cross_entropy_with_logits(raw, there)

    def decode(self, raw: Tensor, threshold: float) -> Localizations:
        heat = torch.sigmoid(raw.float())
        frame, row, column = ((heat == highest_around(heat, 4)) & (heat > threshold)).nonzero().unbind(1)
        xyz = torch.stack([column * self.pixel_um, row * self.pixel_um, torch.full_like(row, self.z)], 1)
        return Localizations.proposals(xyz.float(), frame, heat[frame, row, column])


@NETWORKS.register
class BrightPixelsSpec(NetworkSpec):
    """The brightest pixels."""

    kind: Literal["bright_pixels"] = "bright_pixels"
    level: float = quantity(2.0, "", "normalised value above which a pixel stands out", gt=0)

    def build(self, pixel_um: float, z_um: tuple[float, float]) -> ProposalNetwork:
        return BrightPixels(self.level, pixel_um, z_um)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment of this mask and network, as read from its file."""
    emitters = EmitterPrior(
        count=FixedCount(count=2),
        photons=FixedPhotons(photons=20_000.0),
        z_um=(0.2, 0.6),
        margin_px=(12.0, 12.0),
        blur_px=None,
    )
    experiment = tiny_experiment(
        mask=PrismMask(moved_px=MOVED_PX),
        network=BrightPixelsSpec(level=2.5),
        scenes={"main": Scene(emitters=emitters, background=UniformBackground(low=5.0, high=5.0))},
        frame_px=(40, 48),
        training=TrainingSpec(steps=2, batch=2, crop_px=32, validation_crops=4),
    )
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    write_experiment(experiment, path)
    again = read_experiment(path)
    assert again == experiment
    text = path.read_text(encoding="utf-8")
    assert "kind: prism" in text and "kind: bright_pixels" in text
    assert "by which images move to the right" in text
    return again


def test_a_registered_mask_does_what_its_phase_does(toy: Experiment) -> None:
    depths = on_axis(torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64))
    moved, straight = (
        build_psf(each.psf, each.microscope, experiment_mask(each))(depths).values
        for each in (toy, toy.with_(mask=PrismMask()))
    )
    pixels = round(MOVED_PX)
    # The coarse mask pixels show in the image by a few thousandths of the peak.
    assert torch.allclose(moved[:, :, pixels:], straight[:, :, :-pixels], atol=0.01 * float(straight.max()))
    assert float((moved - straight).abs().max()) > 0.5 * float(straight.max())


@pytest.mark.usefixtures("without_pictures")
def test_a_registered_network_trains_and_localizes_with_a_registered_mask(
    toy: Experiment, tmp_path: Path
) -> None:
    simulate_movie(MovieSimulation(toy, frames=4, seed=5), tmp_path / "m.tif", truth=tmp_path / "truth.csv")
    assert train_model(toy, tmp_path / "toy.pt", device="cpu") is not None
    model = load_model_file(tmp_path / "toy.pt")
    pixel_um = toy.microscope.pixel_um
    truth = read_truth(tmp_path / "truth.csv", pixel_um=pixel_um)
    for refine, name in ((False, "proposed"), (True, "fitted")):
        pipeline = load_pipeline(model, refine=refine)
        localize_movie(Excerpt(tmp_path / "m.tif"), pipeline, ListFile(tmp_path / f"{name}.csv"))
    proposed, fitted = (
        read_table(tmp_path / f"{name}.csv", pixel_um=pixel_um) for name in ("proposed", "fitted")
    )
    # The network names bright pixels, which the prism has moved; the fit knows the prism.
    shift = torch.tensor([MOVED_PX * pixel_um, 0.0])
    assert share_near(truth.xyz[:, :2] + shift, truth, proposed, 1.5 * pixel_um) > 0.7
    assert share_near(truth.xyz[:, :2], truth, fitted, 0.03) > 0.8
    assert describe_model(model).network == "bright_pixels"


def share_near(xy: Tensor, truth: Emitters, found: Localizations, within_um: float) -> float:
    """Share of the true molecules, at positions (N, 2) µm, with a row of the list that near in their frame."""
    apart = torch.cdist(xy, found.xyz[:, :2]) + 9 * (truth.frame[:, None] != found.frame[None])
    return float((apart.amin(1) < within_um).float().mean())


def test_a_registered_mask_is_named_and_refused_like_the_others(toy: Experiment) -> None:
    assert with_mask(tiny_experiment(), "prism").mask == PrismMask()
    assert experiment_mask(toy)().shape == (toy.microscope.mask_px,) * 2
    with pytest.raises(InputError, match=r"there is no mask 'prysm'; there are: .*prism"):
        with_mask(toy, "prysm")
