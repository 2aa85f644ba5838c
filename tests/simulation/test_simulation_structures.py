"""Demo structures: molecules on them and evenly over them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deepstorm3d.simulation import ellipsoid_surface, filaments, mitochondria, nucleus

CENTRE, EXTENT = (6.0, 7.0, 2.5), (10.0, 8.0, 3.0)
ALL = [filaments, mitochondria, ellipsoid_surface, nucleus]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scaled(xyz: Tensor) -> Tensor:
    """Positions in half widths from the centre."""
    return (xyz - torch.tensor(CENTRE)) / (torch.tensor(EXTENT) / 2)


@pytest.mark.parametrize("structure", ALL)
def test_every_structure_gives_its_molecules_inside_the_box_and_repeats_with_its_seed(
    structure: Callable[..., Tensor],
) -> None:
    xyz = structure(3000, CENTRE, EXTENT, seeded())
    assert xyz.shape == (3000, 3) and xyz.dtype == torch.float32
    assert scaled(xyz).abs().max() <= 1 + 1e-5
    assert (scaled(xyz).amax(0) - scaled(xyz).amin(0)).min() > 0.5
    assert torch.equal(xyz, structure(3000, CENTRE, EXTENT, seeded()))
    assert not torch.equal(xyz, structure(3000, CENTRE, EXTENT, seeded(1)))
    assert structure(0, CENTRE, EXTENT, seeded()).shape == (0, 3)


def test_an_ellipsoid_is_covered_evenly_by_area() -> None:
    unit = scaled(ellipsoid_surface(20_000, CENTRE, EXTENT, seeded()))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(20_000), rtol=0, atol=1e-4)
    # Against the area of a fine grid on the sphere, each element grown as the ellipsoid grows it.
    height = torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None]
    turn = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)[:-1]
    ring = (1 - height**2).sqrt()
    normal = torch.stack((ring * turn.cos() / 5, ring * turn.sin() / 4, (height / 1.5).expand(-1, 720)), -1)
    area = normal.norm(dim=-1)
    share = area[height[:, 0].abs() > 0.8].sum() / area.sum()
    assert (unit[:, 2].abs() > 0.8).float().mean().item() == pytest.approx(share.item(), abs=0.012)


def test_a_nucleus_is_filled_evenly() -> None:
    radius = scaled(nucleus(20_000, CENTRE, EXTENT, seeded())).norm(dim=1)
    assert radius.max() <= 1 + 1e-5
    assert (radius < 0.5).float().mean().item() == pytest.approx(1 / 8, abs=0.01)


def test_molecules_of_a_filament_lie_close_together_along_few_curves() -> None:
    thin = filaments(4000, CENTRE, EXTENT, seeded(), curves=3, thickness_um=0)
    distance = torch.cdist(thin, thin).fill_diagonal_(math.inf).amin(1)
    assert distance.median() < 0.02
    lengths = 4000 * 2 * distance.mean().item()
    assert 3 * 7 < lengths < 3 * 40


def test_molecules_of_a_mitochondrion_lie_on_a_membrane_around_a_hollow_tube() -> None:
    xyz = mitochondria(6000, CENTRE, EXTENT, seeded(), tubes=1, radius_um=0.3)
    axis = filaments(6000, CENTRE, tuple(e - 0.6 for e in EXTENT), seeded(), curves=1, thickness_um=0)
    distance = torch.cdist(xyz, axis).amin(1)
    assert distance.median().item() == pytest.approx(0.3, abs=0.01)
    assert distance.max() < 0.302 and (distance < 0.25).float().mean() < 0.05


def test_a_box_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        mitochondria(5, CENTRE, (5, 5, 0.3), seeded())
    with pytest.raises(ValueError, match="extent"):
        nucleus(5, CENTRE, (5, 0, 3), seeded())
