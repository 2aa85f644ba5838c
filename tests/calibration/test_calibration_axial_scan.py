"""A stack without a mask gives 3D positions; stacks that cannot are refused with the reason."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.axial_scan.profiles import best_focus
from deepstorm3d.calibration.axial_scan.scan import scan_spots
from deepstorm3d.calibration.axial_scan.spot import AxialScan, ScannedSpot
from deepstorm3d.errors import InputError
from deepstorm3d.optics.assembly import Assembly
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF

# The last two stand above one another.
TRUE = torch.tensor([[1.5, 1.6, 2.5], [5.1, 1.9, 3.0], [1.9, 5.2, 3.9], [4.6, 4.7, 2.6], [4.63, 4.68, 4.2]])
Z_UM = (2.0, 4.5)
SIDE = 64


@cache
def optics() -> ScalarPSF:
    """A coarse pupil, which is computed fast."""
    microscope = Microscope(mask_pitch=96.0)
    return ScalarPSF(microscope, ZeroMask().build(microscope), patch_px=31, blur_px=1.0, oversampling=2)


@cache
def stack(step: float = 0.25, first: float = 2.0, planes: int = 18) -> tuple[Tensor, Tensor]:
    focus = first + step * torch.arange(planes)
    generator = torch.Generator().manual_seed(7)
    images = torch.full((planes, SIDE, SIDE), 40.0)
    for plane, travel in enumerate(focus):
        patches = optics()(TRUE, focus_um=travel.expand(len(TRUE)))
        side = patches.values.shape[-1]
        places = Assembly(
            patches.corner, torch.zeros(len(TRUE), dtype=torch.int64), (side, side), (1, SIDE, SIDE)
        )
        images[plane] += places.add(places.inside(patches.values * 30000.0))[0]
    return torch.poisson(images, generator=generator), focus


def scan(planes: Tensor, focus: Tensor) -> list[ScannedSpot]:
    return scan_spots(AxialScan(planes, focus, optics(), Z_UM))


def test_the_sharpest_depth_is_less_than_the_travel():
    at, _ = best_focus(optics(), torch.tensor([2.0, 4.0]), torch.arange(1.0, 8.0, 0.05))
    ratio = torch.tensor([2.0, 4.0]) / at
    assert bool(((ratio > 0.65) & (ratio < 0.85)).all())


def test_every_emitter_is_found_in_its_place_also_above_one_another():
    found = scan(*stack())
    assert len(found) == len(TRUE)
    places = np.array([spot.xyz for spot in found])
    for true in TRUE.double().numpy():
        nearest = places[np.linalg.norm(places - true, axis=1).argmin()]
        assert nearest == pytest.approx(true, abs=0.05)
    assert np.median([spot.photons for spot in found]) == pytest.approx(30000, rel=0.1)
    assert min(spot.quality for spot in found) > 0.9


def test_an_empty_stack_holds_nothing():
    noise = torch.poisson(torch.full((18, SIDE, SIDE), 40.0), generator=torch.Generator().manual_seed(1))
    assert scan(noise, stack()[1]) == []


def test_stacks_that_tell_nothing_are_refused():
    planes, focus = stack()
    with pytest.raises(InputError, match="at least 5"):
        scan(planes[:4], focus[:4])
    with pytest.raises(InputError, match="too few"):
        scan(planes[::6][:5].repeat(2, 1, 1), torch.arange(10) * 1.5)
    with pytest.raises(InputError, match="`first_focus_um`"):
        scan(planes, focus + 9.0)


def test_wrong_order_and_wrong_sign_are_noticed():
    planes, focus = stack()
    with pytest.raises(InputError, match="opposite order"):
        scan(planes.flip(0), focus)
    shuffled = planes[torch.randperm(len(planes), generator=torch.Generator().manual_seed(2))]
    with pytest.raises(InputError, match="in order"):
        scan(shuffled, focus)
