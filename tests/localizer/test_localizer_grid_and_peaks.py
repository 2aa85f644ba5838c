"""Voxels and micrometres, Gaussian targets, maxima and their sub-voxel positions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from deepstorm3d.emitters import Emitters
from deepstorm3d.localizer import peaks
from deepstorm3d.localizer.coarse import gaussian_heat
from deepstorm3d.localizer.grid import VoxelGrid
from deepstorm3d.localizer.peaks import centre_of_gravity, find_peaks, gaussian_vertex
from deepstorm3d.maxima import highest_around

GRID = VoxelGrid(pixel_um=0.1, z_um=(0.0, 0.8), planes=8)


def emitters(voxels: list[tuple[float, float, float]], grid: VoxelGrid = GRID) -> Emitters:
    """Emitters of frame 0 at voxel coordinates (column, row, plane)."""
    xyz = grid.to_um(torch.tensor(voxels, dtype=torch.float32))
    n = len(xyz)
    return Emitters(
        xyz=xyz, frame=torch.zeros(n, dtype=torch.int64), photons=torch.full((n,), 1e3), id=torch.arange(n)
    )


@pytest.mark.parametrize("upsampling", [1, 2, 4])
def test_voxels_and_micrometres_round_trip(upsampling: int) -> None:
    grid = VoxelGrid(pixel_um=0.11, z_um=(-0.5, 3.5), planes=40, upsampling=upsampling)
    xyz = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * 5 - 0.5
    assert torch.allclose(grid.to_um(grid.to_voxels(xyz)), xyz, atol=1e-5)


def test_a_voxel_of_one_pixel_has_its_centre_at_the_pixels_centre() -> None:
    grid = VoxelGrid(pixel_um=0.11, z_um=(0.0, 4.0), planes=4)
    assert torch.allclose(grid.to_um(torch.tensor([[3.0, 5.0, 1.0]])), torch.tensor([[0.33, 0.55, 1.5]]))


def test_the_four_voxels_of_a_split_pixel_lie_evenly_about_its_centre() -> None:
    grid = VoxelGrid(pixel_um=0.12, z_um=(0.0, 4.0), planes=4, upsampling=4)
    columns = torch.arange(8.0, 12.0)  # of camera pixel 2
    x = grid.to_um(torch.stack([columns, columns, torch.zeros(4)], 1))[:, 0]
    assert torch.allclose(x, 0.24 + torch.tensor([-0.045, -0.015, 0.015, 0.045]), atol=1e-6)


def test_the_planes_fill_the_depth_range_from_face_to_face() -> None:
    z = GRID.to_um(torch.tensor([[0.0, 0.0, -0.5], [0.0, 0.0, 7.5]]))[:, 2]
    assert torch.allclose(z, torch.tensor([0.0, 0.8]), atol=1e-6)


def test_a_heat_map_is_one_at_an_emitter_on_a_voxel_and_falls_as_a_gaussian() -> None:
    heat = gaussian_heat(GRID, emitters([(10, 7, 3)]), torch.Size((1, 8, 16, 20)), spread=1.3)
    assert heat[0, 3, 7, 10].item() == pytest.approx(1.0, abs=1e-5)
    assert heat[0, 4, 7, 12].item() == pytest.approx(math.exp(-0.5 * 5 / 1.3**2), rel=1e-3)
    assert heat.argmax() == (3 * 16 + 7) * 20 + 10


def test_a_heat_map_keeps_the_place_between_voxels() -> None:
    heat = gaussian_heat(GRID, emitters([(10.3, 7, 3)]), torch.Size((1, 8, 16, 20)), spread=1.0)
    assert heat[0, 3, 7, 10].item() == pytest.approx(math.exp(-0.5 * 0.09), rel=1e-3)
    assert heat[0, 3, 7, 11].item() == pytest.approx(math.exp(-0.5 * 0.49), rel=1e-3)


def test_where_emitters_overlap_the_greater_value_stands() -> None:
    shape = torch.Size((1, 8, 16, 20))
    pair = [(10.0, 7.0, 3.0), (11.4, 7.6, 3.2)]
    alone = [gaussian_heat(GRID, emitters([place]), shape, 1.0) for place in pair]
    both = gaussian_heat(GRID, emitters(pair), shape, 1.0)
    assert torch.allclose(both, torch.maximum(*alone))


def test_emitters_at_and_beyond_the_border_leave_the_tail_that_reaches_in() -> None:
    heat = gaussian_heat(GRID, emitters([(0, 0, 0), (21, 8, 4)]), torch.Size((1, 8, 16, 20)), spread=1.0)
    assert heat[0, 0, 0, 0].item() == pytest.approx(1.0, abs=1e-5)
    assert heat[0, 4, 8, 19].item() == pytest.approx(math.exp(-2), rel=1e-3)
    assert heat[0, :, :, :10].count_nonzero() == heat[0, :4, :4, :4].count_nonzero()


def crowded_heat() -> torch.Tensor:
    return torch.rand(2, 6, 9, 11, generator=torch.Generator().manual_seed(1))


def sparse_heat() -> torch.Tensor:
    """A few bright voxels: a group in the corner, three in a row of which two are equal, and one alone."""
    heat = torch.full((2, 10, 30, 40), 0.1)
    heat[0, :2, :2, :1] = torch.tensor([[[0.8], [0.75]], [[0.9], [0.85]]])
    heat[1, 4, 6, 7:10] = torch.tensor([0.9, 0.9, 0.8])
    heat[1, 9, 29, 39] = 0.71
    return heat


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("make", [crowded_heat, sparse_heat])
def test_peaks_are_what_a_search_of_every_cube_finds(
    radius: int, make: Callable[[], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    heat, filtered = make(), []
    monkeypatch.setattr(peaks, "highest_around", lambda *given: filtered.append(1) or highest_around(*given))
    expected = []
    for b, d, i, j in (heat > 0.7).nonzero().tolist():
        low = [max(0, place - radius) for place in (d, i, j)]
        cube = heat[b, low[0] : d + radius + 1, low[1] : i + radius + 1, low[2] : j + radius + 1]
        if heat[b, d, i, j] == cube.max():
            expected.append([b, d, i, j])
    assert expected
    assert find_peaks(heat, 0.7, radius).tolist() == expected
    assert bool(filtered) == (make is crowded_heat)  # all voxels are compared only where many are bright


def test_a_volume_below_the_threshold_has_no_peaks() -> None:
    found = find_peaks(torch.full((1, 4, 5, 6), 0.2), 0.5)
    assert found.shape == (0, 4)
    assert gaussian_vertex(torch.zeros(1, 4, 5, 6), found).shape == (0, 3)
    assert centre_of_gravity(torch.zeros(1, 4, 5, 6), found, 2).shape == (0, 3)


def test_the_vertex_of_a_gaussian_is_exact() -> None:
    places = [(6.31, 5.2, 3.45), (14.5, 11.77, 4.0)]
    heat = gaussian_heat(GRID, emitters(places), torch.Size((1, 8, 18, 22)), spread=1.1)
    found = gaussian_vertex(heat, find_peaks(heat, 0.5))
    # The emitter halfway between two voxels ties: both voxels point to the same place.
    distance = torch.cdist(found, torch.tensor(places)).min(1).values
    assert torch.cdist(torch.tensor(places), found).min(1).values.max() < 1e-3
    assert distance.max() < 1e-3


def test_the_centre_of_gravity_of_two_voxels_lies_between_them_by_their_weights() -> None:
    heat = torch.zeros(1, 7, 9, 9)
    heat[0, 3, 4, 5], heat[0, 4, 4, 5], heat[0, 3, 4, 6] = 1.0, 0.5, 0.5
    centre = centre_of_gravity(heat, find_peaks(heat, 0.6))
    assert torch.allclose(centre, torch.tensor([[5.25, 4.0, 3.25]]))


def test_the_centre_of_gravity_counts_nothing_beyond_the_volume() -> None:
    heat = torch.zeros(1, 4, 5, 5)
    heat[0, 0, 0, 4] = 1.0
    assert torch.equal(centre_of_gravity(heat, find_peaks(heat, 0.5), 2), torch.tensor([[4.0, 0.0, 0.0]]))
