"""The gradient that designs a mask: exact from the phase to the image and to the Cramér-Rao bound."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import IdealCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.field import Field
from deepstorm3d.optics.fisher import crlb, joint_crlb
from deepstorm3d.optics.masks import PhaseMask, PixelMask, ZernikePhase
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.simulation.simulator import Simulator

# Coarse pixels: a pupil of 21 samples, so that every one of them can be wiggled.
MICROSCOPE = Microscope(mask_pitch=200.0, focus=1.4)
XYZ = torch.tensor([[0.62, 0.71, 0.4], [1.05, 0.9, 1.5]], dtype=torch.float64)
PHOTONS = torch.tensor([5000.0, 8000.0], dtype=torch.float64)
BACKGROUND = torch.full((1, 15, 17), 20.0, dtype=torch.float64)


class Given(PhaseMask):
    """A mask whose phase is a tensor from outside, for `gradcheck`."""

    def __init__(self, phase: Tensor) -> None:
        super().__init__()
        self.given = [phase]

    @property
    def pixels(self) -> int:
        return self.given[0].shape[1]

    def forward(self) -> Tensor:
        return self.given[0]


def psf(phase: Tensor, chunk: int = 32) -> ScalarPSF:
    model = ScalarPSF(MICROSCOPE, Given(phase), patch_px=9, blur_px=0.8)
    model.chunk = chunk
    return model


@cache
def phase() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(MICROSCOPE.mask_px, MICROSCOPE.mask_px, generator=generator, dtype=torch.float64)


def image(values: Tensor, chunk: int = 32) -> Tensor:
    frame = torch.zeros(2, dtype=torch.int64)
    emitters = Emitters(XYZ, frame, PHOTONS, torch.arange(2))
    simulator = Simulator(psf(values, chunk), IdealCamera(), Field(15, 17, MICROSCOPE.pixel_um))
    return simulator.expected(emitters, BACKGROUND)


def bounds(values: Tensor) -> Tensor:
    return crlb(psf(values), XYZ, PHOTONS, torch.full_like(PHOTONS, 20.0))


def together(values: Tensor) -> Tensor:
    level = torch.full((1,), 20.0, dtype=torch.float64)
    return joint_crlb(psf(values), XYZ, PHOTONS, torch.zeros(2, dtype=torch.int64), level, (15, 17))


def along(function: object, direction: Tensor, step: float = 1e-5) -> Tensor:
    """Central difference of a function of the phase along a direction."""
    assert callable(function)
    return (function(phase() + step * direction) - function(phase() - step * direction)) / (2 * step)


@pytest.mark.parametrize("function", [image, bounds, together])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_in_the_mask_is_the_difference_quotient(function: object, seed: int) -> None:
    assert callable(function)
    generator = torch.Generator().manual_seed(100 + seed)
    direction = torch.randn(phase().shape, generator=generator, dtype=torch.float64)
    values = phase().clone().requires_grad_()
    result = function(values)
    # A random combination of all results, so that no part of the gradient can hide.
    weights = torch.rand(result.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * result).sum(), values)
    expected = (weights * along(function, direction)).sum()
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-6, atol=0)


def test_every_pixel_of_the_mask_has_its_own_right_gradient() -> None:
    values = phase().clone().requires_grad_()
    weights = torch.rand(1, 15, 17, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def weighted(phase: Tensor) -> Tensor:
        return (weights * image(phase)).sum() / 1000

    assert torch.autograd.gradcheck(weighted, values, eps=1e-5, atol=1e-6, rtol=1e-5)


def test_chunks_change_memory_but_neither_image_nor_gradient() -> None:
    gradients = []
    for chunk in (32, 1):
        values = phase().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(image(values, chunk).square().sum(), values)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-8)


def test_zernike_coefficients_get_the_projection_of_the_pixels_gradient() -> None:
    base = PixelMask(phase())
    mask = ZernikePhase(MICROSCOPE, [5, 6, 11], torch.zeros(3), learn=True, base=base)
    model = ScalarPSF(MICROSCOPE, mask, patch_px=9, blur_px=0.8)
    model(XYZ).values.square().sum().backward()
    values = phase().clone().requires_grad_()
    (pixels,) = torch.autograd.grad(psf(values)(XYZ).values.square().sum(), values)
    expected = (mask.basis * pixels).sum((1, 2))
    torch.testing.assert_close(mask.coefficients.grad, expected, rtol=1e-8, atol=1e-12)


def test_alone_in_its_frame_a_molecules_joint_bound_is_its_own() -> None:
    middle = torch.tensor([[0.78, 0.75, 0.6]], dtype=torch.float64)
    photons, level = torch.tensor([6000.0], dtype=torch.float64), torch.tensor([20.0], dtype=torch.float64)
    model = ScalarPSF(MICROSCOPE, PixelMask(phase()), patch_px=15, blur_px=0.8)
    frame = torch.zeros(1, dtype=torch.int64)
    joint = joint_crlb(model, middle, photons, frame, level, (15, 15))
    alone = crlb(model, middle, photons, level)
    # The molecule lies in the middle pixel of a frame as large as its patch: the same pixels count.
    torch.testing.assert_close(joint[0], alone[0, :4], rtol=1e-4, atol=0)


@pytest.mark.parametrize("times", [2, 3])
def test_the_gradient_of_a_coarse_mask_pixel_is_the_sum_of_those_of_the_fine_ones_it_covers(times: int) -> None:
    """So that a design on coarse pixels goes the same way as one on fine pixels, as far as it can go."""
    fine = MICROSCOPE.with_(mask_pitch=MICROSCOPE.mask_pitch / times)
    even = MICROSCOPE.mask_px + 1 if times == 2 else MICROSCOPE.mask_px
    values = torch.randn(even, even, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for microscope, oversampling in ((MICROSCOPE, times), (fine, 1)):
        repeat = times // oversampling
        given = values.repeat_interleave(repeat, 0).repeat_interleave(repeat, 1).requires_grad_()
        model = ScalarPSF(microscope, Given(given), patch_px=9, blur_px=0.8, oversampling=oversampling)
        (found,) = torch.autograd.grad(model(XYZ).values.square().sum(), given)
        gradients.append(found)
    covered = gradients[1].reshape(even, times, even, times).sum((1, 3))
    assert gradients[0].abs().max() > 1e-6
    assert torch.allclose(gradients[0], covered, rtol=1e-10, atol=1e-15)
