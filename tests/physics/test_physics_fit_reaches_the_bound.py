"""The joint fit is as good as the photons allow, and its error bars are true."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import EmccdCamera, IdealCamera, ScmosCamera
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.information import joint_bounds
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage, expected_image
from deepstorm3d.fitting.refine import Bounds, refine
from deepstorm3d.fitting.state import JointState
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.tabulated import TabulatedPSF

MICROSCOPE = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=90.0, focus=0.85)
SIZE = (48, 48)
DEPTH = (0.0, 1.2)
Camera = IdealCamera | ScmosCamera | EmccdCamera


@pytest.fixture(scope="module")
def psf() -> TabulatedPSF:
    spec = ScalarPSFSpec(patch_px=27, pupil_oversampling=2)
    return spec.tabulate(MICROSCOPE, AstigmaticMask().build(MICROSCOPE), DEPTH, (1.0, 1.0))


@dataclass(frozen=True)
class Trial:
    """Molecules, their fit, and the fit's own error bars; and the bound at the truth."""

    truth: Tensor
    found: Tensor
    sigma: Tensor
    bound: Tensor

    @property
    def error(self) -> Tensor:
        return self.found - self.truth

    @property
    def pulls(self) -> Tensor:
        return self.error / self.sigma


def attempt(
    psf: TabulatedPSF,
    *,
    frames: int,
    each: int,
    photons: float,
    level: float,
    camera: Camera | None = None,
    side_um: float = 3.4,
    seed: int = 0,
) -> Trial:
    """Draw molecules in the middle of noisy frames, start 50 nm beside them (80 nm in depth), fit.

    Columns of the result: x, y, z (µm), photons.
    """
    camera = IdealCamera() if camera is None else camera
    generator = torch.Generator().manual_seed(seed)
    number = frames * each
    share = torch.rand(number, 3, generator=generator)
    middle = torch.tensor([SIZE[1] - 1, SIZE[0] - 1]) * psf.pixel_um / 2
    xyz = torch.cat([middle + side_um * (share[:, :2] - 0.5), 0.1 + 1.0 * share[:, 2:]], 1)
    background = SplineBackground(SIZE, math.inf, xyz)
    truth = JointState(
        xyz=xyz,
        photons=photons * (0.5 + torch.rand(number, generator=generator))
        if each > 1
        else xyz.new_full((number,), photons),
        frame=torch.arange(number) // each,
        coefficients=xyz.new_full((frames, 1, 1), level),
    )
    shape = (frames, *SIZE)
    counts = camera.expose(expected_image(psf, truth, background, shape), generator)
    noise = camera.pixel_noise()
    likelihood = Likelihood(camera.to_photons(counts), noise)
    beside = xyz + torch.randn(number, 3, generator=generator) * torch.tensor([0.05, 0.05, 0.08])
    start = replace(
        truth,
        xyz=torch.cat([beside[:, :2], beside[:, 2:].clamp(*DEPTH)], 1),
        photons=torch.full_like(truth.photons, photons),
        coefficients=0.9 * truth.coefficients,
    )
    fitted = refine(psf, start, likelihood, background, Bounds(DEPTH))
    assert bool(fitted.settled.all())

    def sigma(state: JointState) -> Tensor:
        linear = LinearImage(psf, state, background, shape)
        return joint_bounds(linear, likelihood.information(linear.image))[0]

    there, found = (torch.cat([state.xyz, state.photons[:, None]], 1) for state in (truth, fitted.state))
    return Trial(there, found, sigma(fitted.state), sigma(truth))


@pytest.mark.parametrize(("photons", "level"), [(30_000.0, 150.0), (3_000.0, 20.0), (1_000.0, 5.0)])
def test_one_emitter_is_placed_as_well_as_the_bound_allows(
    psf: TabulatedPSF, photons: float, level: float
) -> None:
    # 500 frames: an rms is known to 1/sqrt(2·500) = 3.2 %, a mean to 0.045 σ.
    trial = attempt(psf, frames=500, each=1, photons=photons, level=level, seed=int(photons))
    light = torch.full((500,), photons)
    alone = crlb(psf, trial.truth[:, :3], light, torch.full_like(light, level))[:, :4]
    ratio = trial.error.square().mean(0).sqrt() / alone.square().mean(0).sqrt()
    assert bool((ratio < 1.15).all()), ratio
    assert bool((ratio > 0.85).all()), ratio
    assert bool((trial.pulls.mean(0).abs() < 0.3).all()), trial.pulls.mean(0)
    spread = trial.pulls.std(0)
    assert bool(((spread > 0.9) & (spread < 1.15)).all()), spread


@pytest.mark.parametrize("camera", [ScmosCamera(read_noise=8.0), EmccdCamera()], ids=lambda camera: camera.kind)
def test_the_error_bars_know_the_noise_of_the_camera(psf: TabulatedPSF, camera: Camera) -> None:
    trial = attempt(psf, frames=400, each=1, photons=5_000.0, level=20.0, camera=camera, seed=1)
    ratio = trial.error.square().mean(0).sqrt() / trial.bound.square().mean(0).sqrt()
    assert bool((ratio < 1.15).all()), ratio
    spread = trial.pulls.std(0)
    assert bool(((spread > 0.9) & (spread < 1.15)).all()), spread
    alone = crlb(psf, trial.truth[:, :3], torch.full((400,), 5_000.0), torch.full((400,), 20.0))[:, :3]
    worse = trial.error[:, :3].square().mean(0).sqrt() / alone.square().mean(0).sqrt()
    assert bool((worse > 1.2).all()), worse  # shot noise alone would be less


def test_ten_overlapping_emitters_have_true_error_bars(psf: TabulatedPSF) -> None:
    # Ten within 2.2 µm: the bound of most is more than half above that of one alone.
    trial = attempt(psf, frames=60, each=10, photons=10_000.0, level=50.0, side_um=2.2, seed=2)
    light = trial.truth[:, 3]
    alone = crlb(psf, trial.truth[:, :3], light, torch.full_like(light, 50.0))[:, :4]
    assert float((trial.bound / alone).median()) > 1.5  # they do share their light
    # Now and then two molecules at nearly one place merge, far outside their σ: the middle 68 % say the spread.
    low, high = trial.pulls.quantile(torch.tensor([0.1587, 0.8413]), 0)
    spread = (high - low) / 2
    assert bool(((spread > 0.9) & (spread < 1.15)).all()), spread
    assert bool((trial.pulls.median(0).values.abs() < 0.3).all()), trial.pulls.median(0).values
    within = (trial.pulls.abs() < 1).float().mean(0)
    assert bool(((within > 0.63) & (within < 0.73)).all()), within
    normalised = (trial.error / trial.bound).square().mean(0).sqrt()
    assert bool((normalised < 1.2).all()), normalised
