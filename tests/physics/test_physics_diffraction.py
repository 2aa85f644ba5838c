"""The image model against other statements of the same optics: sums, transforms, closed forms, symmetries."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from deepstorm3d.optics.masks import PixelMask, TetrapodMask, ZernikePhase, ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.optics.scalar import ScalarPSF

COARSE = Microscope(mask_pitch=72.0)
LOPSIDED = {5: 0.6, 6: -0.4, 7: 0.8, 8: -0.5, 9: 0.6, 10: 0.3, 11: 0.4}


def lopsided(microscope: Microscope) -> torch.Tensor:
    """Phase of a mask without any symmetry."""
    return ZernikePhase(
        microscope, list(LOPSIDED), torch.tensor(list(LOPSIDED.values()), dtype=torch.float64)
    )()


def at_depths(z: list[float]) -> torch.Tensor:
    xyz = torch.zeros(len(z), 3, dtype=torch.float64)
    xyz[:, 2] = torch.tensor(z, dtype=torch.float64)
    return xyz


def image(microscope: Microscope, phase: torch.Tensor, z: float = 3.0, patch_px: int = 31) -> torch.Tensor:
    return ScalarPSF(microscope, PixelMask(phase), patch_px=patch_px)(at_depths([z])).values[0]


def direct_sum(
    m: Microscope, phase: np.ndarray, xyz: tuple[float, float, float], pixels: list[tuple[int, int]]
) -> list[float]:
    """The PSF at a few camera pixels (row, column), one mask pixel after the other, as the equations stand."""
    x, y, z = xyz
    height, width = phase.shape
    diameter = 2 * m.focal_length * m.na / math.sqrt(m.magnification**2 - m.na**2)
    lam_f = m.wavelength * m.focal_length
    samples: list[tuple[float, float, complex]] = []
    for i in range(height):
        for j in range(width):
            eta, xi = (i - (height - 1) / 2) * m.mask_pitch, (j - (width - 1) / 2) * m.mask_pitch
            rho = 2 * math.hypot(xi, eta) / diameter
            sin_i, sin_s = m.na / m.n_immersion * rho, m.na / m.n_sample * rho
            if rho >= 1 or sin_s >= 1:
                continue
            k_s, k_i = 2 * math.pi * m.n_sample / m.wavelength, 2 * math.pi * m.n_immersion / m.wavelength
            angle = (
                float(phase[i, j]) + k_s * z * math.sqrt(1 - sin_s**2) - k_i * m.focus * math.sqrt(1 - sin_i**2)
            )
            angle += 2 * math.pi * m.magnification * (x * xi + y * eta) / lam_f
            samples.append((xi, eta, cmath.exp(1j * angle)))
    values = []
    for row, column in pixels:
        total = sum(
            field * cmath.exp(-2j * math.pi * m.camera_pitch * (column * xi + row * eta) / lam_f)
            for xi, eta, field in samples
        )
        values.append((m.mask_pitch * m.camera_pitch / lam_f) ** 2 * abs(total) ** 2 / len(samples))
    return values


@pytest.mark.parametrize("size", [57, 60])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_image_is_the_direct_fourier_sum(size: int, dtype: torch.dtype) -> None:
    phase = torch.rand(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    position = (0.31, -0.47, 3.3)
    patches = ScalarPSF(COARSE, PixelMask(phase), patch_px=31)(torch.tensor([position], dtype=dtype))
    column, row = patches.corner[0].tolist()
    places = [(0, 0), (15, 15), (14, 17), (3, 28), (22, 9)]
    expected = direct_sum(COARSE, phase.numpy(), position, [(row + i, column + j) for i, j in places])
    got = [float(patches.values[0, i, j]) for i, j in places]
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    assert np.abs(np.array(got) - expected).max() < tolerance * float(patches.values.max())


def test_on_the_published_grid_it_is_the_padded_fft() -> None:
    # The published code works where mask size × p_m × p_c = λ f; there one FFT of the mask gives the image.
    size = 329
    microscope = Microscope(wavelength=size * 24.0 * 11.0 / 1.5e5)
    inner = TetrapodMask().build(microscope)()
    edge = (size - inner.shape[0]) // 2
    phase = torch.nn.functional.pad(inner, [edge] * 4)
    axis = mask_coordinates(size, 24.0)
    rho = torch.sqrt(axis[:, None] ** 2 + axis**2) * 2 / microscope.pupil_diameter
    inside = rho < 1.33 / 1.45
    z, k = 3.1, 2 * math.pi / microscope.wavelength
    cos_s, cos_i = ((1 - (1.45 / n * rho) ** 2).clamp(min=0).sqrt() for n in (1.33, 1.518))
    field = inside * torch.exp(1j * (phase + 1.33 * k * z * cos_s - 1.518 * k * 4.5 * cos_i))
    fft = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(field))).abs().square() / size**2 / inside.sum()
    assert fft.sum().item() == pytest.approx(1)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 2e-6)):
        ours = ScalarPSF(microscope, PixelMask(phase), patch_px=61)(at_depths([z]).to(dtype)).values[0]
        middle = fft[164 - 30 : 164 + 31, 164 - 30 : 164 + 31]
        assert (ours - middle).abs().max() < tolerance * middle.max()


def test_the_light_over_one_period_of_the_plane_is_exactly_one() -> None:
    # Mask ramps push the image so that four 55-pixel patches tile one whole period of 110 pixels.
    microscope = COARSE.with_(wavelength=110 * 72.0 * 11.0 / 1.5e5)
    axis = mask_coordinates(57, 72.0)
    per_pixel = 2 * math.pi * 11.0 / (microscope.wavelength * 1.5e5)
    total = 0.0
    for right in (0, 55):
        for down in (0, 55):
            ramp = per_pixel * (right * axis[None, :] + down * axis[:, None])
            total += float(image(microscope, lopsided(microscope) + ramp, patch_px=55).sum())
    assert total == pytest.approx(1, abs=1e-10)


def test_a_flat_mask_at_focus_keeps_its_light_in_a_large_patch() -> None:
    microscope = Microscope()
    mask = ZeroMask().build(microscope)
    held = [
        float(ScalarPSF(microscope, mask, patch_px=n)(at_depths([3.48])).encircled_energy)
        for n in (21, 61, 121, 163)
    ]
    assert held == sorted(held)
    assert 0.96 < held[-1] <= 1 + 1e-6  # the rest is the wide skirt of the spherical aberration at 4.5 µm
    dry = Microscope(na=0.8, focus=0.0, mask_pitch=36.0)
    assert (
        0.98
        < float(ScalarPSF(dry, ZeroMask().build(dry), patch_px=101)(at_depths([0.0])).encircled_energy)
        <= 1
    )


def test_without_aberrations_the_image_is_the_airy_pattern() -> None:
    from scipy.special import j1

    microscope = Microscope(na=0.8, focus=0.0, mask_pitch=12.0)
    got = image(microscope, torch.zeros(microscope.mask_px, microscope.mask_px), z=0.0, patch_px=21).numpy()
    place = np.arange(-10, 11) * microscope.pixel_um
    # D/2 of the formula, with the sine condition of the image side: 2π/λ·NA/sqrt(1 − NA²/M²)·r.
    v = 2 * math.pi / 0.58 * 0.8 / math.sqrt(1 - (0.8 / 100) ** 2) * np.hypot(place[:, None], place)
    v[10, 10] = 1e-9
    airy = (2 * j1(v) / v) ** 2
    assert np.abs(got / got.max() - airy).max() < 2e-3
    # Peak of the Airy pattern: π NA²/λ² per area.
    assert got.max() == pytest.approx(math.pi * 0.64 / 0.58**2 * microscope.pixel_um**2, rel=5e-3)


def test_pixel_sum_and_closed_form_of_the_airy_patterns_encircled_energy_agree() -> None:
    from scipy.special import j0, j1

    microscope = Microscope(na=0.8, focus=0.0, mask_pitch=24.0)
    patch = ScalarPSF(microscope, ZeroMask().build(microscope), patch_px=41)(at_depths([0.0]))
    inner, outer = (2 * math.pi / 0.58 * 0.8 * r * microscope.pixel_um for r in (20.5, 20.5 * math.sqrt(2)))
    low, high = (1 - j0(v) ** 2 - j1(v) ** 2 for v in (inner, outer))
    assert low - 0.002 < float(patch.encircled_energy) < high + 0.002


@pytest.mark.parametrize("pixels", [1.0, 2.5, -4.0])
def test_a_phase_ramp_along_columns_moves_the_image_along_x(pixels: float) -> None:
    # exp(2πi M x ξ/(λf)) is what an emitter at x writes; a mask with that ramp imitates it.
    shift = pixels * COARSE.pixel_um
    axis = mask_coordinates(57, 72.0)
    ramp = 2 * math.pi * COARSE.magnification * shift / (COARSE.wavelength * COARSE.focal_length) * axis
    phase = lopsided(COARSE)
    psf = ScalarPSF(COARSE, PixelMask(phase), patch_px=31)
    for along, imitation in ((0, phase + ramp[None, :]), (1, phase + ramp[:, None])):
        xyz = at_depths([3.0])
        xyz[0, along] = shift
        moved = psf(xyz)
        column, row = (moved.corner[0] + 15).tolist()
        still = image(COARSE, imitation)
        overlap = still[max(row, 0) : 31 + min(row, 0), max(column, 0) : 31 + min(column, 0)]
        seen = moved.values[0, max(-row, 0) : 31 - max(row, 0), max(-column, 0) : 31 - max(column, 0)]
        assert (column, row) != (0, 0)
        torch.testing.assert_close(overlap, seen, rtol=0, atol=1e-13)


def test_turning_the_mask_turns_the_image() -> None:
    phase = lopsided(COARSE)
    plain = image(COARSE, phase)
    for turn in (torch.fliplr, torch.flipud, torch.t, torch.rot90):
        torch.testing.assert_close(image(COARSE, turn(phase)), turn(plain), rtol=0, atol=1e-13)
        assert (turn(plain) - plain).abs().max() > 0.05 * plain.max()  # the mask would show a slip


def test_the_conjugate_mask_in_the_conjugate_defocus_gives_the_image_turned_by_half() -> None:
    at_focus = COARSE.with_(focus=0.0)
    phase = lopsided(COARSE)
    for z in (0.0, 0.7):
        turned = torch.rot90(image(at_focus, phase, z), 2)
        torch.testing.assert_close(image(at_focus, -phase, -z), turned, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("focus", "sharpest"), [(4.5, 3.48), (1.5, 1.06), (2.5, 1.86)])
def test_the_best_focus_of_a_flat_mask(focus: float, sharpest: float) -> None:
    microscope = Microscope(focus=focus)
    z = torch.arange(sharpest - 0.3, sharpest + 0.3, 0.01).tolist()
    peak = ScalarPSF(microscope, ZeroMask().build(microscope), patch_px=1)(at_depths(z)).values[:, 0, 0]
    assert z[int(peak.argmax())] == pytest.approx(sharpest, abs=0.05)


def test_finer_sampling_of_the_pupil_converges() -> None:
    # As `ScalarPSF` states: 1 → 3 at most 1.6 % of the peak, 2 → 3 at most 0.5 %; light 1.3 % and 0.3 %.
    microscope = Microscope()
    mask = TetrapodMask().build(microscope)
    xyz = at_depths([2.0, 3.5, 4.0, 6.0])
    one, two, three = (
        ScalarPSF(microscope, mask, patch_px=61, oversampling=n, blur_px=1.0)(xyz) for n in (1, 2, 3)
    )
    peak = three.values.amax((1, 2))
    far, near = (((p.values - three.values).abs().amax((1, 2)) / peak).max().item() for p in (one, two))
    assert near < 0.005 < far < 0.017
    assert (two.encircled_energy - three.encircled_energy).abs().max().item() < 0.003
    assert (one.encircled_energy - three.encircled_energy).abs().max().item() < 0.014
