"""An average of beads is held against the set-up's own PSF: direction, drift of all beads, bleaching."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.measured_psf.against_model import doubts_against_model
from deepstorm3d.optics.masks import AstigmaticMask, MaskSpec, TetrapodMask, ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import on_axis
from deepstorm3d.optics.scalar import ScalarPSF

MICROSCOPE = Microscope(focus=0.6)
POSITION_UM = torch.linspace(0, 1.2, 17)


def images(mask: MaskSpec, z_um: Tensor) -> Tensor:
    psf = ScalarPSF(MICROSCOPE, mask.build(MICROSCOPE), patch_px=31)
    with torch.no_grad():
        return psf(on_axis(z_um), torch.full_like(z_um, 0.9)).values


def told(
    mask: MaskSpec, z_um: Tensor, *, drift_px: int = 0, left: float = 1.0, own: MaskSpec | None = None
) -> str:
    """What is told of a stack at depths `z_um`, of beads that drift and keep a share `left` of their light."""
    share = torch.linspace(0, 1, len(z_um))
    seen = 5000 * images(mask, z_um) * (1 - share * (1 - left))[:, None, None]
    steps = (drift_px * (share - 0.5)).round().int().tolist()
    seen = torch.stack([image.roll(step, 1) for image, step in zip(seen, steps, strict=True)])
    noisy = torch.poisson(seen + 5, generator=torch.Generator().manual_seed(1)) - 5
    return " ".join(
        doubts_against_model(noisy / 5000, POSITION_UM, lambda z: images(own or mask, z), MICROSCOPE.pixel_um)
    )


@pytest.mark.parametrize("mask", [AstigmaticMask(), TetrapodMask()], ids=["astigmatic", "tetrapod"])
@pytest.mark.parametrize("off_um", [0.0, 0.25])
def test_a_stack_as_it_should_be_gives_no_doubt_wherever_it_begins(mask: MaskSpec, off_um: float) -> None:
    assert told(mask, POSITION_UM + off_um) == ""


@pytest.mark.parametrize("mask", [AstigmaticMask(), TetrapodMask()], ids=["astigmatic", "tetrapod"])
def test_a_reversed_stack_a_drift_and_bleaching_are_told_with_their_figures(mask: MaskSpec) -> None:
    assert "the reversed stack is more like" in told(mask, POSITION_UM.flip(0))
    drifts = told(mask, POSITION_UM, drift_px=3)
    moved = int(drifts.partition("move by ")[2].partition(" nm")[0])
    assert moved == pytest.approx(330, abs=50)
    fades = told(mask, POSITION_UM, left=0.5)
    assert int(fades.partition("falls by ")[2].partition(" %")[0]) == pytest.approx(50, abs=6)


def test_where_the_model_does_not_know_nothing_is_told() -> None:
    """A symmetric PSF looks alike both ways; a model that is unlike the beads says neither drift nor light."""
    assert told(ZeroMask(), POSITION_UM.flip(0)) == ""
    assert told(TetrapodMask(), POSITION_UM, drift_px=3, left=0.5, own=ZeroMask()) == ""
