"""Several PSFs in one table, one deeper than the other."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.tabulated import TabulatedPSF

MICROSCOPE = Microscope(focal_length=1.0e5, mask_pitch=90.0, focus=0.85)
DEPTH = (0.0, 1.2)


def table(wavelength: float, patch_px: int = 21, depth: tuple[float, float] = DEPTH) -> TabulatedPSF:
    microscope = MICROSCOPE.with_(wavelength=wavelength)
    mask = AstigmaticMask().build(microscope)
    exact = ScalarPSF(
        microscope, mask, patch_px=patch_px + 2 * TabulatedPSF.margin_px, blur_px=1.0, oversampling=2
    )
    return TabulatedPSF(exact, depth, blur_range=(0.9, 1.1))


def places(number: int, step_um: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    xyz = torch.rand(60, 3, generator=generator) * torch.tensor([0.3, 0.3, 1.2])
    return xyz + torch.tensor([0.0, 0.0, number * step_um])


def test_each_psf_is_found_at_its_own_depths_and_its_own_table_stays() -> None:
    alone = [table(each) for each in (0.5, 0.6, 0.7)]
    before = [each(places(number)).values for number, each in enumerate(alone)]
    stack = alone[0].stacked(alone[1:])
    step = alone[0].stack_step_um
    for number, each in enumerate(alone):
        seen, slopes = stack.derivatives(places(number, step))
        own, steep = each.derivatives(places(number))
        peak = float(own.values.max())
        torch.testing.assert_close(seen.values, own.values, rtol=0, atol=2e-5 * peak)
        torch.testing.assert_close(slopes, steep, rtol=0, atol=2e-4 * float(steep.abs().max()))
        assert torch.equal(each(places(number)).values, before[number])
        assert each.z_range == DEPTH
    assert stack.z_range[1] == pytest.approx(DEPTH[1] + 2 * step)


def test_compiled_code_draws_the_same_stack() -> None:
    from deepstorm3d.optics.drawing import add_molecules, molecules_of

    alone = [table(each) for each in (0.5, 0.7)]
    stack = alone[0].stacked(alone[1:])
    xyz = places(1, alone[0].stack_step_um) + torch.tensor([1.5, 1.5, 0.0])
    photons, frame = torch.full((len(xyz),), 1000.0), torch.arange(len(xyz))
    drawn = torch.zeros(len(xyz), 40, 40)
    add_molecules(
        *molecules_of(stack, xyz, photons, None),
        frame,
        torch.zeros(len(xyz), 2, dtype=torch.int64).numpy(),
        drawn,
    )
    patches = stack(xyz)
    for image, values, (x, y) in zip(drawn, patches.values, patches.corner.tolist(), strict=True):
        torch.testing.assert_close(image[y : y + 21, x : x + 21], 1000 * values, rtol=0, atol=0.02)


def test_tables_of_other_depths_or_patches_do_not_stack() -> None:
    for other in (table(0.6, patch_px=15), table(0.6, depth=(0.0, 1.0))):
        with pytest.raises(ValueError, match="same depths, blurs, pixels and patches"):
            table(0.5).stacked([other])
