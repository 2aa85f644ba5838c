"""Phase masks: sizes, parity, the classical designs, who owns the gradient."""

from __future__ import annotations

import math

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.optics.masks import (
    AstigmaticMask,
    DoubleHelixMask,
    FileMask,
    LearnedMask,
    PixelMask,
    TetrapodMask,
    ZernikeMask,
    ZernikePhase,
    ZeroMask,
)
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.pupil import fit_to_pupil, mask_coordinates, sample_pupil
from deepstorm3d.optics.scalar import ScalarPSF

COARSE = Microscope(mask_pitch=72.0)  # 57 mask pixels


def at_depths(z: list[float]) -> torch.Tensor:
    xyz = torch.zeros(len(z), 3, dtype=torch.float64)
    xyz[:, 2] = torch.tensor(z, dtype=torch.float64)
    return xyz


@pytest.mark.parametrize("size", [1, 40, 54])
def test_a_mask_smaller_than_the_light_is_refused_with_the_numbers(size: int) -> None:
    # 2·0.917·2175 µm / 72 µm = 55.4 mask pixels.
    with pytest.raises(
        InputError, match=rf"{size}x{size} px, but light reaches a disc of 3.99 mm, 5[78]x5[78] px of 72"
    ):
        ScalarPSF(COARSE, PixelMask(torch.zeros(size, size)), patch_px=21)


def test_a_mask_that_is_not_square_is_refused() -> None:
    with pytest.raises(InputError, match="57x61"):
        ScalarPSF(COARSE, PixelMask(torch.zeros(57, 61)), patch_px=21)


def test_a_mask_has_two_dimensions() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        PixelMask(torch.zeros(1, 57, 57))


@pytest.mark.parametrize("size", [55, 56, 57, 58, 80, 101])
def test_odd_and_even_masks_keep_every_value_at_its_own_place(size: int) -> None:
    axis = mask_coordinates(size, COARSE.mask_pitch)
    phase = 1e-3 * axis[:, None] + 2e-3 * axis[None, :]  # η and ξ themselves, coded into the phase
    pupil = sample_pupil(COARSE, size)
    cut = fit_to_pupil(phase, COARSE)
    expected = 1e-3 * pupil.axis[:, None] + 2e-3 * pupil.axis[None, :]
    assert cut.shape == pupil.support.shape
    torch.testing.assert_close(cut[pupil.support], expected[pupil.support])


def test_what_lies_outside_the_light_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(57, 57, dtype=torch.float64, generator=generator)
    large = torch.rand(101, 101, dtype=torch.float64, generator=generator)
    large[22:79, 22:79] = small
    xyz = at_depths([3.0])
    images = [ScalarPSF(COARSE, PixelMask(phase), patch_px=21)(xyz).values for phase in (small, large)]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-15)


def test_an_oversampled_mask_pixel_is_a_constant_square() -> None:
    phase = torch.rand(57, 57, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    fine = fit_to_pupil(phase, COARSE, oversampling=3)
    torch.testing.assert_close(fine.reshape(57, 3, 57, 3).mean((1, 3)), phase)
    pupil, coarse = sample_pupil(COARSE, 57, oversampling=3), sample_pupil(COARSE, 57)
    torch.testing.assert_close(pupil.axis[1::3], coarse.axis)


def test_the_pupil_has_no_evanescent_part() -> None:
    pupil = sample_pupil(COARSE, 57, apodized=True)
    radius = torch.sqrt(pupil.axis[:, None] ** 2 + pupil.axis[None, :] ** 2)
    limit = 1.33 / 1.45 * COARSE.pupil_diameter / 2
    assert torch.equal(pupil.support, radius < limit)
    assert bool((pupil.kz_sample[pupil.support] > 0).all())
    assert bool((pupil.amplitude[~pupil.support] == 0).all())
    middle = len(pupil.axis) // 2
    assert pupil.kz_sample[middle, middle].item() == pytest.approx(2 * math.pi * 1.33 / 0.58)
    # Aplanatic: brighter towards the rim by cosθ_i^−½ (Snell: sinθ_i = NA/n_i·ρ).
    sine = 1.45 / 1.518 * radius[middle, -3] * 2 / COARSE.pupil_diameter
    assert pupil.amplitude[middle, -3].item() == pytest.approx((1 - sine.item() ** 2) ** -0.25)


def test_the_double_helix_has_two_lobes_that_turn_with_depth() -> None:
    # Modes whose azimuthal orders differ by 2 give an image that is its own half-turn, not its quarter-turn.
    microscope = Microscope(mask_pitch=72.0, focus=1.3)
    psf = ScalarPSF(microscope, DoubleHelixMask().build(microscope), patch_px=31, blur_px=0.8)
    depths = torch.linspace(0.3, 1.5, 7).tolist()
    images = psf(at_depths(depths)).values
    place = torch.arange(-15, 16, dtype=torch.float64)
    bright = images * (images > 0.3 * images.amax((1, 2), keepdim=True))
    xx, yy = ((bright * p.square()).sum((1, 2)) for p in (place[None, None, :], place[None, :, None]))
    xy = (bright * place[None, :, None] * place[None, None, :]).sum((1, 2))
    elongation = torch.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy)
    assert bool((elongation > 0.5).all())
    for image in images:
        assert (image - torch.rot90(image, 2)).abs().max() < 0.1 * image.max()
    angle = torch.atan2(2 * xy, xx - yy) / 2
    turn = (angle.diff() + math.pi / 2) % math.pi - math.pi / 2
    assert bool((turn.sign() == turn[0].sign()).all())
    assert turn.sum().abs() > math.radians(60)


def test_astigmatism_stretches_the_spot_along_one_axis_above_and_the_other_below_focus() -> None:
    microscope = Microscope(mask_pitch=72.0, focus=1.5)
    psf = ScalarPSF(microscope, AstigmaticMask(strength=0.8).build(microscope), patch_px=31, blur_px=1.0)
    low, high = psf(at_depths([0.6, 1.6])).values
    place = torch.arange(-15, 16, dtype=torch.float64).square()

    def stretch(image: torch.Tensor) -> float:
        bright = image * (image > 0.2 * image.max())
        return ((bright.sum(0) * place).sum() / (bright.sum(1) * place).sum()).log().item()

    assert stretch(low) * stretch(high) < 0
    assert min(abs(stretch(low)), abs(stretch(high))) > 0.3


def test_aberrations_add_to_the_mask_underneath() -> None:
    base = PixelMask(torch.rand(60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    coma = torch.tensor([0.3], dtype=torch.float64)
    on_top = ZernikePhase(COARSE, [8], coma, base=base)
    torch.testing.assert_close(on_top(), base() + 0.3 * on_top.get_buffer("basis")[0])
    assert on_top.pixels == 60
    assert ScalarPSF(COARSE, on_top, patch_px=21)(at_depths([3.0])).values.shape == (1, 21, 21)


@pytest.mark.parametrize("kind", ["pixel", "zernike"])
def test_learning_a_mask_does_not_write_into_the_callers_tensor(kind: str) -> None:
    given = torch.zeros(57, 57, dtype=torch.float64) if kind == "pixel" else torch.zeros(1, dtype=torch.float64)
    mask = PixelMask(given, learn=True) if kind == "pixel" else ZernikePhase(COARSE, [6], given, learn=True)
    optimiser = torch.optim.SGD(mask.parameters(), lr=1.0)
    mask().square().sum().backward()
    for parameter in mask.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    assert bool((given == 0).all())


def test_a_zernike_mask_keeps_its_coefficients_to_double_precision() -> None:
    for mask in (
        AstigmaticMask(strength=0.1).build(COARSE),
        ZernikeMask(coefficients={6: 0.1}).build(COARSE),
    ):
        assert isinstance(mask, ZernikePhase)
        assert mask.coefficients.tolist() == [0.1]


def test_masks_without_coefficients_and_without_a_file() -> None:
    assert bool((ZernikeMask().build(COARSE)() == 0).all())
    assert bool((ZeroMask().build(COARSE)() == 0).all())
    with pytest.raises(InputError, match="give its file"):
        FileMask(sha256="0" * 64).build(COARSE)
    with pytest.raises(InputError, match="starts at 1"):
        ZernikeMask(coefficients={0: 1.0}).build(COARSE)


def test_the_tetrapods_strength_scales_its_phase() -> None:
    one, half = (TetrapodMask(strength=s).build(COARSE)() for s in (1.0, 0.5))
    torch.testing.assert_close(one, 2 * half)


def test_the_learned_mask_is_that_of_the_model_on_its_own_pixels() -> None:
    model = find_model("learned-precise")
    assert model.mask is not None
    scope = Microscope(**model.experiment["microscope"])
    own = fit_to_pupil(LearnedMask().build(scope)().float(), scope)
    theirs = fit_to_pupil(model.mask.float(), scope)
    lit = sample_pupil(scope, len(own)).support
    difference = torch.polar(torch.ones_like(own), own - theirs).angle()
    assert float(difference[lit].abs().max()) < 0.003


@pytest.mark.parametrize(
    "change", [{"mask_pitch": 18.0}, {"focal_length": 100_000.0}], ids=["finer", "smaller"]
)
def test_the_learned_mask_fills_any_aperture(change: dict[str, float]) -> None:
    base = Microscope(n_sample=1.33, mask_pitch=24.0)
    spots = [
        ScalarPSF(scope, LearnedMask().build(scope), patch_px=31)(at_depths([0.5, 2.0, 3.5])).values
        for scope in (base, base.with_(**change))
    ]
    for here, there in zip(*spots, strict=True):
        assert float((here - there).norm() / here.norm()) < 0.06
