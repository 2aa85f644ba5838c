"""Rendering: counts kept, the right pixel, the right colour."""

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.extent import frame_extent
from deepstorm3d.rendering.colour import depth_colours
from deepstorm3d.rendering.gaussians import Gaussians
from deepstorm3d.rendering.histograms import ShiftedHistogram
from deepstorm3d.rendering.sections import Box
from deepstorm3d.rendering.view import Look
from deepstorm3d.rendering.views import render_depth, render_section, render_stack

PLAIN = ShiftedHistogram(1)


def at(xyz) -> Localizations:
    xyz = torch.as_tensor(xyz, dtype=torch.float32).reshape(-1, 3)
    return Localizations.proposals(xyz, torch.zeros(len(xyz), dtype=torch.int64), torch.ones(len(xyz)))


def cloud() -> torch.Tensor:
    """2,000 positions in 3 × 2 × 1 µm."""
    g = torch.Generator().manual_seed(1)
    return torch.rand(2000, 3, generator=g) * torch.tensor([3.0, 2.0, 1.0])


def test_every_view_keeps_the_counts():
    drawn = render_depth(at(cloud()), pixel_nm=20, z_range_um=(0.0, 1.0))
    assert drawn.localizations == 2000
    for view in (drawn.xy, drawn.xz, drawn.yz):
        assert float(view.density.sum(dtype=float)) == pytest.approx(2000, rel=1e-5)


def test_a_point_at_a_camera_pixel_centre_lands_in_the_middle_of_that_pixel():
    # First-pixel-centre convention: camera pixel (row 3, column 7) is centred at x = 7 p, y = 3 p;
    # with 11 rendered pixels to a camera pixel it covers columns 77 … 87, its middle is column 82.
    p = 0.11
    drawn = render_depth(
        at([[7 * p, 3 * p, 1.0]]), pixel_nm=10, method=PLAIN, field_um=frame_extent((10, 12), p)
    )
    assert drawn.xy.density.shape == (110, 132)
    assert np.argwhere(drawn.xy.density).tolist() == [[3 * 11 + 5, 7 * 11 + 5]]


def test_without_a_field_the_origin_is_the_centre_of_a_rendered_pixel():
    drawn = render_depth(at([[0, 0, 1], [0.094, -0.026, 1]]), pixel_nm=10, method=PLAIN)
    assert drawn.xy.edges_um == pytest.approx((-0.005, -0.035, 0.095, 0.005))
    assert np.argwhere(drawn.xy.density).tolist() == [[0, 9], [3, 0]]


def test_side_views_put_z_down_and_to_the_right():
    drawn = render_depth(
        at([[0.25, 0.75, 0.1]]), pixel_nm=100, method=PLAIN, field_um=(0, 0, 1, 1), z_range_um=(0.0, 0.5)
    )
    assert drawn.xz.density.shape == (5, 10) and np.argwhere(drawn.xz.density).tolist() == [[1, 2]]
    assert drawn.yz.density.shape == (10, 5) and np.argwhere(drawn.yz.density).tolist() == [[7, 1]]


def test_hue_is_depth_and_brightness_is_density():
    shallow, deep = [[0.05, 0.05, 0.0]], [[0.25, 0.05, 0.999]] * 8
    drawn = render_depth(
        at(shallow + deep),
        pixel_nm=100,
        method=PLAIN,
        field_um=(0, 0, 0.4, 0.1),
        z_range_um=(0.0, 1.0),
        look=Look(percentile=100, gamma=1.0),
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
    with pytest.raises(InputError, match="must grow"):
        Box(x=(2.0, 1.0))
    with pytest.raises(InputError, match="outside of z = 0 to 1"):
        Box(z=(0.0, 1.0)).section("z", (2.95, 3.05))
    with pytest.raises(InputError, match="planes; make them thicker"):
        render_stack(at([[0, 0, 0], [0, 0, 1e3]]), plane_nm=1)
    with pytest.raises(InputError, match=r"`histogram`.*`blur_um`"):
        render_depth(at([[0, 0, 1]]), method=Gaussians())


def test_without_colour_brightness_alone_is_left():
    drawn = render_depth(at(cloud()), look=Look("none"))
    assert (drawn.xy.rgb == drawn.xy.rgb[..., :1]).all()
    assert drawn.xy.rgb.max() == 1.0


def test_only_what_lies_in_the_box_is_drawn_and_the_picture_is_the_box():
    xyz = cloud()
    drawn = render_depth(at(xyz), pixel_nm=50, method=PLAIN, box=Box(x=(1.0, 2.0), z=(0.2, 0.6)))
    inside = (xyz[:, 0] >= 1) & (xyz[:, 0] < 2) & (xyz[:, 2] >= 0.2) & (xyz[:, 2] < 0.6)
    assert drawn.localizations == int(inside.sum())
    assert (drawn.xy.edges_um[0], drawn.xy.edges_um[2]) == (1.0, 2.0)
    assert drawn.z_range_um == (0.2, 0.6)


@pytest.mark.parametrize(("axis", "column"), [("x", 0), ("y", 1), ("z", 2)])
def test_a_section_holds_what_lies_within_half_its_thickness(axis, column):
    xyz = cloud()
    box = Box().section(axis, (0.4, 0.6))
    drawn = render_section(at(xyz), axis, pixel_nm=50, method=PLAIN, box=box)
    inside = (xyz[:, column] >= 0.4) & (xyz[:, column] < 0.6)
    assert drawn.localizations == int(inside.sum()) > 100
    assert drawn.view.density.sum() == drawn.localizations


def test_sections_put_depth_down():
    low, high = [0.2, 0.3, 0.1], [0.8, 0.7, 0.9]
    for axis, rows, columns in (("x", 2, 1), ("y", 2, 0), ("z", 1, 0)):
        drawn = render_section(at([low, high]), axis, pixel_nm=100, method=PLAIN)
        (top, left), (bottom, right) = np.argwhere(drawn.view.density)
        assert bottom - top == round(10 * (high[rows] - low[rows]))
        assert right - left == round(10 * (high[columns] - low[columns]))


@pytest.mark.parametrize("method", [PLAIN, Gaussians(blur_um=0.03)])
def test_the_planes_of_a_stack_together_are_the_view_from_above(method):
    locs = at(cloud())
    stack = render_stack(locs, method=method, pixel_nm=20, plane_nm=50)
    planes = np.stack(list(stack.planes()))
    assert planes.shape == stack.shape
    above = render_depth(locs, method=method, pixel_nm=20).xy.density
    assert np.abs(planes.sum(axis=0) - above).max() < 2e-3 * above.max()


def test_a_localization_is_spread_over_planes_by_its_sigma_in_depth():
    z, blur = 1.013, 0.04
    stack = render_stack(at([[0, 0, z]]), method=Gaussians(blur_um=blur), pixel_nm=20, plane_nm=50)
    found = [plane.sum() for plane in stack.planes()]
    below = torch.special.ndtr(torch.from_numpy((stack.z_um - z) / blur)).numpy()
    assert np.allclose(found, np.diff(below), atol=1e-4)


def test_a_gaussian_picture_has_room_for_its_outermost_points():
    locs = at([[0, 0, 1], [1, 1, 2]])
    assert render_depth(locs, method=Gaussians(blur_um=0.05)).xy.density.sum() == pytest.approx(2, rel=1e-3)
