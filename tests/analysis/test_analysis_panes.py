"""What a screen shows: the same picture as the renderer draws of the whole list, from a part of its rows."""

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.rendering.canvas import Canvas
from deepstorm3d.rendering.gaussians import Gaussians
from deepstorm3d.rendering.histograms import ShiftedHistogram
from deepstorm3d.rendering.packed import POINT, SIGMA_STEP_UM, Packing, shuffled
from deepstorm3d.rendering.panes import Pane, render_pane
from deepstorm3d.rendering.sections import Box, cloud_of
from deepstorm3d.rendering.tiles import Tiles
from deepstorm3d.rendering.view import Look, shades_of, view_of

PLAIN = ShiftedHistogram(1)


def scattered(rows: int = 20_000, seed: int = 1) -> Localizations:
    """Rows over 6 × 4 × 2 µm with σ of 5 to 30 nm."""
    g = torch.Generator().manual_seed(seed)
    xyz = torch.rand(rows, 3, generator=g) * torch.tensor([6.0, 4.0, 2.0])
    sigma = 0.005 + 0.025 * torch.rand(rows, 3, generator=g)
    table = Localizations.proposals(xyz, torch.arange(rows) // 10, torch.ones(rows))
    return Localizations(**{**table.columns(), "sigma_xyz": sigma}, sigma_source="fit")


@pytest.mark.parametrize(
    "box",
    [
        Box(),
        Box((1.0, 1.2), (3.0, 3.1)),
        Box(y=(3.9, 9.0)),
        Box((-5.0, -1.0)),
        Box((2.0, 3.0), z=(0.5, 0.6)),
        Box((5.999, 70.0), (-3.0, 0.2)),
    ],
)
def test_tiles_find_the_rows_of_a_box(box: Box):
    table = scattered()
    tiles = Tiles.of(table)
    assert tiles.shape[0] > 5 and tiles.shape[1] > 5
    found = tiles.rows[tiles.inside(box)]
    assert sorted(found) == np.flatnonzero(box.inside(table.xyz.numpy())).tolist()


def test_every_third_point_of_a_box_is_the_same_as_of_all():
    tiles, box = Tiles.of(scattered()), Box((1.0, 5.0), (0.5, 3.0))
    every = tiles.inside(box)
    assert np.array_equal(tiles.inside(box, step=3), every[every % 3 == 0])


def test_a_small_box_looks_at_few_rows():
    tiles = Tiles.of(scattered(100_000))
    assert 0 < tiles.count_near(Box((3.0, 3.1), (2.0, 2.1))) < 2000


def test_rows_without_a_position_and_far_outliers_do_not_spoil_the_tiles():
    table = scattered(1000)
    table.xyz[3, 1], table.xyz[7] = torch.nan, torch.tensor([4000.0, 0.0, 0.0])
    tiles = Tiles.of(table)
    assert len(tiles) == 999 and 3 not in tiles.rows
    assert max(high for _, high in tiles.limits) < 6.1 and tiles.side < 2
    assert tiles.rows[tiles.inside(Box((3000.0, 5000.0)))].tolist() == [7]


@pytest.mark.parametrize("rows", [0, 1])
def test_an_empty_list_has_tiles_and_a_black_picture(rows: int):
    tiles = Tiles.of(scattered(rows))
    drawn = render_pane(tiles, Pane(Canvas(7.0, 7.0, 0.01, (20, 30))), method=Gaussians(), look=Look())
    assert (drawn.inside, drawn.step) == (0, 1) and drawn.view.rgb.shape == (20, 30, 3)
    assert not drawn.view.rgb.any()


@pytest.mark.parametrize("axes", [("y", "x"), ("z", "x"), ("y", "z")])
@pytest.mark.parametrize("method", [PLAIN, Gaussians()], ids=["histogram", "gaussian"])
def test_a_window_shows_what_the_whole_picture_shows_there(axes, method):
    table, box = scattered(), Box(z=(0.2, 1.7))
    whole = Canvas(0.0, 0.0, 0.02, (200 if axes[0] == "y" else 100, 300 if axes[1] == "x" else 100))
    cloud = cloud_of(table, method, box)
    expected = view_of(cloud, shades_of(cloud, (0.0, 2.0), Look()), axes, whole, method, Look())
    window = Canvas(40 * 0.02, 30 * 0.02, 0.02, (25, 35))
    drawn = render_pane(
        Tiles.of(table), Pane(window, axes, box, (0.0, 2.0)), method=method, look=Look(percentile=100)
    )
    part = expected.density[30:55, 40:75]
    assert part.max() > 0
    assert np.allclose(drawn.view.density, part, atol=2e-4 * part.max())


def test_gaussians_reach_into_the_window_from_outside():
    table = scattered(1)
    table.xyz[0], table.sigma_xyz[:] = torch.tensor([0.99, 0.5, 1.0]), 0.02
    pane = Pane(Canvas(1.0, 0.4, 0.002, (100, 100)), z_range_um=(0.0, 2.0))
    drawn = render_pane(Tiles.of(table), pane, method=Gaussians(), look=Look())
    # Φ(−0.5) = 0.309 of the Gaussian lies beyond the edge, which is half a σ away.
    assert float(drawn.view.density.sum()) == pytest.approx(0.3085, abs=2e-3)
    assert drawn.inside == 0


def test_only_rows_that_are_kept_are_drawn():
    table = scattered()
    tiles, pane = Tiles.of(table), Pane(Canvas(0.0, 0.0, 0.05, (80, 120)))
    bright = (torch.arange(len(table)) % 4 == 0).numpy()
    drawn = render_pane(tiles, pane, method=PLAIN, look=Look(), keep=bright[tiles.rows])
    assert (drawn.inside, drawn.step) == (5000, 1)
    alone = render_pane(Tiles.of(table[bright]), pane, method=PLAIN, look=Look())
    assert np.array_equal(drawn.view.density, alone.view.density)


def test_a_first_look_draws_fewer_rows_at_the_same_brightness():
    tiles, pane = Tiles.of(scattered(50_000)), Pane(Canvas(0.0, 0.0, 0.5, (8, 12)))
    first = render_pane(tiles, pane, method=PLAIN, look=Look(), most=5000)
    every = render_pane(tiles, pane, method=PLAIN, look=Look())
    assert (first.step, every.step, every.inside) == (11, 1, 50_000)
    assert first.inside == pytest.approx(50_000, rel=1e-3)
    assert float(first.view.density.sum()) == first.inside
    # About 47 rows a pixel are drawn: a seventh of the density is chance.
    assert np.abs(first.view.density / every.view.density - 1).mean() < 0.2


def test_a_pane_needs_two_axes_and_growing_depths():
    canvas = Canvas(0.0, 0.0, 0.1, (10, 10))
    with pytest.raises(InputError, match="two different axes"):
        Pane(canvas, ("x", "x"))
    with pytest.raises(InputError, match="depth range must grow"):
        Pane(canvas, z_range_um=(1.0, 1.0))


def test_packed_points_keep_their_place_colour_and_width():
    table = scattered(500)
    table.sigma_xyz[7] = 0.0
    tiles = Tiles.of(table)
    packing = Packing((0.0, 0.0, 0.0), (6.0, 4.0, 2.0), (0.0, 2.0))
    points = np.arange(500)
    packed = packing.pack(tiles, points, tiles.xyz[:, 2])
    assert POINT.itemsize == 8 and packed.nbytes == 4000
    error = np.abs(packing.unpack(packed) - tiles.xyz).max(axis=0)
    assert (1000 * error <= np.array(packing.step_nm) / 2 + 1e-3).all()
    assert (np.abs(packed["shade"] - 128 * tiles.xyz[:, 2]) <= 1).all()
    rms = np.sqrt((tiles.sigma**2).mean(axis=1))
    assert (np.abs(packed["width"] * SIGMA_STEP_UM - rms) <= SIGMA_STEP_UM / 2 + 1e-9).all()
    assert packed["width"][tiles.rows == 7] == 0


def test_a_value_that_is_not_known_has_the_first_colour():
    tiles = Tiles.of(scattered(2))
    packing = Packing((0.0, 0.0, 0.0), (6.0, 4.0, 2.0), (0.0, 2.0))
    assert packing.pack(tiles, np.arange(2), np.array([np.nan, 9.0]))["shade"].tolist() == [0, 255]


def test_a_box_that_does_not_grow_is_refused():
    with pytest.raises(InputError, match="box must grow"):
        Packing((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 1.0))
    with pytest.raises(InputError, match="colours must grow"):
        Packing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0))


def test_the_first_points_of_a_shuffled_list_are_a_fair_sample():
    order = shuffled(100_000)
    assert np.array_equal(np.sort(order), np.arange(100_000))
    # Of 10,000 out of 100,000 the mean scatters by 274 rows.
    assert abs(order[:10_000].mean() - 50_000) < 1500
    assert len(shuffled(0)) == 0
