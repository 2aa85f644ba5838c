"""An experiment with the vectorial PSF is simulated, limited and designed with like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import configure_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.single import SingleFit
from deepstorm3d.io.movies import open_movie
from deepstorm3d.jobs.design_psf import build_design_sampler, gradient_bytes
from deepstorm3d.jobs.limit import Sweep, limit
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import AstigmaticMask, ZeroMask
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSF, VectorialPSFSpec
from deepstorm3d.simulation.specimen import Specimen
from deepstorm3d.training.design import MaskPenalty

KINDS: dict[str, type[PSFSpec]] = {"scalar": ScalarPSFSpec, "vectorial": VectorialPSFSpec}


def small(kind: type[PSFSpec] = VectorialPSFSpec, **psf: object) -> Experiment:
    """Molecules at the coverslip, through no mask and a coarse grid."""
    base = preset("quickstart")
    prior = base.scene().emitters.with_(z_um=(0.0, 0.3))
    return base.with_(
        mask=ZeroMask(),
        microscope=base.microscope.with_(mask_pitch=120.0, focus=0.3),
        psf=base.psf.to_kind(kind, **{"patch_px": 13, **psf}),
        frame_px=(32, 40),
        scenes={"main": base.scene().with_(emitters=prior)},
    )


def test_it_is_configured_by_name_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    assignments = ["psf.kind=vectorial", "psf.polarizer=x", "psf.dipole=[90, 45]"]
    written = configure_experiment("quickstart", path, assignments=assignments)
    assert read_experiment(path) == written
    assert written.psf == preset("quickstart").psf.to_kind(VectorialPSFSpec, polarizer="x", dipole=(90.0, 45.0))
    assert "null: molecules turn freely" in path.read_text(encoding="utf-8")


def test_a_file_without_the_new_keys_is_scalar(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("psf: {patch_px: 61, blur_px: 1.0, apodized: true}\n", encoding="utf-8")
    assert read_experiment(path).psf.kind == "scalar"


def test_depths_below_the_coverslip_are_refused_with_supercritical_light() -> None:
    deep = small().scene().emitters.with_(z_um=(-0.3, 0.3))
    scenes = {"main": small().scene().with_(emitters=deep)}
    with pytest.raises(ValueError, match=r"begins at -0.3 µm.*supercritical to false"):
        small().with_(scenes=scenes)
    small(supercritical=False).with_(scenes=scenes)
    small(ScalarPSFSpec).with_(scenes=scenes)


def test_a_movie_shows_the_molecules_where_the_truth_says_and_other_than_the_scalar_one(tmp_path: Path) -> None:
    frames = {}
    for model in ("scalar", "vectorial"):
        out, truth = tmp_path / f"{model}.tif", tmp_path / f"{model}.csv"
        experiment = small(KINDS[model])
        summary = simulate_movie(
            MovieSimulation(experiment, frames=3, specimen=Specimen(emitters=1)), out, truth=truth
        )
        assert summary.emitters == 3
        with open_movie(out) as movie:
            frames[model] = torch.from_numpy(movie.read(0, 3).astype("float32"))
    assert (tmp_path / "scalar.csv").read_text() == (tmp_path / "vectorial.csv").read_text()
    # The brightest pixel of either movie is within 2 px of the molecule's: 5000 photons on 20 a pixel.
    row, column = (
        torch.stack(parts) for parts in zip(*(_brightest(each) for each in frames.values()), strict=True)
    )
    assert int(row.diff(dim=0).abs().max()) <= 2
    assert int(column.diff(dim=0).abs().max()) <= 2
    assert not torch.equal(frames["scalar"], frames["vectorial"])


def _brightest(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each frame's brightest pixel."""
    place = frames.flatten(1).argmax(1)
    return place // frames.shape[2], place % frames.shape[2]


def test_the_limit_is_that_of_the_vectorial_psf() -> None:
    sweep = Sweep(depths=3, photons=(3e3,), background=(20,), emitters=(1,), molecules=2)
    bounds = {model: limit(small(KINDS[model]), sweep=sweep).masks[0] for model in ("scalar", "vectorial")}
    table = {model: torch.from_numpy(found.depth.sigma_nm) for model, found in bounds.items()}
    assert table["vectorial"].isfinite().all()
    assert not torch.allclose(table["scalar"], table["vectorial"], rtol=0.02)


def test_molecules_at_the_coverslip_are_found_again_by_the_fit_and_worse_by_the_scalar_model() -> None:
    experiment = small(patch_px=15).with_(mask=AstigmaticMask(strength=0.6))
    psf = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment))
    generator = torch.Generator().manual_seed(3)
    xyz = torch.rand(40, 3, generator=generator) * torch.tensor([0.1, 0.1, 0.25])
    middle = torch.tensor([16.0, 16.0, 0.0]) * psf.pixel_um
    # Windows of the patch's size hold all that the fit sees: frames of 33 px around them.
    frames = torch.full((40, 33, 33), 20.0)
    patches = psf(xyz + middle)
    for frame, corner, values in zip(frames, patches.corner.tolist(), patches.values, strict=True):
        frame[corner[1] : corner[1] + 15, corner[0] : corner[0] + 15] += 8000 * values
    frames = torch.poisson(frames, generator=generator)
    errors = {}
    for model in ("vectorial", "scalar"):
        known = experiment.with_(psf=experiment.psf.to_kind(KINDS[model]))
        fit = build_fit(known, experiment_mask(known), "mle", "cpu")
        assert isinstance(fit, SingleFit)
        found = fit(Likelihood(frames))
        assert found.frame.tolist() == list(range(40))
        errors[model] = 1000 * (found.xyz - xyz - middle).square().mean(0).sqrt()
    bright, floor = torch.full((40,), 8000.0), torch.full((40,), 20.0)
    bound = 1000 * crlb(psf, (xyz + middle).double(), bright, floor)[:, :3].square().mean(0).sqrt()
    # The rms of 40 errors strays by a ninth of itself; three times that.
    assert bool((errors["vectorial"] < 1.35 * bound).all())
    assert float(errors["scalar"][2]) > 3 * float(bound[2])


def test_a_mask_is_designed_through_it() -> None:
    experiment = small()
    sampler, (learning,) = build_design_sampler(experiment)
    mask = learning.mask
    psf = sampler.simulator.psf
    assert isinstance(psf, VectorialPSF)
    price = MaskPenalty(experiment.design.with_(spread=1.0), mask, psf, experiment.z_um)()
    price.backward()
    (parameter,) = mask.parameters()
    assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0
    scalar, _ = build_design_sampler(small(ScalarPSFSpec))
    localizer = build_localizer(experiment)
    assert gradient_bytes(localizer, sampler, 1) > 0 < gradient_bytes(localizer, scalar, 1)


def test_the_spec_of_the_experiment_reaches_the_psf() -> None:
    experiment = small(dipole=(0.0, 0.0), blur_px=0.0)
    psf = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment))
    image = psf(torch.tensor([[0.0, 0.0, 0.2]])).values[0]
    # A dipole along the axis: dark in the middle.
    assert float(image[6, 6]) < 1e-3 * float(image.max())
    with pytest.raises(InputError, match="no middle pixel"):
        build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment), patch_px=12)
