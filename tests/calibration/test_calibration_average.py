"""Beads laid over each other: the average is the PSF, and every bead is put where it lay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.measured_psf.average import average_beads
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF

MICROSCOPE = Microscope(mask_pitch=72.0, focus=1.0)
SIDE, DEPTHS = 25, torch.linspace(0.3, 1.2, 19)
OFF = torch.tensor([[0.3, -0.2], [-1.4, 0.7], [0.45, 0.05], [2.2, -0.8]])


@pytest.fixture(scope="module")
def psf() -> ScalarPSF:
    return ScalarPSF(MICROSCOPE, AstigmaticMask().build(MICROSCOPE), patch_px=41, blur_px=1.0)


def stack(psf: ScalarPSF, off: Tensor) -> Tensor:
    """Fraction of the light of a bead that lies (column, row) px off the middle: (S, h, h)."""
    xyz = torch.cat([(off * psf.pixel_um).expand(len(DEPTHS), -1), DEPTHS[:, None]], 1)
    patches = psf(xyz)
    left, top = (20 - SIDE // 2 - int(corner) - 20 for corner in patches.corner[0])
    return patches.values[:, top : top + SIDE, left : left + SIDE]


def beads(psf: ScalarPSF, photons: Tensor, background: float = 20.0) -> Tensor:
    clean = torch.stack([stack(psf, off) for off in OFF[: len(photons)]])
    mean = photons[:, None, None, None] * clean + background
    return torch.poisson(mean, generator=torch.Generator().manual_seed(0))


def test_the_average_is_the_psf_and_beads_lie_where_they_were(psf: ScalarPSF) -> None:
    averaged = average_beads(beads(psf, torch.tensor([4e4, 2e4, 8e4, 3e4])))
    assert averaged.used.all()
    apart = averaged.shift_px - OFF
    assert (apart - apart.mean(0)).abs().max() < 0.02
    # The middle of the average is a centroid: of a symmetric PSF the molecule's own place.
    assert apart.mean(0).abs().max() < 0.05
    expected = stack(psf, apart.mean(0) * 0)
    expected = expected / expected.sum((1, 2)).max()
    assert (averaged.values - expected).abs().max() < 0.04 * expected.max()
    assert (averaged.values.sum((1, 2)) - expected.sum((1, 2))).abs().max() < 0.03


def test_a_bead_unlike_the_others_is_left_out(psf: ScalarPSF) -> None:
    stacks = beads(psf, torch.tensor([4e4, 4e4, 4e4, 4e4]))
    double = stacks[2] + torch.roll(stacks[2], (5, -4), (1, 2))
    averaged = average_beads(torch.stack([*stacks[:2], double, stacks[3]]))
    assert averaged.used.tolist() == [True, True, False, True]
    assert averaged.misfit[2] > 3 * averaged.misfit[0]


def test_pixels_without_weight_are_filled_from_the_other_beads(psf: ScalarPSF) -> None:
    stacks = beads(psf, torch.tensor([4e4, 4e4, 4e4]))
    whole = average_beads(stacks)
    broken, weight = stacks.clone(), torch.ones_like(stacks)
    broken[0, 8, 9:14, 9:14] = 65535
    weight[0, 8, 9:14, 9:14] = 0
    averaged = average_beads(broken, weight)
    assert (averaged.values - whole.values).abs().max() < 0.03 * whole.values.max()


def test_one_bead_is_its_own_average(psf: ScalarPSF) -> None:
    averaged = average_beads(beads(psf, torch.tensor([2e5])))
    assert averaged.used.tolist() == [True]
    assert averaged.misfit[0] < 0.1
