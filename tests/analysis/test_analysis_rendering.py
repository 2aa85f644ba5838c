"""Rendering: counts kept, the right pixel, the right colour."""

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.colour import depth_colours
from deepstorm3d.analysis.matching import field_edges
from deepstorm3d.analysis.rendering import average_shifted_histogram, render_depth
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError


def at(xyz) -> Localizations:
    xyz = torch.as_tensor(xyz, dtype=torch.float32).reshape(-1, 3)
    return Localizations.proposals(xyz, torch.zeros(len(xyz), dtype=torch.int64), torch.ones(len(xyz)))


@pytest.mark.parametrize("shifts", [1, 2, 3, 5])
def test_the_sum_of_the_image_is_the_number_of_points_inside(shifts):
    g = torch.Generator().manual_seed(0)
    y, x = torch.rand(2, 5000, generator=g) * 3 - 0.5
    edges = (0.0, 0.0, 2.0, 1.5)
    image = average_shifted_histogram(y, x, edges_um=edges, pixel_um=0.05, shifts=shifts)
    inside = ((x >= 0) & (x < 2) & (y >= 0) & (y < 1.5)).sum()
    assert image.shape == (30, 40)
    assert float(image.sum()) == pytest.approx(int(inside), rel=1e-9)


def test_every_view_keeps_the_counts():
    g = torch.Generator().manual_seed(1)
    locs = at(torch.rand(2000, 3, generator=g) * torch.tensor([3.0, 2.0, 1.0]))
    drawn = render_depth(locs, pixel_nm=20, z_range_um=(0.0, 1.0))
    assert drawn.localizations == 2000
    for view in (drawn.xy, drawn.xz, drawn.yz):
        assert float(view.density.sum(dtype=float)) == pytest.approx(2000, rel=1e-5)


def test_it_is_the_mean_of_shifted_histograms():
    x = torch.rand(300, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 0.6 + 0.2
    m, pixel = 4, 0.01
    image = average_shifted_histogram(
        torch.full_like(x, 0.005), x, edges_um=(0.0, 0.0, 1.0, 0.01), pixel_um=pixel, shifts=m
    )
    expected = np.zeros(100)
    for shift in range(m):
        edges = (np.arange(-m, 100 + m, m) + shift) * pixel
        counts = np.histogram(x.numpy(), edges)[0] / m
        expected += np.repeat(counts, m)[m - shift :][:100] / m
    assert np.allclose(image[0].numpy(), expected)


def test_a_point_at_a_camera_pixel_centre_lands_in_the_middle_of_that_pixel():
    # First-pixel-centre convention: camera pixel (row 3, column 7) is centred at x = 7 p, y = 3 p;
    # with 11 rendered pixels to a camera pixel it covers columns 77 … 87, its middle is column 82.
    p = 0.11
    drawn = render_depth(at([[7 * p, 3 * p, 1.0]]), pixel_nm=10, shifts=1, field_um=field_edges((10, 12), p))
    assert drawn.xy.density.shape == (110, 132)
    assert np.argwhere(drawn.xy.density).tolist() == [[3 * 11 + 5, 7 * 11 + 5]]


def test_without_a_field_the_origin_is_the_centre_of_a_rendered_pixel():
    drawn = render_depth(at([[0, 0, 1], [0.094, -0.026, 1]]), pixel_nm=10, shifts=1)
    assert drawn.xy.edges_um == pytest.approx((-0.005, -0.035, 0.095, 0.005))
    assert np.argwhere(drawn.xy.density).tolist() == [[0, 9], [3, 0]]


def test_side_views_put_z_down_and_to_the_right():
    drawn = render_depth(
        at([[0.25, 0.75, 0.1]]), pixel_nm=100, shifts=1, field_um=(0, 0, 1, 1), z_range_um=(0.0, 0.5)
    )
    assert drawn.xz.density.shape == (5, 10) and np.argwhere(drawn.xz.density).tolist() == [[1, 2]]
    assert drawn.yz.density.shape == (10, 5) and np.argwhere(drawn.yz.density).tolist() == [[7, 1]]


def test_hue_is_depth_and_brightness_is_density():
    shallow, deep = [[0.05, 0.05, 0.0]], [[0.25, 0.05, 0.999]] * 8
    drawn = render_depth(
        at(shallow + deep),
        pixel_nm=100,
        shifts=1,
        field_um=(0, 0, 0.4, 0.1),
        z_range_um=(0.0, 1.0),
        percentile=100,
        gamma=1.0,
    )
    first, last = depth_colours()[[0, -1]]
    assert np.allclose(drawn.xy.rgb[0, 2], last, atol=1e-6)
    assert np.allclose(drawn.xy.rgb[0, 0], first / 8, atol=1e-6)
    assert not drawn.xy.rgb[0, 1].any()


def test_depth_colours_are_equally_light():
    linear = np.where(
        depth_colours() <= 0.04045, depth_colours() / 12.92, ((depth_colours() + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance) - 16
    assert np.ptp(lightness) < 8


def test_no_localizations_give_a_black_image():
    for field in (None, (0.0, 0.0, 1.0, 2.0)):
        drawn = render_depth(Localizations.empty(), field_um=field)
        assert drawn.localizations == 0 and not drawn.xy.rgb.any() and drawn.xy.density.size > 0
    # A single depth, too, is a range that can be drawn.
    assert render_depth(at([[1, 1, 2]])).xz.density.sum() == pytest.approx(1)


def test_mistakes_are_explained():
    with pytest.raises(InputError, match="larger rendered pixel"):
        render_depth(at([[0, 0, 1], [1e5, 1e5, 1]]))
    with pytest.raises(InputError, match="above 0 nm"):
        render_depth(at([[0, 0, 1]]), pixel_nm=0)
    with pytest.raises(InputError, match="must grow"):
        render_depth(at([[0, 0, 1]]), z_range_um=(2.0, 1.0))
