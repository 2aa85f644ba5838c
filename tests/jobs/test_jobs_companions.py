"""What belongs to camera pixels goes with them, in every command, however the frames are turned and cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.beads.reading import read_beads
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.camera import IdealCamera, ScmosCamera
from deepstorm3d.chip import Region
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.frames.companions import crops_field, shown_field
from deepstorm3d.io.movies.preparation import Flip, Prepared
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs import preview, regenerate
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import build_sampler
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.field_aberrations import FieldSpec
from factories import model_of_noise, tiny_experiment, write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

SIZE = (48, 40)
REGION: Region = (9, 5, 49, 53)
"""Of a chip of 61 × 70 px: what the frames of SIZE show, as stored."""


@dataclass(frozen=True)
class Recorded:
    """The same light twice: in photons, and in counts of a camera with maps of its whole chip."""

    photons: Path
    counts: Path
    camera: ScmosCamera


def record(folder: Path, photons: np.ndarray) -> Recorded:
    """Whole numbers of counts per photon, so that nothing is rounded."""
    draw = np.random.default_rng(1)
    chip = {"baseline": draw.integers(90, 120, (70, 61)), "gain": draw.integers(1, 4, (70, 61))}
    for name, values in chip.items():
        np.save(folder / f"{name}.npy", values.astype(np.float32))
    x0, y0, x1, y1 = REGION
    counts = chip["baseline"][y0:y1, x0:x1] + chip["gain"][y0:y1, x0:x1] * photons
    for name, values in (("photons", photons), ("counts", counts)):
        write_movie(folder / f"{name}.tif", values.astype(np.uint16))
    paths = {name: str(folder / f"{name}.npy") for name in chip}
    camera = ScmosCamera.model_validate({**paths, "read_noise": 0.0, "region": REGION})
    return Recorded(folder / "photons.tif", folder / "counts.tif", camera)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("maps"), np.random.default_rng(0).poisson(20, (5, *SIZE)))


@pytest.fixture(scope="module")
def model() -> ModelFile:
    experiment = tiny_experiment(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2)))
    frame = torch.poisson(torch.full((1, *SIZE), 20.0), generator=torch.Generator().manual_seed(3))
    return model_of_noise(experiment, frame)


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("roi", [None, (4, 6, 38, 37)])
def test_localize_gives_the_list_of_the_photons_however_frames_turn(
    model: ModelFile, recorded: Recorded, tmp_path: Path, flip: Flip, transpose: bool, roi: Region | None
):
    prepared = Prepared(flip=flip, transpose=transpose)
    lists = []
    for movie, camera in ((recorded.photons, None), (recorded.counts, recorded.camera)):
        out = tmp_path / f"{movie.stem}.csv"
        pipeline = load_pipeline(model, camera=camera, refine=False)
        localize_movie(Excerpt(movie, roi=roi, prepared=prepared), pipeline, ListFile(out))
        lists.append(out.read_bytes())
    assert len(read_table(tmp_path / "photons.csv")) > 5
    assert lists[0] == lists[1]


def test_preview_and_regenerate_see_the_photons_too(
    model: ModelFile, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for job in (regenerate, preview):
        monkeypatch.setattr(job, "save_figure", lambda figure, path: None)
    prepared = Prepared(flip="vertical", transpose=True)
    seen, drawn = [], []
    for movie, camera in ((recorded.photons, None), (recorded.counts, recorded.camera)):
        pipeline, excerpt = load_pipeline(model, camera=camera, refine=False), Excerpt(movie, prepared=prepared)
        seen.append(preview.preview_movie(excerpt, pipeline, tmp_path / movie.stem, frames=2).frames)
        localize_movie(excerpt, pipeline, ListFile(tmp_path / f"{movie.stem}.csv"))
        list_, picture = tmp_path / f"{movie.stem}.csv", tmp_path / f"{movie.stem}.png"
        drawn.append(regenerate.regenerate_frame(list_, excerpt, pipeline, picture))
    assert seen[0] == seen[1]
    assert drawn[0] == drawn[1]


def test_frames_of_another_size_are_refused_unless_the_region_is_named(
    model: ModelFile, recorded: Recorded, tmp_path: Path
):
    camera = recorded.camera.with_(region=None)
    pipeline = load_pipeline(model, camera=camera.to_mapping(), refine=False)
    remedy = r"61 x 70 px .*frames are 40 x 48 px: name the region .*camera\.region"
    with pytest.raises(InputError, match=remedy):
        localize_movie(Excerpt(recorded.counts), pipeline, ListFile(tmp_path / "o.csv"))
    assert not list(tmp_path.iterdir())
    own = preset("quickstart").with_(camera=camera)
    with pytest.raises(InputError, match=remedy):
        estimate_movie(Excerpt(recorded.counts), own, tmp_path / "e.yaml")
    with pytest.raises(InputError, match=remedy):
        scan_stack(Excerpt(recorded.counts), own, tmp_path / "s.csv", FocalPlanes(0.1))
    with pytest.raises(InputError, match=r"61 x 70 px .*slices of counts\.tif are 40 x 48 px: name the region"):
        read_beads(own, [recorded.counts], BeadSettings(step_um=0.5), experiment_mask(own))
    with pytest.raises(InputError, match=r"61 x 70 px .*frame_px\) are 40 x 48 px: name the region"):
        simulate_movie(MovieSimulation(own.with_(frame_px=SIZE), frames=1), tmp_path / "m.tif")
    with pytest.raises(InputError, match="not inside its baseline map of 61 x 70 px"):
        recorded.camera.with_(region=(30, 5, 70, 53)).load_maps()
    with pytest.raises(InputError, match="measure maps of all of it"):
        localize_movie(
            Excerpt(recorded.counts),
            load_pipeline(model, camera=camera.with_(region=(0, 0, 20, 48)), refine=False),
            ListFile(tmp_path / "o.csv"),
        )


@pytest.mark.parametrize("roi", [None, (2, 8, 34, 40)])
def test_the_maps_of_an_excerpt_are_of_its_pixels(recorded: Recorded, roi: Region | None):
    """What estimate and axial-scan make photons with."""
    prepared = Prepared(flip="horizontal", transpose=True)
    seen = []
    for movie, camera in ((recorded.photons, IdealCamera()), (recorded.counts, recorded.camera)):
        with Excerpt(movie, roi=roi, prepared=prepared).open() as source:
            counts = torch.from_numpy(source.read(0, 5).astype(np.float32))
            seen.append(camera.to_photons(counts, source.maps_of(camera)))
    assert torch.equal(*seen)


def test_beads_are_found_in_the_same_photons(tmp_path: Path):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    spot = 4000 * np.exp(-((rows - 25) ** 2 + (columns - 20) ** 2) / (2 * 1.6**2))
    light = np.stack([np.round(spot * level + 10) for level in (0.3, 0.45, 0.6, 0.75, 0.9)])
    recorded = record(tmp_path, np.random.default_rng(2).poisson(light))
    base = preset("quickstart")
    base = base.with_(microscope=base.microscope.with_(mask_pitch=60.0))
    settings = BeadSettings(step_um=0.3, side_px=21)
    found = [
        read_beads(base.with_(camera=camera), [movie], settings, experiment_mask(base))
        for movie, camera in ((recorded.photons, IdealCamera()), (recorded.counts, recorded.camera))
    ]
    assert found[0].places == found[1].places
    assert torch.equal(found[0].images.likelihood.frames, found[1].images.likelihood.frames)


def test_a_simulated_movie_is_of_the_region_that_localize_takes(
    model: ModelFile, recorded: Recorded, tmp_path: Path
):
    experiment = load_pipeline(model, refine=False).experiment.with_(camera=recorded.camera, frame_px=SIZE)
    simulate_movie(MovieSimulation(experiment, frames=40), tmp_path / "m.tif")
    with Excerpt(tmp_path / "m.tif").open() as source:
        counts = torch.from_numpy(source.read(0, 40).astype(np.float32))
        photons = recorded.camera.to_photons(counts, source.maps_of(recorded.camera))
    # Photons are whole where each pixel has its own gain and baseline back, and only there.
    assert torch.equal(photons, photons.round())
    assert float(photons.min()) >= 0


def test_training_crops_come_from_everywhere_on_the_maps(model: ModelFile, tmp_path: Path):
    """Pixels whose noise is known one by one: those of each crop must be the ones that the chip has there."""
    draw = np.random.default_rng(3)
    np.save(tmp_path / "baseline.npy", draw.integers(0, 2000, (60, 70)).astype(np.float32))
    camera = ScmosCamera(baseline=str(tmp_path / "baseline.npy"), gain=1.0, read_noise=0.0)
    experiment = load_pipeline(model, refine=False).experiment
    experiment = experiment.with_(camera=camera, training=experiment.training.with_(crop_px=48))
    sampler = build_sampler(experiment)
    assert sampler.simulator.field.size == (60, 70)
    seen: list[Tensor] = []
    expose = sampler.simulator.camera.expose

    def watched(
        expected: torch.Tensor, generator: torch.Generator, maps: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        seen.append(maps["baseline"])
        return expose(expected, generator, maps)

    object.__setattr__(sampler.simulator.camera, "expose", watched)
    batch = sampler.draw(64, torch.Generator().manual_seed(0))
    # A baseline that was not taken off again at its own pixel would leave thousands of photons.
    assert float(batch.photons.min()) >= 0
    corners = {float(baseline[0, 0]) for baseline in torch.cat(seen)}
    assert len(corners) > 40


def test_crops_lie_at_one_place_of_maps_and_field():
    across = FieldSpec(size_px=(512, 400), rises={6: (0.5, 0.0)})
    plain, camera = FieldSpec(), ScmosCamera(region=(10, 20, 210, 276))
    crop, chip, full = Field(64, 64, 0.1), {"gain": torch.ones(256, 200)}, {"gain": torch.ones(512, 400)}
    assert crops_field(crop, plain, camera, {}) is None
    assert crops_field(crop, across, camera, {}) == Field(512, 400, 0.1)
    assert crops_field(crop, plain, camera, chip) == Field(256, 200, 0.1)
    assert crops_field(crop, across, camera, chip) == Field(256, 200, 0.1, (10, 20))
    assert crops_field(crop, across, ScmosCamera(), full) == Field(512, 400, 0.1)
    # A crop larger than the field in which the PSF changes shows the PSF of the edge outside.
    assert crops_field(Field(450, 450, 0.1), across, camera, {}) == Field(512, 450, 0.1)
    with pytest.raises(InputError, match=r"400 x 512 px .*200 x 256 px"):
        crops_field(crop, across, ScmosCamera(), chip)
    with pytest.raises(InputError, match="crop is 300 x 300 px"):
        crops_field(Field(300, 300, 0.1), plain, camera, chip)


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "both"])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_region_of_the_field_begins_where_turning_brings_it(flip: Flip, transpose: bool):
    prepared = Prepared(flip=flip, transpose=transpose)
    chip = torch.arange(500 * 400).reshape(500, 400)
    x0, y0, x1, y1 = region = (30, 50, 130, 90)
    field, part = prepared.turned(chip), prepared.turned(chip[y0:y1, x0:x1])
    across = FieldSpec(size_px=(field.shape[0], field.shape[1]), rises={6: (0.5, 0.0)})
    frame = Field(part.shape[0], part.shape[1], 0.1)
    shown = shown_field(frame, across, ScmosCamera(region=region), prepared)
    whole = Field(field.shape[0], field.shape[1], 0.1)
    assert torch.equal(field[shown.pixels_of(whole)], part)


def test_maps_beside_an_experiment_file_are_found(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = recorded.counts.parent
    own = preset("quickstart").with_(camera=recorded.camera.with_(baseline="baseline.npy", gain="gain.npy"))
    write_experiment(own, folder / "experiment.yaml")
    monkeypatch.chdir(tmp_path)
    camera = read_experiment(folder / "experiment.yaml").camera
    assert set(camera.load_maps()) == {"baseline", "gain"}
