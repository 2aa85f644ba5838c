"""A PSF that changes across the field, from the experiment to the list: each molecule by that of its place."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import yaml

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.limit import Sweep, limit
from deepstorm3d.jobs.preview import simulated_like
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import build_sampler
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.fits import Method
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.spec import to_yaml
from factories import tiny_experiment, untrained_model

SIZE = (120, 160)
FIELD = FieldSpec(size_px=SIZE, rises={6: (0.6, 0.0), 7: (0.0, 0.6)})
PHOTONS, BACKGROUND = 20_000.0, 10.0
# Fits of the same images from other starts end within a part of σ, µm; with another place's PSF they do not.
SAME_UM = 0.003


@cache
def set_up(size_px: tuple[int, int] | None = SIZE) -> Experiment:
    """Its aberrations change over a field of that size, or not at all (None)."""
    small = tiny_experiment()
    field = FieldSpec() if size_px is None else FIELD.with_(size_px=size_px)
    return small.with_(psf=small.psf.with_(field=field))


@cache
def pipeline(method: Method, size_px: tuple[int, int] | None = SIZE) -> Pipeline:
    return load_pipeline(untrained_model(set_up(size_px), 0.5), method=method)


@cache
def frame(noise: int = 0) -> tuple[Emitters, torch.Tensor]:
    """Molecules on a grid over the whole field, each drawn by the exact PSF of its place, with shot noise.

    noise: which of its draws.
    """
    experiment = set_up()
    pixel, (low, high) = experiment.microscope.pixel_um, experiment.z_um
    generator = torch.Generator().manual_seed(4)
    image = torch.full(SIZE, BACKGROUND)
    rows = []
    for row in range(14, SIZE[0] - 10, 23):
        for column in range(14, SIZE[1] - 10, 26):
            shift = torch.rand(3, generator=generator)
            x, y = (column + float(shift[0])) * pixel, (row + float(shift[1])) * pixel
            rows.append([x, y, low + (high - low) * (0.2 + 0.6 * float(shift[2]))])
    xyz = torch.tensor(rows)
    for place in xyz:
        across = (float(place[0]) / pixel + 0.5) / SIZE[1] - 0.5
        down = (float(place[1]) / pixel + 0.5) / SIZE[0] - 0.5
        psf = build_psf(experiment.psf.at(across, down), experiment.microscope, experiment_mask(experiment))
        patches = psf(place[None])
        (x, y), side = patches.corner[0].tolist(), patches.values.shape[1]
        image[y : y + side, x : x + side] += PHOTONS * patches.values[0]
    count = len(xyz)
    truth = Emitters(
        xyz, torch.zeros(count, dtype=torch.int64), torch.full((count,), PHOTONS), torch.arange(count)
    )
    if noise:
        generator.manual_seed(noise)
    return truth, torch.poisson(image, generator=generator)[None]


def errors(found: Localizations) -> torch.Tensor:
    """Error over σ of the found molecule nearest to each true one, (N, 3)."""
    truth, _ = frame()
    nearest = torch.cdist(truth.xyz[:, :2], found.xyz[:, :2]).argmin(1)
    return (found.xyz[nearest] - truth.xyz) / found.sigma_xyz[nearest]


def test_molecules_all_over_the_field_scatter_as_their_sigma_says() -> None:
    truth, photons = frame()
    found = pipeline("mle").localize(photons)
    assert len(found) == len(truth)
    assert float(errors(found).square().mean()) < 1.6
    same = pipeline("mle", None).localize(photons)
    assert float(errors(same).square().mean()) > 20


def test_a_search_finds_molecules_all_over_the_field() -> None:
    # In one frame of five it ends at a wrong arrangement (bright light, and it starts from nothing): which one
    # depends on the rounding of the processor.
    right = 0
    for noise in range(8):
        truth, photons = frame(noise)
        found = pipeline("pursuit").localize(photons)
        right += len(found) == len(truth) and float(errors(found).square().mean()) < 1.6
    assert right >= 5


def test_a_region_gives_what_the_whole_frame_gives() -> None:
    _, photons = frame()
    whole = pipeline("mle").localize(photons)
    pixel = set_up().microscope.pixel_um
    x0, y0, x1, y1 = 72, 40, 160, 120
    region = Field(*SIZE, pixel).part((x0, y0, x1, y1))
    part = pipeline("mle").in_field(region).localize(photons[:, y0:y1, x0:x1])
    part = part.shift(xyz=(x0 * pixel, y0 * pixel, 0.0))
    assert len(part) > 5
    distance, nearest = torch.cdist(part.xyz.double(), whole.xyz.double()).min(1)
    # Molecules at the region's border have fewer pixels, and another σ.
    inner = ((part.xyz[:, 0] > (x0 + 12) * pixel) & (part.xyz[:, 1] > (y0 + 12) * pixel)).nonzero()[:, 0]
    assert len(inner) > 4
    assert float(distance[inner].max()) < SAME_UM
    assert torch.allclose(part.photons[inner], whole.photons[nearest[inner]], rtol=2e-3)


def test_tiles_give_what_the_frame_gives_at_once() -> None:
    size, model = (300, 380), pipeline("mle", (300, 380))
    pixel, generator = model.psf.pixel_um, torch.Generator().manual_seed(6)
    xyz = torch.cartesian_prod(torch.arange(20.0, 370, 40), torch.arange(20.0, 290, 40), torch.tensor([0.6]))
    xyz = xyz * torch.tensor([pixel, pixel, 1.0])
    rows = torch.arange(len(xyz))
    truth = Emitters(xyz, torch.zeros_like(rows), torch.full((len(xyz),), PHOTONS), rows)
    psf = set_up(size).psf.tabulate(set_up(size).microscope, experiment_mask(set_up()), (0.0, 1.2), (1.0, 1.0))
    image = Simulator(psf, set_up().camera, Field(*size, pixel)).expected(
        truth, torch.full((1, *size), BACKGROUND)
    )
    photons = torch.poisson(image, generator=generator)
    at_once = model.localize(photons)
    tiled = replace(model, tile_px=96).localize(photons)
    assert len(tiled) == len(at_once) == len(truth)
    distance = torch.cdist(at_once.xyz.double(), tiled.xyz.double()).amin(1)
    assert float(distance.max()) < SAME_UM


def test_frames_simulated_like_a_region_are_drawn_with_the_psf_of_the_region() -> None:
    pixel = set_up().microscope.pixel_um
    parts = [Field(*SIZE, pixel).part((x, 0, x + 48, 48)) for x in (0, 0, SIZE[1] - 48)]
    images = [simulated_like(pipeline("mle").in_field(part), torch.zeros(2, 48, 48)) for part in parts]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_a_simulated_region_of_the_chip_has_the_psf_of_its_place(tmp_path: Path) -> None:
    region = (96, 0, 160, 64)
    camera = ScmosCamera(region=region, baseline=100.0, gain=1.0, read_noise=1.0)
    scene = set_up().scene()
    prior = scene.emitters.with_(count=FixedCount(count=4), photons=FixedPhotons(photons=PHOTONS), blur_px=None)
    scenes = {"beads": scene.with_(emitters=prior)}
    experiment = set_up().with_(camera=camera, frame_px=(64, 64), scenes=scenes)
    simulate_movie(
        MovieSimulation(experiment, frames=4, seed=1), tmp_path / "m.tif", truth=tmp_path / "true.csv"
    )
    truth = read_truth(tmp_path / "true.csv", pixel_um=experiment.microscope.pixel_um)
    made = load_pipeline(untrained_model(experiment, 0.5), method="mle")
    with Excerpt(tmp_path / "m.tif").open() as source:
        here = source.at_work(made)
        assert here.field == Field(64, 64, experiment.microscope.pixel_um, region[:2])
        photons = here.to_photons(torch.from_numpy(source.read(0, 4).astype(np.float32)))
    found = Localizations.proposals(truth.xyz, truth.frame, torch.ones(len(truth)))
    elsewhere = here.in_field(Field(64, 64, experiment.microscope.pixel_um))
    right, wrong = (float(each.photometry(found, photons).chi_square.mean()) for each in (here, elsewhere))
    # Of the light, the simulation has what is outside the model's narrow patch, too.
    assert right < 1.6
    assert wrong > 2 * right


def test_training_crops_roam_only_where_something_changes() -> None:
    changing, same = build_sampler(set_up()), build_sampler(set_up(None))
    assert changing.simulator.field.size == SIZE
    assert changing.crop_px == set_up().training.crop_px
    assert changing.field.size == same.field.size == same.simulator.field.size
    assert same.crop_px is None


def test_the_field_stands_in_the_experiment_file_with_its_meaning() -> None:
    text = to_yaml(set_up(), "")
    assert "change from the left to the right edge" in " ".join(text.replace("#", " ").split())
    assert Experiment.model_validate(yaml.safe_load(text)).psf.field == FIELD


def test_limits_are_those_of_the_middle_of_the_field() -> None:
    sweep = Sweep(depths=3, photons=(2e3,), background=(10.0,), emitters=(1,), molecules=40)
    changing, plain = (limit(set_up(size), sweep=sweep).masks[0] for size in (SIZE, None))
    assert torch.equal(torch.tensor(changing.depth.sigma_nm), torch.tensor(plain.depth.sigma_nm))
