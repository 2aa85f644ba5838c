"""Light spread unevenly over the pupil: what it changes in the image, and what it cannot."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import PSF
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.transmission import transmission_factor
from deepstorm3d.optics.vectorial import VectorialPSFSpec

OPTICS = Microscope(mask_pitch=100.0)
DEPTHS = torch.tensor([[0.0, 0.0, 1.5], [0.0, 0.0, 2.5]], dtype=torch.float64)


def psf_with(model: str = "scalar", **table: float) -> PSF:
    values = {int(name[1:]): value for name, value in table.items()}
    scalar = ScalarPSFSpec(patch_px=31, transmission=values)
    spec = scalar if model == "scalar" else scalar.to_kind(VectorialPSFSpec, supercritical=False)
    return build_psf(spec, OPTICS, ZeroMask().build(OPTICS))


def test_the_factor_is_the_exponential_inside_and_1_beyond():
    axis = mask_coordinates(OPTICS.mask_px + 4, OPTICS.mask_pitch)
    factor = transmission_factor({1: 0.3, 4: -0.1}, OPTICS, axis)
    middle = factor[len(axis) // 2, len(axis) // 2]
    radius = OPTICS.aperture * OPTICS.pupil_diameter / 2
    rho = 2**0.5 * abs(float(axis[len(axis) // 2])) / radius
    expected = torch.tensor(0.3 - 0.1 * 3**0.5 * (2 * rho**2 - 1), dtype=torch.float64).exp()
    assert float(middle) == pytest.approx(float(expected))
    assert float(factor[0, 0]) == 1.0


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_less_light_everywhere_changes_nothing(model: str):
    one, other = psf_with(model)(DEPTHS).values, psf_with(model, j1=-0.7)(DEPTHS).values
    assert float((one - other).abs().max()) < 1e-9


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_photons_stay_and_a_dark_rim_holds_them_together(model: str):
    z = torch.linspace(0.5, 4.0, 36, dtype=torch.float64)
    depths = torch.nn.functional.pad(z[:, None], (2, 0))
    even, dark = psf_with(model)(depths), psf_with(model, j4=-0.5)(depths)
    # Light of the rim spreads widest with depth: less of it leaves the patch. None is made.
    assert bool((dark.encircled_energy >= even.encircled_energy - 1e-3).all())
    assert bool((dark.encircled_energy <= 1 + 1e-3).all())
    assert float((dark.encircled_energy - even.encircled_energy).max()) > 0.05


def test_light_from_one_side_moves_the_image_with_depth_and_its_mirror_the_other_way():
    right, left = psf_with(j2=0.3)(DEPTHS).values, psf_with(j2=-0.3)(DEPTHS).values
    assert torch.allclose(right.flip(2), left, atol=1e-9)
    columns = torch.arange(31, dtype=torch.float64) - 15
    centre = (right.sum(1) @ columns) / right.sum((1, 2))
    assert abs(float(centre[1] - centre[0])) > 0.3


def test_the_slopes_are_those_of_the_dimmed_image():
    psf = psf_with(j2=0.3, j4=-0.4)
    _, slopes = psf.derivatives(DEPTHS)
    step = torch.tensor([0.0, 0.0, 1e-4], dtype=torch.float64)
    numeric = (psf(DEPTHS + step).values - psf(DEPTHS - step).values) / 2e-4
    assert torch.allclose(slopes[:, 2], numeric, atol=1e-6)
