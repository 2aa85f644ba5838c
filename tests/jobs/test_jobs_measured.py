"""An experiment with a measured PSF: its planes stand where the mask stood, and what they cannot do is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from bead_stacks import FIRST_UM, STEP_UM, bead_folder
from deepstorm3d.calibration.measured_psf.experiment import measured_experiment
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import configure_experiment, find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.light_patch import patch_for_light
from deepstorm3d.experiment.optics import experiment_mask, psf_source, whole_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.io.masks import write_mask
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.psfs import read_psf, write_psf
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.export_psf import export_psf
from deepstorm3d.jobs.limit import Sweep, limit, masks_to_compare
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.catalogue import describe_model, export_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.measured import MeasuredPSFSpec, sample_volume
from deepstorm3d.psf_volume import PSFVolume
from deepstorm3d.simulation.priors import FixedCount
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.simulation.specimen import Specimen

SIDE, STEP = 33, 0.05


def scalar() -> Experiment:
    """The quickstart on a coarser grid, molecules from 0 to 1.2 µm, with a network that learns in seconds."""
    base = preset("quickstart")
    training = TrainingSpec(
        steps=2, batch=2, crop_px=24, warmup_steps=1, validate_every=2, validation_crops=2, checkpoint_every=2
    )
    return base.with_(
        microscope=base.microscope.with_(mask_pitch=90.0),
        psf=base.psf.with_(patch_px=SIDE - 6, pupil_oversampling=2),
        network=CoarseSpec(channels=8, skip=4, dilations=(1,)),
        training=training,
        frame_px=(48, 56),
    )


@pytest.fixture(scope="module")
def planes() -> PSFVolume:
    """The scalar PSF in planes, 0.1 µm of depth more than the scenes have at either end."""
    experiment = scalar()
    source = experiment_mask(experiment)
    psf = build_psf(experiment.psf, experiment.microscope, source, patch_px=SIDE)
    low, high = experiment.z_um
    return sample_volume(psf, (low - 0.1, high + 0.1), STEP)


@pytest.fixture
def folder(tmp_path: Path, planes: PSFVolume) -> Path:
    """experiment.yaml with psf.tif beside it."""
    write_psf(tmp_path / "psf.tif", planes)
    write_experiment(measured(path="psf.tif", sha256=planes.sha256), tmp_path / "experiment.yaml")
    return tmp_path


def measured(**changes: object) -> Experiment:
    base = scalar()
    return base.with_(psf=base.psf.to_kind(MeasuredPSFSpec, **changes))


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words: object) -> str:
    """What the program says of a call that it refuses."""
    done = call(*words)
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def test_the_planes_draw_the_frames_that_the_mask_draws(planes: PSFVolume) -> None:
    experiment = measured()
    made = experiment.psf.tabulate(
        experiment.microscope, planes, experiment.z_um, experiment.blur_px, finer=True
    )
    known = scalar().psf.tabulate(
        experiment.microscope, experiment_mask(scalar()), experiment.z_um, experiment.blur_px
    )
    assert made.patch_px == known.patch_px == SIDE - 6
    field = Field(*experiment.frame_px, experiment.microscope.pixel_um)
    prior = experiment.scene().emitters.with_(count=FixedCount(count=12))
    emitters = prior.draw(8, field, torch.Generator().manual_seed(0))
    frames = {
        name: Simulator(psf, experiment.camera, field).expected(emitters, torch.zeros(8, *field.size))
        for name, psf in (("measured", made), ("known", known))
    }
    peak = 5000 * float(known(torch.tensor([[0.0, 0.0, 0.6]])).values.max())
    # Measured: 4e-5 of the peak, both are splines through one sample per pixel.
    assert float((frames["measured"] - frames["known"]).abs().max()) < 2e-4 * peak
    exact = build_psf(scalar().psf, experiment.microscope, experiment_mask(scalar()))
    xyz = emitters.xyz - torch.tensor([2.0, 2.0, 0.0])
    off = (made(xyz).values - exact(xyz).values).abs().amax((1, 2))
    # Measured: at most 0.4 % of the sharpest peak, as the table of the mask itself.
    assert float(off.max()) < 0.006 * float(exact(xyz).values.max())


def test_the_bound_is_that_of_the_mask_within_some_percent(tmp_path: Path) -> None:
    sweep = Sweep(depths=7, photons=(3e3,), background=(20,), emitters=(10,), molecules=20)
    known = scalar().with_(frame_px=(32, 32))
    # As wide as the patch that the bound is computed on: the light beyond tells of the depth, too.
    side, _ = patch_for_light(known, experiment_mask(known))
    wide = build_psf(known.psf, known.microscope, experiment_mask(known), patch_px=side + 6)
    low, high = known.z_um
    write_psf(tmp_path / "psf.tif", sample_volume(wide, (low - 0.1, high + 0.1), STEP))
    experiment = measured(path=str(tmp_path / "psf.tif")).with_(frame_px=(32, 32))
    assert [name for name, _ in masks_to_compare(experiment, ())] == ["psf.tif"]
    there, here = (limit(each, sweep=sweep).masks[0] for each in (known, experiment))
    for sure, found in ((there.depth, here.depth), (there.median, here.median)):
        ratio = torch.from_numpy(found.sigma_nm / sure.sigma_nm)
        # Measured: 0.3 %; 6 % in z at the very end where the planes end with the scenes.
        assert float((ratio - 1).abs().max()) < 0.01
    with pytest.raises(InputError, match=r"own\.npy: the experiment .*`psf.kind=scalar`"):
        limit(experiment, [("own.npy", experiment_mask(scalar())())], sweep=sweep)


def test_a_larger_blur_is_what_it_is_of_the_mask(planes: PSFVolume) -> None:
    experiment = measured()
    made = experiment.psf.tabulate(experiment.microscope, planes, experiment.z_um, (1.0, 1.5))
    exact = build_psf(scalar().psf, experiment.microscope, experiment_mask(scalar()))
    z = torch.linspace(0.05, 1.15, 12)
    xyz = torch.stack([torch.full_like(z, 0.03), torch.full_like(z, -0.02), z], 1)
    for blur in (1.0, 1.1, 1.3, 1.5):
        there = exact(xyz, torch.full_like(z, blur)).values
        off = made(xyz, torch.full_like(z, blur)).values - there
        assert float(off.abs().max()) < 0.006 * float(there.max()), blur


def test_the_slope_at_the_last_plane_is_that_of_the_psf(planes: PSFVolume) -> None:
    inner = replace(planes, values=planes.values[2:-2], z_um=planes.z_um + 2 * planes.step_um)
    experiment = measured()
    low, high = inner.range_um
    made = experiment.psf.tabulate(experiment.microscope, inner, (low, high), (1.0, 1.0))
    exact = build_psf(scalar().psf, experiment.microscope, experiment_mask(scalar()))
    xyz = torch.tensor([[0.0, 0.0, low + 1e-4], [0.0, 0.0, high - 1e-4]])
    slope, there = (psf.derivatives(xyz)[1][:, 2] for psf in (made, exact))
    # Measured: 7 % and 3 %. A table that went on with the last plane would have half of the slope.
    off = (slope - there).square().sum((1, 2)) / there.square().sum((1, 2))
    assert float(off.sqrt().max()) < 0.1


@pytest.mark.usefixtures("without_pictures")
def test_trained_and_localized_without_the_file(folder: Path, planes: PSFVolume) -> None:
    experiment = read_experiment(folder / "experiment.yaml")
    simulate_movie(
        MovieSimulation(experiment, frames=2, specimen=Specimen(emitters=5)),
        folder / "m.tif",
        truth=folder / "t.csv",
    )
    with pytest.raises(InputError, match="leave `store_mask=False` out"):
        train_model(experiment, folder / "model.pt", store_mask=False)
    assert train_model(experiment, folder / "model.pt") is not None
    (folder / "psf.tif").unlink()
    model = load_model_file(folder / "model.pt")
    assert model.planes is not None and torch.equal(model.planes.values, planes.values)
    assert model.experiment["psf"]["path"] == "" and model.experiment["psf"]["sha256"] == planes.sha256
    assert describe_model(model).psf == "measured PSF"
    with pytest.raises(InputError, match="leave `mask` out"):
        load_pipeline(model, mask=folder / "mask.npy")
    pipeline = load_pipeline(model, threshold=0.999)
    assert isinstance(pipeline.fit, JointFit) and pipeline.fit.bounds.z_um[1] <= planes.range_um[1] + 1e-6
    localize_movie(Excerpt(folder / "m.tif"), pipeline, ListFile(folder / "found.hdf5"))
    found = read_table(folder / "found.hdf5", pixel_um=experiment.microscope.pixel_um)
    truth = read_table(folder / "t.csv", pixel_um=experiment.microscope.pixel_um)
    apart = torch.cdist(truth.xyz, found.xyz).masked_fill(truth.frame[:, None] != found.frame, 9.0).amin(1)
    # The network has learnt nothing: the likelihood finds the molecules through the planes.
    assert float((apart < 0.1).float().mean()) >= 0.8
    without = replace(model, planes=None)
    with pytest.raises(InputError, match=r"psf.path names no file"):
        load_pipeline(without)


@pytest.mark.usefixtures("without_pictures")
def test_an_exported_model_has_its_planes_beside_its_experiment(folder: Path, planes: PSFVolume) -> None:
    train_model(read_experiment(folder / "experiment.yaml"), folder / "model.pt")
    written = export_model(folder / "model.pt", folder / "out")
    assert [path.name for path in written] == ["experiment.yaml", "psf.tif", "card.json"]
    again = psf_source(read_experiment(folder / "out" / "experiment.yaml"))
    assert isinstance(again, PSFVolume) and torch.equal(again.values, planes.values)
    shown = call("models", "show", folder / "model.pt")
    assert "measured PSF" in shown.output


def test_fits_with_a_range_of_blur_begin_at_what_the_planes_hold(planes: PSFVolume) -> None:
    scene = scalar().scene()
    wide = scene.with_(emitters=scene.emitters.with_(blur_px=(1.0, 1.4)))
    experiment = measured().with_(scenes={"main": wide})
    fit = build_fit(experiment, planes, "network", "cpu")
    assert isinstance(fit, JointFit)
    assert fit.fit_blur and fit.bounds.blur_px == pytest.approx((1.0, 1.54))
    assert fit.bounds.z_um == pytest.approx(planes.range_um)


def test_planes_stand_in_every_format_and_can_be_exported_again(folder: Path, planes: PSFVolume) -> None:
    experiment = read_experiment(folder / "experiment.yaml")
    for ending in ("hdf5", "h5", "mat"):
        export_psf(experiment, folder / f"psf.{ending}", z_um=(0.0, 1.2), step_nm=50)
        path = str(folder / f"psf.{ending}")
        other = experiment.with_(psf=experiment.psf.with_(patch_px=21, path=path, sha256=""))
        source = psf_source(other)
        assert isinstance(source, PSFVolume) and source.range_um == pytest.approx((0.0, 1.2), abs=1e-4)
        # The volume's own planes lie at −0.1 + 0.05 k: the 3rd is at 0.
        assert float((source.values[0] - planes.values[2, 3:-3, 3:-3]).abs().max()) < 1e-5


def test_configured_by_assignments_with_the_file_beside_the_experiment(folder: Path, planes: PSFVolume) -> None:
    out = folder / "own.yaml"
    assignments = ["psf.kind=measured", "psf.path=psf.tif", "psf.patch_px=27"]
    written = configure_experiment("quickstart", out, assignments=assignments)
    assert written.psf == MeasuredPSFSpec(patch_px=27, path="psf.tif", sha256=planes.sha256)
    assert read_experiment(out).psf.path == str(folder / "psf.tif")
    with pytest.raises(InputError, match=r"psf.patch_px is 31, but planes of 33 px allow .* 27 px"):
        configure_experiment("quickstart", folder / "wide.yaml", assignments=assignments[:2])
    with pytest.raises(InputError, match=r"measure_psf.*`psf.path=FILE`"):
        configure_experiment("quickstart", folder / "none.yaml", assignments=assignments[:1])
    assert not (folder / "wide.yaml").exists() and not (folder / "none.yaml").exists()


def test_planes_that_do_not_fit_are_refused_with_the_numbers(folder: Path, planes: PSFVolume) -> None:
    base = read_experiment(folder / "experiment.yaml")
    coarse = base.with_(microscope=base.microscope.with_(camera_pitch=11.1))
    with pytest.raises(InputError, match=r"pixels of 110.00 nm, the microscope of 111.00 nm"):
        psf_source(coarse)
    fine = base.with_(microscope=base.microscope.with_(camera_pitch=11.04))
    source = psf_source(fine)
    assert source.pixel_um == fine.microscope.pixel_um
    scene = base.scene()
    deep = base.with_(scenes={"deep": scene.with_(emitters=scene.emitters.with_(z_um=(0.0, 1.5)))})
    with pytest.raises(InputError, match=r"from 0 to 1.5 µm, .* planes from -0.1 to 1.3 µm only"):
        psf_source(deep)
    with pytest.raises(InputError, match=r"psf.patch_px is 29, but planes of 33 px .* 27 px at most"):
        psf_source(base.with_(psf=base.psf.with_(patch_px=29)))
    with pytest.raises(InputError, match=r"not the measured PSF of this experiment: .* expected abab"):
        psf_source(base.with_(psf=base.psf.with_(sha256="ab" * 32)))
    bright = PSFVolume(5 * planes.values, planes.pixel_um, planes.z_um, planes.step_um)
    free = base.with_(psf=base.psf.with_(path="", sha256=""))
    with pytest.raises(InputError, match=r"fullest plane .* sums to 4.\d+: .* divide"):
        psf_source(free, planes=bright)
    with pytest.raises(InputError, match="no such file"):
        psf_source(base.with_(psf=base.psf.with_(path="gone.tif", sha256="")))


def test_sharper_molecules_and_further_aberrations_are_refused() -> None:
    scene = scalar().scene()
    sharp = {"main": scene.with_(emitters=scene.emitters.with_(blur_px=(0.75, 1.25)))}
    with pytest.raises(ValueError, match=r"begins at 0.75 px, but a measured PSF holds 1 px"):
        measured().with_(scenes=sharp)
    scalar().with_(scenes=sharp)
    with pytest.raises(InputError, match=r"psf.aberrations: no such key; known keys here: .*path"):
        find_experiment("quickstart", ["psf.kind=measured", "psf.aberrations={5: 0.1}"])


def test_what_needs_a_mask_is_refused_and_says_what_to_do(folder: Path) -> None:
    experiment = read_experiment(folder / "experiment.yaml")
    for ask in (experiment_mask, whole_mask):
        with pytest.raises(InputError, match=r"`psf.kind=scalar`"):
            ask(experiment)
    config, mask, beads = folder / "experiment.yaml", folder / "mask.npy", folder / "beads"
    beads.mkdir()
    bead_folder(beads)
    write_mask(mask, experiment_mask(scalar())().numpy())
    asked = (
        ("design-psf", config, "--out", folder / "new.npy"),
        ("design-psf", config, "--by", "fisher", "--out", folder / "new.npy"),
        ("compare-psf", config, "zero", mask, "--out", folder / "compared"),
        ("export-mask", mask, config, "--for", "slm", "--out", folder / "slm.png"),
        ("export-psf", config, "--mask", mask, "--out", folder / "other.h5"),
        ("retrieve-mask", beads / "beads.tif", config, "--out", folder / "new.npy"),
        ("measure-psf", beads / "beads.tif", config, "--out", folder / "new.tif"),
        ("limit", config, "--mask", mask, "--out", folder / "limit.png"),
    )
    for words in asked:
        assert "--set psf.kind=scalar" in refused(*words), words
    assert not list(folder.glob("new.*")) and not (folder / "limit.png").exists()


def test_light_beyond_the_planes_is_not_promised(folder: Path) -> None:
    experiment = read_experiment(folder / "experiment.yaml")
    narrow = experiment.with_(psf=experiment.psf.with_(patch_px=11))
    source = psf_source(narrow)
    assert patch_for_light(narrow, source, light=0.5)[0] < SIDE - 6
    side, held = patch_for_light(narrow, source, light=0.999)
    assert side == SIDE - 6 and 0.8 < held < 0.999


def test_the_experiment_of_planes_is_cut_to_what_they_show(tmp_path: Path, planes: PSFVolume) -> None:
    scene = scalar().scene()
    emitters = scene.emitters.with_(z_um=(0.0, 2.0), blur_px=(0.75, 1.25))
    wide = preset("quickstart").with_(scenes={"main": scene.with_(emitters=emitters)})
    made, notes = measured_experiment(wide, planes, tmp_path / "psf.tif")
    prior = made.scene().emitters
    assert prior.z_um == (0.0, 1.3) and prior.blur_px == (1.0, 1.25)
    assert made.psf.patch_px == 27 and made.psf.path == str(tmp_path / "psf.tif")
    assert [note.split()[0] for note in notes] == ["scenes.main.emitters.z_um", "scenes.main.emitters.blur_px"]
    small = replace(planes, values=planes.values[:, 10:-10, 10:-10])
    with pytest.raises(InputError, match=r"13 px leave a patch of 7 px.* 17 px or more \(`side_px`"):
        measured_experiment(wide, small, tmp_path / "psf.tif")


def test_two_commands_from_beads_to_a_movie(tmp_path: Path) -> None:
    folder = bead_folder(tmp_path)
    given = ["--step-um", STEP_UM, f"--first-um={FIRST_UM}", "--bead-nm", 200]
    beads = (
        "measure-psf",
        folder / "beads.tif",
        folder / "experiment.yaml",
        "--out",
        folder / "psf.tif",
        *given,
    )
    done = call(*beads, "--experiment-out", folder / "measured.yaml")
    assert done.exit_code == 0, done.output
    assert "wrote" in done.output and "measured.yaml" in done.output
    experiment = read_experiment(folder / "measured.yaml")
    source = psf_source(experiment)
    assert isinstance(source, PSFVolume) and experiment.psf.patch_px <= source.values.shape[1] - 6
    assert read_psf(folder / "psf.tif").sha256 == experiment.psf.sha256
    done = call("simulate", folder / "measured.yaml", "--frames", 4, "--emitters", 1, "--out", folder / "m.tif")
    assert done.exit_code == 0, done.output
    with open_movie(folder / "m.tif") as movie:
        frames = torch.from_numpy(movie.read(0, 4).astype("float32"))
    # One molecule of 5000 photons in each, on 20 a pixel.
    light = frames.sum((1, 2)) - 20 * frames[0].numel()
    assert bool((light > 1500).all()) and bool((light < 6500).all())
    again = refused(*beads, "--overwrite", "--experiment-out", folder / "measured.yaml/no/such.yaml")
    assert "such.yaml" in again
