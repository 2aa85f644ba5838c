"""The exact PSF as a function: shifts, derivatives, precision, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm3d.errors import InputError
from deepstorm3d.optics.masks import PixelMask, TetrapodMask, ZernikePhase, ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF

COARSE = Microscope(mask_pitch=72.0)  # 57 mask pixels, images repeat after 110 camera pixels
TINY = Microscope(mask_pitch=300.0)  # 15 mask pixels, images repeat after 26
PIXEL = COARSE.pixel_um
LOPSIDED = {5: 0.6, 6: -0.4, 7: 0.8, 8: -0.5, 9: 0.6, 10: 0.3, 11: 0.4}


def lopsided(microscope: Microscope) -> ZernikePhase:
    """A mask without any symmetry."""
    return ZernikePhase(microscope, list(LOPSIDED), torch.tensor(list(LOPSIDED.values()), dtype=torch.float64))


@pytest.fixture(scope="module")
def psf() -> ScalarPSF:
    return ScalarPSF(COARSE, lopsided(COARSE), patch_px=21, blur_px=1.0)


def emitter(x: float, y: float, z: float) -> torch.Tensor:
    return torch.tensor([[x, y, z]], dtype=torch.float64)


def test_moving_an_emitter_one_pixel_moves_the_image_one_pixel(psf: ScalarPSF) -> None:
    here = psf(emitter(0.02, -0.03, 3.0))
    there = psf(emitter(0.02 + PIXEL, -0.03 + 7 * PIXEL, 3.0))
    torch.testing.assert_close(here.values, there.values, rtol=0, atol=1e-13)
    assert (there.corner - here.corner).tolist() == [[1, 7]]
    assert here.corner.tolist() == [[-10, -10]]  # column, row of the first pixel


@settings(max_examples=10, deadline=None)
@given(x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5))
def test_a_shift_below_a_pixel_moves_the_whole_image_smoothly(x: float, y: float) -> None:
    # The same emitter seen by two patches whose corners differ: overlapping pixels must agree.
    psf = ScalarPSF(COARSE, lopsided(COARSE), patch_px=9)
    first = psf(emitter(x * PIXEL, y * PIXEL, 3.0))
    pupil = psf._in_focus_field(torch.float64)
    z = torch.tensor([3.0], dtype=torch.float64)
    offset = torch.tensor([[x, y]], dtype=torch.float64) - (first.corner + 4)
    aside = offset + torch.tensor([1.0, 0.0], dtype=torch.float64)
    beside = psf._intensity(pupil, aside, z, None, None, margin=0, with_derivatives=False)[:, 0]
    torch.testing.assert_close(first.values[:, :, :-1], beside[:, :, 1:], rtol=0, atol=1e-13)


def test_either_side_of_half_a_pixel_the_image_is_the_same(psf: ScalarPSF) -> None:
    left, right = psf(emitter((0.5 - 1e-9) * PIXEL, 0, 3.0)), psf(emitter((0.5 + 1e-9) * PIXEL, 0, 3.0))
    assert (right.corner - left.corner).tolist() == [[1, 0]]
    torch.testing.assert_close(left.values[:, :, 1:], right.values[:, :, :-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_a_pixel_of_movement_is_the_integral_of_the_derivative(psf: ScalarPSF, axis: int) -> None:
    node, weight = np.polynomial.legendre.leggauss(6)
    start, end = emitter(0, 0, 3.0), emitter(0, 0, 3.0)
    start[0, axis] -= 0.249 * PIXEL
    end[0, axis] += 0.249 * PIXEL
    step = (end - start)[0, axis]
    path = start + torch.tensor((node + 1) / 2)[:, None] * (end - start)
    _, slopes = psf.derivatives(path)
    moved = (torch.tensor(weight / 2)[:, None, None] * slopes[:, axis]).sum(0) * step
    difference = (psf(end).values - psf(start).values)[0]
    torch.testing.assert_close(moved, difference, rtol=0, atol=1e-10 * float(psf(start).values.max()))


def test_the_analytic_derivatives_are_those_of_autograd(psf: ScalarPSF) -> None:
    xyz = emitter(0.02, -0.04, 2.7)
    patches, slopes = psf.derivatives(xyz)
    jacobian = torch.autograd.functional.jacobian(lambda x: psf(x).values[0], xyz)
    assert isinstance(jacobian, torch.Tensor)
    torch.testing.assert_close(slopes[0], jacobian[:, :, 0].permute(2, 0, 1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(patches.values, psf(xyz).values)


def test_gradcheck_in_position_and_blur() -> None:
    psf = ScalarPSF(TINY, lopsided(TINY), patch_px=7)
    xyz = torch.tensor([[0.02, -0.03, 3.0], [0.3, 0.14, 4.1]], dtype=torch.float64, requires_grad=True)
    blur = torch.tensor([0.8, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b: psf(x, b).values, (xyz, blur))


def test_gradcheck_in_every_pixel_of_the_mask() -> None:
    phase = torch.rand(15, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xyz = emitter(0.02, -0.03, 3.0)

    def image(values: torch.Tensor) -> torch.Tensor:
        return 100 * ScalarPSF(TINY, PixelMask(values), patch_px=5, blur_px=1.0)(xyz).values

    assert torch.autograd.gradcheck(image, phase.requires_grad_())


def test_gradcheck_in_the_zernike_coefficients_and_through_the_derivatives() -> None:
    xyz = emitter(0.02, -0.03, 3.0)
    coefficients = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64, requires_grad=True)

    def images(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        patches, slopes = ScalarPSF(TINY, ZernikePhase(TINY, [6, 8, 12], values), patch_px=5).derivatives(xyz)
        return 100 * patches.values, slopes

    assert torch.autograd.gradcheck(images, coefficients)


def test_single_precision_follows_its_input_and_agrees_to_1e5_of_the_peak(psf: ScalarPSF) -> None:
    xyz = torch.tensor([[0.5, 1.3, 2.1], [4.0, -2.0, 5.8]], dtype=torch.float64)
    double, single = psf(xyz), psf(xyz.float())
    assert (double.values.dtype, single.values.dtype) == (torch.float64, torch.float32)
    peak = double.values.amax((1, 2))
    assert ((double.values - single.values).abs().amax((1, 2)) < 1e-5 * peak).all()


def test_a_module_cast_to_single_precision_still_works() -> None:
    psf = ScalarPSF(COARSE, lopsided(COARSE), patch_px=11)
    before = psf(emitter(0, 0, 3.0)).values
    after = psf.float()(emitter(0, 0, 3.0)).values
    assert (before - after).abs().max() < 1e-4 * before.max()


def test_the_size_of_the_chunk_changes_nothing() -> None:
    xyz = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3 + 1
    psf = ScalarPSF(COARSE, lopsided(COARSE), patch_px=11)
    whole = psf(xyz).values
    psf.chunk = 2
    parts = psf(xyz).values
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-14)


def test_no_emitters_give_no_patches(psf: ScalarPSF) -> None:
    nobody = torch.zeros(0, 3)
    patches, slopes = psf.derivatives(nobody)
    assert patches.values.shape == (0, 21, 21)
    assert (patches.corner.shape, patches.encircled_energy.shape, slopes.shape) == (
        (0, 2),
        (0,),
        (0, 3, 21, 21),
    )
    assert psf(nobody, torch.zeros(0)).values.shape == (0, 21, 21)


def test_held_is_the_sum_of_the_patch_and_blur_only_spreads_it(psf: ScalarPSF) -> None:
    xyz = emitter(0, 0, 3.0).expand(3, 3)
    patches = psf(xyz, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(patches.encircled_energy, patches.values.sum((1, 2)))
    peaks = patches.values.amax((1, 2))
    assert bool((peaks.diff() < 0).all())
    torch.testing.assert_close(psf(xyz[:1]).values, patches.values[1:2], rtol=0, atol=2e-4 * float(peaks[1]))


@settings(max_examples=12, deadline=None)
@given(
    z=st.floats(0, 8),
    coefficients=st.lists(st.floats(-4, 4), min_size=3, max_size=3),
    blur=st.floats(0, 2),
)
def test_no_patch_holds_more_than_all_the_light(z: float, coefficients: list[float], blur: float) -> None:
    mask = ZernikePhase(COARSE, [4, 6, 9], torch.tensor(coefficients, dtype=torch.float64))
    patches = ScalarPSF(COARSE, mask, patch_px=53, blur_px=blur)(emitter(0.01, 0.02, z))
    assert 0 < patches.encircled_energy.item() <= 1 + 1e-6
    assert patches.values.min().item() >= 0


def test_a_patch_that_would_fold_is_refused_and_the_advice_works() -> None:
    mask = ZeroMask().build(TINY)
    with pytest.raises(InputError, match=r"61 px .* 26 px after .* at most 13 px or pupil oversampling 5"):
        ScalarPSF(TINY, mask, patch_px=61)
    ScalarPSF(TINY, mask, patch_px=13)
    ScalarPSF(TINY, mask, patch_px=61, oversampling=5)
    with pytest.raises(InputError, match="repeats"):
        ScalarPSF(TINY, mask, patch_px=61, oversampling=4)


@pytest.mark.parametrize("patch", [0, 20, -3])
def test_a_patch_without_a_middle_pixel_is_refused(patch: int) -> None:
    with pytest.raises(InputError, match="no middle pixel"):
        ScalarPSF(COARSE, TetrapodMask().build(COARSE), patch_px=patch)


def test_a_focus_of_its_own_for_each_image_is_another_microscope(psf: ScalarPSF) -> None:
    xyz = torch.tensor([[0.02, 0.01, 3.0], [0.0, -0.04, 2.5], [0.0, 0.0, 3.0]], dtype=torch.float64)
    focus = torch.tensor([4.1, 4.5, 5.0], dtype=torch.float64)
    together = psf(xyz, focus_um=focus)
    for row, nfp in enumerate(focus.tolist()):
        moved = ScalarPSF(COARSE.with_(focus=nfp), lopsided(COARSE), patch_px=21, blur_px=1.0)
        torch.testing.assert_close(
            together.values[row], moved(xyz[row : row + 1]).values[0], rtol=0, atol=1e-14
        )
    assert torch.autograd.gradcheck(
        lambda at: (
            ScalarPSF(TINY, ZernikePhase(TINY, [6], torch.ones(1)), patch_px=5)(xyz[:1], focus_um=at).values
        ),
        focus[:1].clone().requires_grad_(),
    )


def test_a_learnt_mask_receives_a_gradient() -> None:
    mask = PixelMask(ZeroMask().build(COARSE)(), learn=True)
    psf = ScalarPSF(COARSE, mask, patch_px=11)
    psf(torch.tensor([[0.0, 0.0, 3.0]])).values[0, 5, 5].backward()
    (parameter,) = psf.parameters()
    assert parameter.grad is not None
    assert parameter.grad.abs().max() > 0
