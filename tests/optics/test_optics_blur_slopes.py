"""How an image answers to a little more blur, beside its answers to position."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.optics.masks import TetrapodMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.tabulated import TabulatedPSF

COARSE = Microscope(mask_pitch=72.0)
MASK = TetrapodMask().build(COARSE)
XYZ = torch.tensor([[0.02, -0.04, 3.2], [0.31, 0.12, 3.05], [-0.2, 0.0, 3.4]], dtype=torch.float64)
BLUR = torch.tensor([0.9, 1.15, 0.8], dtype=torch.float64)


@pytest.fixture(scope="module")
def exact() -> ScalarPSF:
    return ScalarPSF(COARSE, MASK, patch_px=27, blur_px=1.0)


@pytest.fixture(scope="module")
def table(exact: ScalarPSF) -> TabulatedPSF:
    return TabulatedPSF(exact, (3.0, 3.5), blur_range=(0.75, 1.25), oversampling=2, dtype=torch.float64)


def differences(psf: ScalarPSF | TabulatedPSF, blur: Tensor, step: float) -> Tensor:
    return (psf(XYZ, blur + step).values - psf(XYZ, blur - step).values) / (2 * step)


def far(slope: Tensor, reference: Tensor) -> float:
    """Largest difference in parts of the largest slope."""
    return float((slope - reference).abs().max() / reference.abs().max())


def test_the_tables_slope_in_blur_is_that_of_its_own_images(table: TabulatedPSF) -> None:
    patches, slopes = table.derivatives(XYZ, BLUR, in_blur=True)
    assert slopes.shape == (3, 4, 21, 21)
    assert far(slopes[:, 3], differences(table, BLUR, 1e-5)) < 1e-5
    same, three = table.derivatives(XYZ, BLUR)
    torch.testing.assert_close(slopes[:, :3], three, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(patches.values, same.values, rtol=1e-10, atol=1e-12)


def test_the_exact_slope_in_blur_is_that_of_its_own_images(exact: ScalarPSF) -> None:
    patches, slopes = exact.derivatives(XYZ, BLUR, in_blur=True)
    assert slopes.shape == (3, 4, 27, 27)
    assert far(slopes[:, 3], differences(exact, BLUR, 0.002)) < 1e-3
    assert torch.equal(slopes[:, :3], exact.derivatives(XYZ, BLUR)[1])
    torch.testing.assert_close(patches.values, exact(XYZ, BLUR).values)


@pytest.mark.parametrize("middle", [1.0, 0.75, 1.1])
def test_no_blur_is_special_to_the_exact_slope(exact: ScalarPSF, middle: float) -> None:
    # Where the Gaussian is cut changes with its width: at 1 px the two sides of the difference are cut apart.
    blur = torch.full((3,), middle, dtype=torch.float64)
    slope = exact.derivatives(XYZ, blur, in_blur=True)[1][:, 3]
    around = [exact.derivatives(XYZ, blur + d, in_blur=True)[1][:, 3] for d in (-0.05, 0.05)]
    assert far(slope, (around[0] + around[1]) / 2) < 0.01


def test_table_and_exact_psf_agree_on_the_slope(exact: ScalarPSF, table: TabulatedPSF) -> None:
    quick = table.derivatives(XYZ, BLUR, in_blur=True)[1][:, 3]
    slow = exact.derivatives(XYZ, BLUR, in_blur=True)[1][:, 3, 3:-3, 3:-3]
    # Three levels of blur, two samples a pixel: images err by up to 0.9 % of the peak, slopes by 7 % of theirs.
    assert far(quick, slow) < 0.1


def test_more_blur_moves_light_outwards_and_loses_none(exact: ScalarPSF) -> None:
    patches, slopes = exact.derivatives(XYZ, BLUR, in_blur=True)
    assert float(slopes[:, 3].sum((1, 2)).abs().max()) < 0.05 * float(slopes[:, 3].abs().sum((1, 2)).min())
    peak = patches.values.flatten(1).argmax(1)
    assert bool((slopes[:, 3].flatten(1)[torch.arange(3), peak] < 0).all())


def test_a_blur_not_given_is_the_psfs_own(exact: ScalarPSF) -> None:
    own = exact.derivatives(XYZ, in_blur=True)[1]
    given = exact.derivatives(XYZ, torch.ones(3, dtype=torch.float64), in_blur=True)[1]
    torch.testing.assert_close(own, given)


def test_a_table_of_one_blur_does_not_answer_to_blur(exact: ScalarPSF) -> None:
    table = TabulatedPSF(exact, (3.0, 3.3))
    slopes = table.derivatives(XYZ, BLUR, in_blur=True)[1]
    assert slopes.shape[1] == 4
    assert float(slopes[:, 3].abs().max()) == 0


def test_no_emitters_have_no_slopes(exact: ScalarPSF, table: TabulatedPSF) -> None:
    none = XYZ[:0]
    assert exact.derivatives(none, BLUR[:0], in_blur=True)[1].shape == (0, 4, 27, 27)
    assert table.derivatives(none, BLUR[:0], in_blur=True)[1].shape == (0, 4, 21, 21)
