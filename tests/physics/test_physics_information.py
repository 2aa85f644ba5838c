"""Fisher information and the Cramér-Rao bound against numerical derivatives, sampled scores and a real fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm3d.optics.fisher import crlb, fisher_information
from deepstorm3d.optics.masks import (
    AstigmaticMask,
    PhaseMask,
    PixelMask,
    TetrapodMask,
    ZernikePhase,
)
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF

DATA = Path(__file__).parents[2] / "../shared/data"
COARSE = Microscope(mask_pitch=144.0, focus=1.5)
ASTIGMATIC = ScalarPSF(COARSE, AstigmaticMask(strength=0.8).build(COARSE), patch_px=15, blur_px=1.0)
TRUTH = torch.tensor([0.012, -0.008, 1.2, 5000.0, 20.0], dtype=torch.float64)  # x, y, z, photons, background


def expected(parameters: torch.Tensor) -> torch.Tensor:
    """Mean counts in the fixed patch around the origin: (N, 15, 15)."""
    patches = ASTIGMATIC(parameters[:, :3])
    assert bool((patches.corner == -7).all())
    return parameters[:, 3, None, None] * patches.values + parameters[:, 4, None, None]


def information() -> torch.Tensor:
    return fisher_information(ASTIGMATIC, TRUTH[None, :3], TRUTH[3:4], TRUTH[4:5])[0]


def test_the_information_is_that_of_finite_differences() -> None:
    step = torch.tensor([1e-5, 1e-5, 1e-5, 1e-1, 1e-3], dtype=torch.float64)
    ahead, behind = (expected(TRUTH + sign * torch.diag(step)) for sign in (1, -1))
    slopes = ((ahead - behind) / (2 * step[:, None, None])).flatten(1)
    numerical = (slopes / expected(TRUTH[None]).flatten()) @ slopes.mT
    scale = information().diagonal().rsqrt()
    difference = (numerical - information()) * scale[:, None] * scale
    assert difference.abs().max().item() < 1e-7


def test_the_information_is_the_mean_outer_product_of_the_score() -> None:
    # E[∂ℓ ∂ℓᵀ] of the Poisson log-likelihood, by autograd of the mean and 20,000 drawn images.
    mean = expected(TRUTH[None])[0]
    jacobian = torch.autograd.functional.jacobian(lambda p: expected(p[None])[0].flatten(), TRUTH)
    assert isinstance(jacobian, torch.Tensor)
    counts = torch.poisson(mean.flatten().expand(20_000, -1), generator=torch.Generator().manual_seed(0))
    score = (counts / mean.flatten() - 1) @ jacobian
    sampled = score.mT @ score / len(score)
    scale = information().diagonal().rsqrt()
    difference = (sampled - information()) * scale[:, None] * scale
    assert difference.abs().max().item() < 0.05  # 7 standard errors of a variance from 20,000 draws


def test_a_maximum_likelihood_fit_scatters_by_the_bound() -> None:
    count = 1500
    generator = torch.Generator().manual_seed(1)
    counts = torch.poisson(expected(TRUTH[None]).expand(count, -1, -1), generator=generator)
    start = torch.tensor([0.01, 0.01, 0.05, 300.0, 1.0], dtype=torch.float64)
    estimate = TRUTH + start * torch.randn(count, 5, dtype=torch.float64, generator=generator)
    for _ in range(5):
        patches, slopes = ASTIGMATIC.derivatives(estimate[:, :3])
        mean = estimate[:, 3, None, None] * patches.values + estimate[:, 4, None, None]
        jacobian = torch.cat(
            [
                estimate[:, 3, None, None, None] * slopes,
                patches.values[:, None],
                torch.ones_like(mean)[:, None],
            ],
            1,
        ).flatten(2)
        # Patches follow the emitter: refuse to compare pixels that are not the same.
        assert bool((patches.corner == -7).all())
        weighted = jacobian / mean.flatten(1)[:, None]
        score = weighted @ (counts - mean).flatten(1)[..., None]
        estimate = estimate + torch.linalg.solve(weighted @ jacobian.mT, score)[..., 0]
    bound = crlb(ASTIGMATIC, TRUTH[None, :3], TRUTH[3:4], TRUTH[4:5])[0]
    ratio = estimate.std(0) / bound
    assert ((ratio > 0.93) & (ratio < 1.08)).all(), ratio.tolist()  # ± 4 standard errors
    assert ((estimate.mean(0) - TRUTH).abs() < 5 * bound / count**0.5).all()


def test_the_bound_is_the_square_root_of_the_inverse_information() -> None:
    bound = crlb(ASTIGMATIC, TRUTH[None, :3], TRUTH[3:4], TRUTH[4:5])[0]
    torch.testing.assert_close(bound, torch.linalg.inv(information()).diagonal().sqrt(), rtol=1e-6, atol=0)
    single = crlb(ASTIGMATIC, TRUTH[None, :3].float(), TRUTH[3:4].float(), TRUTH[4:5].float())[0]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), bound, rtol=1e-3, atol=0)


def test_more_photons_help_and_more_background_hurts() -> None:
    xyz = TRUTH[None, :3].expand(3, 3)
    photons = torch.tensor([5000.0, 20_000.0, 5000.0], dtype=torch.float64)
    background = torch.tensor([20.0, 20.0, 200.0], dtype=torch.float64)
    plain, bright, hazy = crlb(ASTIGMATIC, xyz, photons, background)[:, :3]
    assert bool((bright < plain / 2).all())  # better than the square root: the background counts for less
    assert bool((hazy > plain).all())


def test_without_photons_the_bound_is_large_and_finite_and_without_emitters_empty() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    bound = crlb(ASTIGMATIC, TRUTH[None, :3], zero, zero + 10)
    assert bool(torch.isfinite(bound).all())
    assert bool((bound[0, :3] > 1e3).all())
    assert crlb(ASTIGMATIC, torch.zeros(0, 3), torch.zeros(0), torch.zeros(0)).shape == (0, 5)


def test_the_bound_of_a_mask_can_be_differentiated() -> None:
    tiny = Microscope(mask_pitch=300.0, focus=1.5)
    coefficients = torch.tensor([0.8, 0.1], dtype=torch.float64, requires_grad=True)

    def total(values: torch.Tensor) -> torch.Tensor:
        psf = ScalarPSF(tiny, ZernikePhase(tiny, [6, 11], values), patch_px=9, blur_px=1.0)
        return 1000 * crlb(psf, TRUTH[None, :3], TRUTH[3:4], TRUTH[4:5])[:, :3].sum()

    assert torch.autograd.gradcheck(total, coefficients)


def rms_over_depth_nm(microscope: Microscope, mask: PhaseMask) -> torch.Tensor:
    """CRLB of x, y, z, rms over 41 depths from 2 to 6 µm; 30,000 photons, 150 background, blur 1 px."""
    xyz = torch.zeros(41, 3, dtype=torch.float64)
    xyz[:, 2] = torch.linspace(2, 6, 41)
    level = torch.ones(41, dtype=torch.float64)
    psf = ScalarPSF(microscope, mask, patch_px=61, blur_px=1.0)
    return 1000 * crlb(psf, xyz, 30_000 * level, 150 * level)[:, :3].square().mean(0).sqrt()


def test_our_tetrapod_is_no_worse_than_the_published_one() -> None:
    microscope = Microscope()
    sigma = rms_over_depth_nm(microscope, TetrapodMask().build(microscope))
    assert bool((sigma < torch.tensor([4.4, 4.4, 6.9])).all()), sigma.tolist()
    torch.testing.assert_close(sigma.float(), torch.tensor([3.77, 3.81, 5.87]), rtol=0.02, atol=0)


def test_the_published_tetrapod_has_its_reference_bound() -> None:
    path = DATA / "mask_tetrapod.mat"
    if not path.exists():
        pytest.skip("no shared data beside the repository")
    from scipy.io import loadmat

    (phase,) = (value for name, value in loadmat(path).items() if not name.startswith("__"))
    sigma = rms_over_depth_nm(Microscope(), PixelMask(torch.as_tensor(phase, dtype=torch.float64)))
    torch.testing.assert_close(sigma.float(), torch.tensor([4.4, 4.4, 6.9]), rtol=0, atol=0.15)
