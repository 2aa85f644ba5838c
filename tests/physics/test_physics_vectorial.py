"""The vectorial PSF against other statements of the same optics: vector sums, radial integrals, symmetries."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import jv

from deepstorm3d.optics.dipole import fresnel_transmission
from deepstorm3d.optics.masks import PixelMask, ZernikePhase, ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.vectorial import DipoleSpec, VectorialPSF

COARSE = Microscope(mask_pitch=72.0)
NEAR = Microscope(mask_pitch=24.0, focus=0.3)  # focused just above the coverslip
LOPSIDED = {5: 0.6, 6: -0.4, 7: 0.8, 8: -0.5, 9: 0.6, 10: 0.3, 11: 0.4}
SPEC = DipoleSpec()


def lopsided(microscope: Microscope) -> ZernikePhase:
    """A mask without any symmetry."""
    return ZernikePhase(microscope, list(LOPSIDED), torch.tensor(list(LOPSIDED.values()), dtype=torch.float64))


def at_depths(*z: float) -> torch.Tensor:
    return torch.nn.functional.pad(torch.tensor(z, dtype=torch.float64)[:, None], (2, 0))


def flat(
    microscope: Microscope, spec: DipoleSpec, *, patch_px: int = 31, oversampling: int = 1
) -> VectorialPSF:
    mask = ZeroMask().build(microscope)
    return VectorialPSF(microscope, mask, spec, patch_px=patch_px, oversampling=oversampling)


def emitted(
    m: Microscope, dipole: np.ndarray, xi: float, eta: float, z: float
) -> tuple[complex, complex, complex]:
    """E_x, E_y of one ray behind the objective, by vectors: emission, Fresnel, refraction of the pencil, lens.

    In the coordinates of the sample: light that reaches the mask at (ξ, η) left toward (−ξ, −η).
    """
    diameter = 2 * m.focal_length * m.na / math.sqrt(m.magnification**2 - m.na**2)
    rho = 2 * math.hypot(xi, eta) / diameter
    if rho >= 1:
        return 0, 0, 0
    sin_i = m.na / m.n_immersion * rho
    sin_s = m.na / m.n_sample * rho
    cos_i, cos_s = math.sqrt(1 - sin_i**2), cmath.sqrt(1 - sin_s**2)
    toward = -np.array([xi, eta, 0]) / max(math.hypot(xi, eta), 1e-12)
    if rho == 0:
        toward = np.array([1.0, 0, 0])
    down = np.array([0, 0, -1.0])
    ray = sin_s * toward + cos_s * down
    s = np.cross(down, toward)
    p = np.cross(s, ray)  # complex beyond the critical angle
    # Fresnel coefficients of the passage from sample to immersion.
    t_s = 2 * m.n_sample * cos_s / (m.n_sample * cos_s + m.n_immersion * cos_i)
    t_p = 2 * m.n_sample * cos_s / (m.n_immersion * cos_s + m.n_sample * cos_i)
    # The far field of a plane wave of amplitude a(k_x, k_y)/k_zs beyond the interface is k_zi times that.
    spread = m.n_immersion * cos_i / (m.n_sample * cos_s)
    along_s, along_p = (t_s * spread * (s @ dipole), t_p * spread * (p @ dipole))
    # The lens turns p from the meridional plane into the radial direction, and keeps s; sine condition.
    field = (along_s * s + along_p * np.cross(s, down)) / math.sqrt(cos_i)
    k = 2 * math.pi / m.wavelength
    return *field[:2], cmath.exp(1j * k * (m.n_sample * cos_s * z - m.n_immersion * cos_i * m.focus))


def vector_sum(
    m: Microscope,
    phase: np.ndarray,
    xyz: tuple[float, float, float],
    dipole: np.ndarray,
    pixels: list[list[int]],
) -> list[float]:
    """The image of one dipole at a few camera pixels (row, column), one mask pixel after the other."""
    x, y, z = xyz
    middle, lam_f = (len(phase) - 1) / 2, m.wavelength * m.focal_length
    samples = []
    for i, j in np.ndindex(*phase.shape):
        eta, xi = (i - middle) * m.mask_pitch, (j - middle) * m.mask_pitch
        e_x, e_y, gone = emitted(m, dipole, xi, eta, z)
        place = 2 * math.pi * m.magnification * (x * xi + y * eta) / lam_f
        gone *= cmath.exp(1j * (phase[i, j] + place))
        samples.append((xi, eta, e_x * gone, e_y * gone))
    xi, eta, e_x, e_y = np.array(samples).T
    light = np.square(np.abs(e_x)).sum() + np.square(np.abs(e_y)).sum()
    values = []
    for row, column in pixels:
        wave = np.exp(-2j * math.pi * m.camera_pitch * (column * xi + row * eta) / lam_f)
        total = abs((wave * e_x).sum()) ** 2 + abs((wave * e_y).sum()) ** 2
        values.append((m.mask_pitch * m.camera_pitch / lam_f) ** 2 * float(total / light))
    return values


@pytest.mark.parametrize("direction", [(90.0, 0.0), (90.0, 90.0), (0.0, 0.0), (40.0, 205.0)])
def test_a_fixed_dipole_is_the_sum_over_rays(direction: tuple[float, float]) -> None:
    # Low enough that supercritical light counts (0.3 of it all); the mask covers the pupil to its rim.
    phase = torch.rand(61, 61, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    position = (0.31, -0.47, 0.08)
    spec = DipoleSpec(dipole=direction)
    patches = VectorialPSF(COARSE.with_(focus=0.4), PixelMask(phase), spec, patch_px=31)(
        torch.tensor([position], dtype=torch.float64)
    )
    column, row = patches.corner[0].tolist()
    places = [[0, 0], [15, 15], [14, 17], [3, 28], [22, 9]]
    polar, azimuth = (math.radians(angle) for angle in direction)
    dipole = np.array(
        [math.sin(polar) * math.cos(azimuth), math.sin(polar) * math.sin(azimuth), math.cos(polar)]
    )
    expected = vector_sum(
        COARSE.with_(focus=0.4), phase.numpy(), position, dipole, [[row + i, column + j] for i, j in places]
    )
    got = [float(patches.values[0, i, j]) for i, j in places]
    assert np.abs(np.array(got) - expected).max() < 1e-10 * float(patches.values.max())


def radial_integrals(m: Microscope, z: float, radius_um: np.ndarray, *, supercritical: bool) -> np.ndarray:
    """A freely turning dipole's image through a flat mask: p² (NA'/λ)² π²·2(|I0|² + |I2|² + 2|I1|²)/light.

    Azimuths integrated by hand, radius by quadrature. I0, I1, I2 are those of Richards & Wolf 1959, with the
    interface of Török & Varga 1997, light running the other way.
    """
    last = 1.0 if supercritical else min(1.0, m.n_sample / m.na)
    edges = sorted({0.0, min(1.0, m.n_sample / m.na), last})
    node, weight = np.polynomial.legendre.leggauss(400)
    total, light = np.zeros((3, len(radius_um)), complex), 0.0
    wave = 2 * math.pi * m.na * m.magnification / math.sqrt(m.magnification**2 - m.na**2) / m.wavelength
    for low, high in pairwise(edges):
        # Substituted so that the root of the cosine at the critical angle becomes smooth on either side.
        t = (node + 1) / 2
        inner = low == 0.0
        rho = low + (high - low) * ((1 - (1 - t) ** 2) if inner else t**2)
        measure = weight / 2 * (high - low) * (2 * (1 - t) if inner else 2 * t) * rho
        sin_s, sin_i = m.na * rho / m.n_sample, m.na * rho / m.n_immersion
        cos_s, cos_i = np.emath.sqrt(1 - sin_s**2).astype(complex), np.sqrt(1 - sin_i**2)
        # Both media's impedances; t of sample to immersion times the spread of the pencil.
        s = 2 * m.n_immersion * cos_i / (m.n_sample * cos_s + m.n_immersion * cos_i)
        p = 2 * m.n_immersion * cos_i / (m.n_immersion * cos_s + m.n_sample * cos_i)
        gone = np.exp(2j * math.pi / m.wavelength * (m.n_sample * cos_s * z - m.n_immersion * cos_i * m.focus))
        parts = np.stack([s + p * cos_s, p * sin_s, p * cos_s - s]) * gone / np.sqrt(cos_i)
        for order in range(3):
            bessel = jv(order, wave * radius_um[:, None] * rho)
            total[order] += bessel @ (measure * parts[order])
        bright = np.abs(s * gone) ** 2 + np.abs(p * cos_s * gone) ** 2 + np.abs(p * sin_s * gone) ** 2
        light += 2 * math.pi * float((measure * bright / cos_i).sum())
    i0, i1, i2 = np.square(np.abs(total))
    return m.pixel_um**2 * (wave / (2 * math.pi)) ** 2 * 2 * math.pi**2 * (i0 + i2 + 2 * i1) / light


@pytest.mark.parametrize(
    ("z", "focus", "supercritical"), [(0.0, 0.0, True), (0.05, 0.3, True), (0.5, 0.7, False), (3.0, 4.0, True)]
)
def test_a_flat_mask_gives_the_radial_integrals(z: float, focus: float, supercritical: bool) -> None:
    m = Microscope(mask_pitch=48.0, focus=focus)
    spec = DipoleSpec(supercritical=supercritical)
    got = flat(m, spec, patch_px=21, oversampling=5)(at_depths(z)).values[0].numpy()
    place = np.arange(-10, 11) * m.pixel_um
    distance = np.hypot(place[:, None], place)
    expected = radial_integrals(m, z, distance.ravel(), supercritical=supercritical).reshape(21, 21)
    # What is left is the sampling of the pupil (10 µm in the mask plane): square pixels along a round rim, and
    # the cusp of the transmission at the critical angle.
    assert np.abs(got - expected).max() < 4e-3 * expected.max()


def test_the_light_over_one_period_of_the_plane_is_exactly_one_at_every_depth() -> None:
    # Mask ramps push the image so that four 55-pixel patches tile one whole period of 110 pixels.
    m = COARSE.with_(wavelength=110 * 72.0 * 11.0 / 1.5e5, focus=0.5)
    axis = (torch.arange(63, dtype=torch.float64) - 31) * 72.0
    per_pixel = 2 * math.pi * 11.0 / (m.wavelength * 1.5e5)
    phase = torch.rand(63, 63, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for spec in (SPEC, DipoleSpec(polarizer="y", dipole=(30.0, 10.0)), DipoleSpec(supercritical=False)):
        total = torch.zeros(3, dtype=torch.float64)
        for right in (0, 55):
            for down in (0, 55):
                ramp = per_pixel * (right * axis[None, :] + down * axis[:, None])
                psf = VectorialPSF(m, PixelMask(phase + ramp), spec, patch_px=55)
                total += psf(at_depths(0.0, 0.1, 2.0)).encircled_energy
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-10)


def test_at_low_aperture_without_interface_it_is_the_scalar_psf() -> None:
    # What differs is of order sin²θ: the dipole along the axis lends sin²θ/2 of the light. NA 0.3 in oil:
    # sin²θ = 0.04. A quarter of it is left at half the aperture.
    different = []
    for na in (0.3, 0.15):
        m = Microscope(na=na, n_immersion=1.5, n_sample=1.5, focus=0.0, mask_pitch=12.0, camera_pitch=40.0)
        xyz = at_depths(0.0, 3.0)
        scalar = ScalarPSF(m, ZeroMask().build(m), patch_px=15)(xyz).values
        vectorial = flat(m, SPEC, patch_px=15)(xyz).values
        different.append(float(((vectorial - scalar).abs().amax((1, 2)) / scalar.amax((1, 2))).max()))
    assert different[0] < 0.02
    assert different[1] == pytest.approx(different[0] / 4, rel=0.15)


def test_a_dipole_across_the_axis_seen_at_low_aperture_is_the_scalar_psf_to_fourth_order() -> None:
    m = Microscope(na=0.15, n_immersion=1.5, n_sample=1.5, focus=0.0, mask_pitch=12.0, camera_pitch=40.0)
    scalar = ScalarPSF(m, ZeroMask().build(m), patch_px=15, apodized=True)(at_depths(2.0)).values
    fixed = flat(m, DipoleSpec(dipole=(90.0, 30.0)), patch_px=15)(at_depths(2.0)).values
    assert 1e-6 < float((fixed - scalar).abs().max() / scalar.max()) < 5e-3


def test_a_turning_dipole_looks_round_and_behind_a_polarizer_it_does_not() -> None:
    m = Microscope(mask_pitch=48.0, focus=0.6)
    free, behind = (
        flat(m, spec, oversampling=6)(at_depths(0.4)).values[0] for spec in (SPEC, DipoleSpec(polarizer="x"))
    )
    # 5 pixels from the middle along the row, the column, and aslant (3, 4).
    for image, round_ in ((free, True), (behind, False)):
        around = torch.stack([image[15, 20], image[20, 15], image[18, 19], image[12, 11]])
        spread = float((around.max() - around.min()) / around.mean())
        assert (spread < 0.02) == round_
        torch.testing.assert_close(image, torch.rot90(image, 2), rtol=0, atol=1e-12)
    assert float((behind - torch.rot90(behind)).abs().max()) > 0.02 * float(behind.max())


def test_a_polarizer_turned_by_90_degrees_swaps_rows_and_columns() -> None:
    phase = lopsided(COARSE)()
    along_x = VectorialPSF(COARSE, PixelMask(phase), DipoleSpec(polarizer="x"), patch_px=31)(at_depths(3.0))
    along_y = VectorialPSF(COARSE, PixelMask(phase.t()), DipoleSpec(polarizer="y"), patch_px=31)(at_depths(3.0))
    torch.testing.assert_close(along_x.values[0].t(), along_y.values[0], rtol=0, atol=1e-13)
    assert float((along_x.values - along_y.values).abs().max()) > 0.05 * float(along_x.values.max())


def test_both_polarizations_add_up_to_the_image_without_a_polarizer() -> None:
    # A freely turning dipole through a flat mask sends half of its light through either.
    both, x, y = (
        flat(COARSE, spec)(at_depths(0.1, 3.0)).values
        for spec in (SPEC, DipoleSpec(polarizer="x"), DipoleSpec(polarizer="y"))
    )
    torch.testing.assert_close(both, (x + y) / 2, rtol=0, atol=1e-13)


def test_a_dipole_along_the_axis_has_a_dark_middle_in_focus() -> None:
    m = Microscope(focus=0.0)
    for z in (0.0, 0.1):
        image = flat(m, DipoleSpec(dipole=(0.0, 0.0)))(at_depths(z)).values[0]
        assert float(image[15, 15]) < 1e-12 * float(image.max())
        lying = flat(m, DipoleSpec(dipole=(90.0, 0.0)))(at_depths(z)).values[0]
        assert divmod(int(lying.argmax()), 31) == (15, 15)


def test_a_tilted_dipole_leans_as_its_rays_go() -> None:
    # It shines across itself: one that points to +x and away from the coverslip sends its light to the
    # objective toward +x, so beyond the focal plane its image lies on that side, and before it on the other.
    m = Microscope(n_sample=1.518, focus=1.0)
    psf = VectorialPSF(m, ZeroMask().build(m), DipoleSpec(dipole=(45.0, 0.0)), patch_px=41)
    values = psf(at_depths(0.4, 1.0, 1.6)).values
    column = torch.arange(-20.0, 21.0, dtype=torch.float64)
    before, within, beyond = ((values * column).sum((1, 2)) / values.sum((1, 2))).tolist()
    assert before < -0.5
    assert abs(within) < 0.2
    assert beyond > 0.5
    rows = (values * column[:, None]).sum((1, 2)).abs()
    assert float(rows.max()) < 1e-10


def test_supercritical_light_matters_at_the_coverslip_and_fades_with_depth() -> None:
    psf, without = flat(NEAR, SPEC), flat(NEAR, DipoleSpec(supercritical=False))
    xyz = at_depths(0.0, 0.5, 2.0)
    change = (psf(xyz).values - without(xyz).values).abs().amax((1, 2)) / without(xyz).values.amax((1, 2))
    # At 2 µm 0.003 of the detected light is supercritical; it interferes with the rest: 2·sqrt(0.003) = 0.11.
    assert float(change[0]) > 0.3 and float(change[2]) < 0.11
    assert bool((change.diff() < 0).all())


def test_no_objective_below_the_samples_index_sees_supercritical_light() -> None:
    m = Microscope(na=1.2, focus=0.5, mask_pitch=48.0)
    with_, without = (flat(m, DipoleSpec(supercritical=on))(at_depths(0.0, 1.0)).values for on in (True, False))
    assert torch.equal(with_, without)


def test_transmission_is_one_without_an_interface_and_fresnels_at_normal_incidence() -> None:
    angles = torch.linspace(0, 0.9, 10, dtype=torch.float64)
    for part in fresnel_transmission(Microscope(na=1.3, n_sample=1.518), angles):
        torch.testing.assert_close(part, torch.ones_like(part))
    s, p = fresnel_transmission(Microscope(), torch.zeros(1, dtype=torch.float64))
    assert complex(s) == pytest.approx(2 * 1.518 / (1.518 + 1.33)) == complex(p)
    # At the critical angle s is doubled and p goes with the ratio of the indices.
    s, p = fresnel_transmission(Microscope(), torch.tensor([1.33 / 1.518], dtype=torch.float64))
    assert complex(s) == pytest.approx(2, abs=1e-6)
    assert complex(p) == pytest.approx(2 * 1.518 / 1.33, abs=1e-6)


def test_no_energy_is_made_at_the_interface() -> None:
    # Transmitted power of a plane wave, n_i cosθ_i |t|² to n_s cosθ_s, and the reflected rest make 1.
    m = Microscope()
    sin_i = torch.linspace(0, 0.87, 30, dtype=torch.float64)
    cos_i, cos_s = (1 - sin_i**2).sqrt(), (1 - (sin_i * 1.518 / 1.33) ** 2).sqrt()
    tau_s, tau_p = fresnel_transmission(m, sin_i)
    spread = m.n_immersion * cos_i / (m.n_sample * cos_s)
    through = [
        m.n_immersion * cos_i / (m.n_sample * cos_s) * (tau / spread).abs().square() for tau in (tau_s, tau_p)
    ]
    r_s = (m.n_sample * cos_s - m.n_immersion * cos_i) / (m.n_sample * cos_s + m.n_immersion * cos_i)
    r_p = (m.n_immersion * cos_s - m.n_sample * cos_i) / (m.n_immersion * cos_s + m.n_sample * cos_i)
    for passed, back in zip(through, (r_s, r_p), strict=True):
        torch.testing.assert_close(passed + back.square(), torch.ones_like(passed))
