"""Photometry: the linear fit of photons and background at given positions."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.photometry import fit_photometry
from deepstorm3d.optics.assembly import Assembly
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.tabulated import TabulatedPSF

MICROSCOPE = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=90.0, focus=0.85)
SIZE = (40, 48)


@pytest.fixture(scope="module")
def psf() -> TabulatedPSF:
    spec = ScalarPSFSpec(patch_px=21, pupil_oversampling=2)
    return spec.tabulate(MICROSCOPE, AstigmaticMask().build(MICROSCOPE), (0.0, 1.2), (1.0, 1.0))


def positions(number: int, frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    side = torch.tensor([SIZE[1], SIZE[0]]) * MICROSCOPE.pixel_um
    xy = (0.15 + 0.7 * torch.rand(number, 2, generator=generator)) * side
    z = 1.2 * torch.rand(number, 1, generator=generator)
    return torch.cat([xy, z], 1), torch.arange(number) % frames


def image_of(psf: TabulatedPSF, xyz: torch.Tensor, frame: torch.Tensor, photons: torch.Tensor) -> torch.Tensor:
    patches = psf(xyz)
    places = Assembly(patches.corner, frame, (psf.patch_px, psf.patch_px), (int(frame.max()) + 1, *SIZE))
    return places.add(places.inside(patches.values * photons[:, None, None]))


def test_noise_free_frames_give_back_photons_and_background(psf: TabulatedPSF) -> None:
    xyz, frame = positions(12, 2)
    photons = torch.linspace(500, 8000, 12)
    frames = image_of(psf, xyz, frame, photons) + 20
    light = fit_photometry(psf, xyz, frame, frames)
    # Conjugate gradients stop within a tenth of a standard deviation (about 100 photons here).
    assert torch.allclose(light.photons, photons, atol=15.0)
    assert torch.allclose(light.background, torch.full((12,), 20.0), atol=0.2)
    assert torch.allclose(light.model, frames, rtol=1e-2)


def test_overlapping_molecules_share_the_light_rightly(psf: TabulatedPSF) -> None:
    xyz = torch.tensor([[2.0, 2.0, 0.3], [2.25, 2.0, 0.9]])
    frame, photons = torch.zeros(2, dtype=torch.int64), torch.tensor([3000.0, 6000.0])
    light = fit_photometry(psf, xyz, frame, image_of(psf, xyz, frame, photons) + 10)
    assert torch.allclose(light.photons, photons, rtol=1e-2)


def test_scatter_of_photons_is_that_of_the_bound(psf: TabulatedPSF) -> None:
    frames = 400
    xyz = torch.tensor([[2.1, 2.3, 0.5]]).repeat(frames, 1)
    frame, photons = torch.arange(frames), torch.full((frames,), 5000.0)
    expected = image_of(psf, xyz, frame, photons) + 20
    noisy = torch.poisson(expected, generator=torch.Generator().manual_seed(1))
    light = fit_photometry(psf, xyz, frame, noisy, spacing_px=float("inf"))
    # At known positions the bound of photons and background alone lies a little below the joint one.
    bound = float(crlb(psf, xyz[:1], photons[:1], torch.full((1,), 20.0))[0, 3])
    assert 0.85 * bound < float(light.photons.std()) < 1.1 * bound
    assert abs(float(light.photons.mean()) - 5000) < 4 * bound / frames**0.5
    assert abs(float(light.chi_square.mean()) - 1) < 0.03


def test_a_molecule_that_is_not_there_gets_no_negative_photons(psf: TabulatedPSF) -> None:
    xyz, frame = positions(6, 1)
    photons = torch.full((6,), 5000.0)
    noisy = torch.poisson(image_of(psf, xyz, frame, photons) + 20, generator=torch.Generator().manual_seed(2))
    extra = torch.cat([xyz, xyz[:3] + torch.tensor([0.06, 0.0, 0.05])])
    light = fit_photometry(psf, extra, torch.zeros(9, dtype=torch.int64), noisy)
    assert float(light.photons.min()) >= 0
    assert torch.isfinite(light.photons).all()


def test_withheld_pixels_do_not_touch_the_fit(psf: TabulatedPSF) -> None:
    xyz, frame = positions(5, 1)
    frames = image_of(psf, xyz, frame, torch.full((5,), 4000.0)) + 20
    weight = torch.ones_like(frames)
    weight[:, 5:8, 5:9] = 0
    spoilt = frames.clone()
    spoilt[:, 5:8, 5:9] = 5000
    clean, other = (fit_photometry(psf, xyz, frame, images, weight=weight) for images in (frames, spoilt))
    assert torch.allclose(clean.photons, other.photons, rtol=1e-2)


def test_no_molecules_leave_the_background(psf: TabulatedPSF) -> None:
    frames = torch.full((2, *SIZE), 33.0)
    light = fit_photometry(psf, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), frames)
    assert len(light.photons) == 0
    assert torch.allclose(light.model, frames, rtol=1e-3)


def test_a_molecule_outside_the_frame_is_harmless(psf: TabulatedPSF) -> None:
    xyz = torch.tensor([[2.0, 2.0, 0.3], [50.0, -30.0, 0.9]])
    frame = torch.zeros(2, dtype=torch.int64)
    light = fit_photometry(psf, xyz, frame, torch.full((1, *SIZE), 12.0))
    assert torch.isfinite(light.photons).all()
    assert float(light.photons[1]) == 0


def test_spline_background_follows_a_slope_and_its_adjoint_is_its_transpose() -> None:
    surface = SplineBackground((30, 50), 12.0, torch.zeros(1, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.rand(2, *surface.shape, generator=generator, dtype=torch.float64)
    frames = torch.rand(2, 30, 50, generator=generator, dtype=torch.float64)
    left = (surface.surface(coefficients) * frames).sum()
    right = (coefficients * surface.adjoint(frames)).sum()
    assert torch.isclose(left, right)
    ones = torch.ones(1, *surface.shape, dtype=torch.float64)
    assert torch.allclose(surface.surface(ones), torch.ones(1, 30, 50, dtype=torch.float64))
