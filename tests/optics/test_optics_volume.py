"""A PSF sampled in planes, and the spline through them."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.measured import sample_volume, spline_psf
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.tabulated import TabulatedPSF

MICROSCOPE = Microscope(mask_pitch=72.0, focus=1.5)


@pytest.fixture(scope="module")
def exact() -> ScalarPSF:
    mask = AstigmaticMask().build(MICROSCOPE)
    return ScalarPSF(MICROSCOPE, mask, patch_px=27, blur_px=1.0)


def test_planes_lie_evenly_over_the_range_and_hold_the_images(exact: ScalarPSF):
    volume = sample_volume(exact, (0.2, 1.9), 0.06)
    assert volume.range_um == pytest.approx((0.2, 1.9))
    assert len(volume.values) == 30
    assert volume.step_um <= 0.06
    at = torch.tensor([[0.0, 0.0, 0.2 + 7 * volume.step_um]], dtype=torch.float64)
    assert torch.allclose(volume.values[7], exact(at).values[0].float(), atol=1e-7)
    with pytest.raises(InputError, match="holds no planes"):
        sample_volume(exact, (1.0, 1.0), 0.05)


def test_the_spline_through_the_planes_is_the_table_of_the_psf(exact: ScalarPSF):
    table = TabulatedPSF(exact, (0.2, 1.8), z_step=0.05)
    spline = spline_psf(sample_volume(exact, (0.2, 1.8), 0.05))
    g = torch.Generator().manual_seed(0)
    xyz = torch.rand(40, 3, generator=g) * torch.tensor([3.0, 3.0, 1.2]) + torch.tensor([0, 0, 0.4])
    patches, slopes = spline.derivatives(xyz)
    expected, expected_slopes = table.derivatives(xyz)
    assert spline.patch_px == 21 and torch.equal(patches.corner, expected.corner)
    # Within: at the ends the planes beyond the range are unknown to the volume.
    assert (patches.values - expected.values).abs().max() < 1e-3 * expected.values.max()
    assert (slopes - expected_slopes).abs().max() < 0.01 * expected_slopes.abs().max()
    ends = torch.tensor([[0.0, 0.0, 0.2], [0.0, 0.0, 1.8]])
    assert (spline(ends).values - table(ends).values).abs().max() < 0.01 * table(ends).values.max()
