"""Pictures of lists show the rows where they are: data of the axes, their extents, directions and units."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from deepstorm3d import plot
from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.resolution import resolution_of
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import DoubtfulResult, InputError
from deepstorm3d.plot.style import AXIS_COLOURS, BLUE, VERMILION
from deepstorm3d.rendering.sections import Box

CORNER = torch.tensor([[1.0, 2.0, 0.25]])


def rows(xyz: torch.Tensor, frame: torch.Tensor | None = None) -> Localizations:
    frame = torch.zeros(len(xyz), dtype=torch.int64) if frame is None else frame
    return Localizations.proposals(xyz, frame, torch.ones(len(xyz)))


def some(n: int) -> tuple[Emitters, Localizations]:
    g = torch.Generator().manual_seed(n)
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([4.0, 3.0, 2.0])
    frame = torch.zeros(n, dtype=torch.int64)
    return Emitters(xyz, frame, torch.full((n,), 1e4), torch.arange(n)), rows(xyz + 0.02)


def brightest_um(axes) -> tuple[float, float]:
    """Where the brightest pixel of a panel's image is drawn, in the units of the axes."""
    image = np.asarray(axes.images[0].get_array()).max(-1)
    row, column = np.unravel_index(image.argmax(), image.shape)
    left, right, bottom, top = axes.images[0].get_extent()
    height, width = image.shape
    return left + (column + 0.5) * (right - left) / width, top + (row + 0.5) * (bottom - top) / height


def test_a_rendering_shows_a_molecule_at_its_x_y_and_z_in_all_three_views():
    # Most rows at one place, others all over the field.
    crowd = rows(torch.cat([CORNER.expand(50, 3), some(30)[1].xyz]))
    figure = plot.rendering(crowd, pixel_nm=50)
    above, below, beside = figure.axes[:3]
    assert brightest_um(above) == pytest.approx((1.0, 2.0), abs=0.051)
    assert brightest_um(below) == pytest.approx((1.0, 0.25), abs=0.051)
    assert brightest_um(beside) == pytest.approx((0.25, 2.0), abs=0.051)
    assert above.get_ylim()[0] > above.get_ylim()[1], "y points down"
    assert below.get_ylim()[0] > below.get_ylim()[1], "deeper is down"
    assert (above.get_ylabel(), below.get_xlabel(), below.get_ylabel()) == ("y (µm)", "x (µm)", "depth z (µm)")
    assert beside.get_xlabel() == "depth z (µm)"
    assert figure.get_suptitle() == "Super-resolved image: 80 localizations, 50 nm pixels"


def test_hue_means_depth_only_where_it_is_asked_for():
    found = some(200)[1]
    for colour, coloured in (("depth", True), ("none", False)):
        rgb = np.asarray(plot.rendering(found, colour=colour, pixel_nm=50).axes[0].images[0].get_array())
        assert (np.ptp(rgb, axis=-1).max() > 0.1) == coloured


def assert_numbers_apart(figure: Any) -> None:
    """No number along any axis of a figure stands over its neighbour."""
    figure.draw_without_rendering()
    for axes in (axes for above in figure.axes for axes in (above, *above.child_axes)):
        for axis, limits, near, far, gap in (
            (axes.xaxis, axes.get_xlim(), "x0", "x1", 4),
            (axes.yaxis, axes.get_ylim(), "y0", "y1", 0),
        ):
            low, high = sorted(limits)
            shown = [
                tick.label1.get_window_extent()
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_text() and tick.label1.get_visible()
            ]
            shown.sort(key=lambda box, near=near: getattr(box, near))
            assert all(
                getattr(one, far) + gap < getattr(next_, near) for one, next_ in itertools.pairwise(shown)
            )


@pytest.mark.parametrize("depth_um", [0.4, 1.2, 3.7])
@pytest.mark.parametrize("side_um", [2.0, 6.0, 40.0])
def test_the_numbers_of_an_axis_do_not_touch(side_um: float, depth_um: float):
    generator = torch.Generator().manual_seed(2)
    xyz = torch.rand(200, 3, generator=generator) * torch.tensor([side_um, side_um, depth_um])
    assert_numbers_apart(plot.rendering(rows(xyz), pixel_nm=side_um * 10))


@pytest.mark.parametrize("field_um", [(8.0, 0.6), (40.0, 5.0), (3.0, 1.2)])
def test_the_numbers_do_not_touch_in_a_shallow_field(field_um: tuple[float, float]):
    width, height = field_um
    generator = torch.Generator().manual_seed(3)
    found = rows(torch.rand(200, 3, generator=generator) * torch.tensor([width, height, 1.6]) + 2.0)
    pixel_nm = 10 * max(field_um)
    assert_numbers_apart(plot.rendering(found, pixel_nm=pixel_nm))
    assert_numbers_apart(plot.section(found, "z", between_um=(2.5, 3.0), pixel_nm=pixel_nm))


def test_a_rendering_is_light_on_black_ground():
    figure = plot.rendering(some(12)[1])
    assert to_hex(figure.get_facecolor()) == "#000000"
    assert all(to_hex(axes.get_facecolor()) == "#000000" for axes in figure.axes)
    assert all(to_hex(axes.xaxis.label.get_color()) == "#e6e6e6" for axes in figure.axes)


def test_a_rendering_of_a_box_or_with_a_row_far_away_shows_the_rest():
    found = some(100)[1]
    left, right = plot.rendering(found, box=Box(x=(1.0, 2.0)), pixel_nm=50).axes[0].get_xlim()
    assert (left, right) == pytest.approx((1.0, 2.0))
    away = Localizations.concat([found, rows(torch.tensor([[900.0, 0.0, 0.0]]))])
    with pytest.warns(DoubtfulResult, match="1 of 101 localizations lie far beyond"):
        figure = plot.rendering(away)
    assert figure.axes[0].get_xlim()[1] < 5


@pytest.mark.parametrize(
    ("across", "labels", "at"),
    [
        ("z", ("x (µm)", "y (µm)"), (1.0, 2.0)),
        ("y", ("x (µm)", "depth z (µm)"), (1.0, 0.25)),
        ("x", ("y (µm)", "depth z (µm)"), (2.0, 0.25)),
    ],
)
def test_a_section_shows_what_lies_in_it_on_the_other_two_axes(across, labels, at):
    elsewhere = torch.tensor([[3.0, 1.0, 0.9]])
    found = rows(torch.cat([CORNER.expand(9, 3), elsewhere.expand(90, 3)]))
    place = float(CORNER[0, "xyz".index(across)])
    between_um = (place - 0.05, place + 0.05)
    axes = plot.section(found, across, between_um=between_um, pixel_nm=50).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == labels
    assert brightest_um(axes) == pytest.approx(at, abs=0.051)


def test_an_image_and_the_rendering_beside_it_show_the_same_field():
    image = torch.zeros(32, 40)
    image[20, 10] = 1.0
    figure = plot.beside(rows(CORNER.expand(20, 3)), image, pixel_um=0.1, pixel_nm=20)
    camera, rendered = figure.axes[:2]
    drawn = np.asarray(camera.images[0].get_array())
    assert np.array_equal(drawn, image.numpy())
    assert camera.images[0].get_extent() == pytest.approx([-0.05, 3.95, 3.15, -0.05])
    assert brightest_um(rendered) == pytest.approx((1.0, 2.0), abs=0.02)
    assert camera.get_xlim() == rendered.get_xlim() and camera.get_ylim() == rendered.get_ylim()
    with pytest.raises(InputError, match="rows and columns"):
        plot.beside(rows(CORNER), image[None], pixel_um=0.1)


def test_truth_and_localizations_are_drawn_in_3d_from_above_and_from_the_side():
    xyz = torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 1.5]])
    truth = Emitters(xyz, torch.zeros(2, dtype=torch.int64), torch.full((2,), 1e3), torch.arange(2))
    found = rows(torch.cat([xyz[:1] + 0.01, torch.tensor([[0.0, 0.0, 0.0]])]))
    figure = plot.comparison(truth, found)
    space, above, side = figure.axes[:3]
    hit, missed, correct, false = above.collections
    assert hit.get_offsets().tolist() == [[1.0, 2.0]] and missed.get_offsets().tolist() == [[3.0, 1.0]]
    assert np.asarray(correct.get_offsets()) == pytest.approx(np.array([[1.01, 2.01]]))
    assert np.asarray(false.get_offsets()) == pytest.approx(np.array([[0.0, 0.0]]))
    assert side.collections[1].get_offsets().tolist() == [[3.0, 1.5]]
    assert to_hex(hit.get_edgecolor()[0]) == BLUE and to_hex(missed.get_edgecolor()[0]) == VERMILION
    assert above.yaxis_inverted() and side.yaxis_inverted() and space.zaxis_inverted()
    assert (side.get_ylabel(), space.get_zlabel()) == ("depth z (µm)", "depth z (µm)")
    assert "Jaccard 0.333   recall 0.500   precision 0.500" in figure.get_suptitle()


def test_the_frame_that_is_drawn_is_the_one_asked_for_or_the_fullest():
    xyz, frame = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 3, 3, 4])
    truth = Emitters(xyz, frame, torch.full((5,), 1e3), torch.arange(5))
    found = rows(xyz, frame)
    assert "drawn: frame 3 of 3 frames" in plot.comparison(truth, found).get_suptitle()
    figure = plot.comparison(truth, found, match(truth, found), frame=4, title="mine")
    assert figure.get_suptitle().startswith("mine (drawn: frame 4")
    assert len(figure.axes[1].collections[0].get_offsets()) == 1


def test_drift_is_drawn_in_nm_in_the_colour_of_its_axis():
    frames = np.arange(100)
    shift = np.stack([0.001 * frames, -0.002 * frames, 0 * frames], axis=1)
    figure = plot.drift(DriftCurve(frames, shift, np.full((100, 3), 0.005)), title="Drift of mine")
    for axes, (name, colour), slope in zip(figure.axes, AXIS_COLOURS.items(), (1.0, -2.0, 0.0), strict=True):
        curve = axes.lines[1]
        assert np.asarray(curve.get_xdata()) == pytest.approx(frames)
        assert np.asarray(curve.get_ydata()) == pytest.approx(slope * frames)
        assert curve.get_color() == colour
        assert axes.get_ylabel() == f"drift in {name} (nm)"
        band = axes.collections[1].get_paths()[0].vertices[:, 1]
        assert (band.max(), band.min()) == pytest.approx((max(slope * 99, 0) + 5, min(slope * 99, 0) - 5))
    assert figure.axes[1].get_title(loc="left").startswith("y: 198 nm from least to greatest, σ 5.0 nm")


def test_a_resolution_is_read_off_where_its_curve_crosses_the_threshold():
    g = torch.Generator().manual_seed(0)
    sites = torch.rand(40, 3, generator=g).repeat(60, 1) * torch.tensor([1.0, 1.0, 0.05])
    found = rows(sites + 0.01 * torch.randn(2400, 3, generator=g), torch.arange(60).repeat_interleave(40))
    report = resolution_of(found)
    figure = plot.resolution(report)
    above, *fits = figure.axes
    plane = report.correlations["x–y"]
    assert plane.resolution_um is not None and report.precision is not None
    (crossing,) = (line for line in above.lines if line.get_marker() == "o")
    assert crossing.get_xdata()[0] == pytest.approx(1 / plane.resolution_um)
    assert crossing.get_ydata()[0] == pytest.approx(1 / 7)
    assert above.get_legend().get_texts()[0].get_text().startswith(f"x–y: {1000 * plane.resolution_um:.1f}")
    for axes, name, fit in zip(fits, "xyz", report.precision, strict=True):
        assert axes.get_xlabel() == f"difference in {name} (nm)"
        assert [bar.get_height() for bar in axes.patches] == fit.counts.tolist()


def test_tracks_are_lines_through_their_rows_from_above_and_from_the_side():
    xyz = torch.tensor([[0.0, 1.0, 0.1], [0.2, 1.5, 0.2], [0.4, 1.7, 0.4], [5.0, 5.0, 0.5]])
    found = dataclasses.replace(rows(xyz, torch.tensor([0, 1, 2, 0])), track=torch.tensor([0, 0, 0, 1]))
    figure = plot.tracks(found, interval_s=0.5)
    above, moved, side, lengths = figure.axes[:4]
    steps = above.collections[0]
    assert np.stack(steps.get_segments()) == pytest.approx(
        np.array([[[0.0, 1.0], [0.2, 1.5]], [[0.2, 1.5], [0.4, 1.7]]])
    )
    assert np.asarray(steps.get_array()) == pytest.approx([0.5, 1.0])
    assert np.stack(side.collections[0].get_segments())[:, 1] == pytest.approx(
        np.array([[0.2, 0.2], [0.4, 0.4]])
    )
    assert above.yaxis_inverted() and side.yaxis_inverted()
    assert (above.get_ylabel(), side.get_ylabel(), moved.get_xlabel()) == ("y (µm)", "depth z (µm)", "time (s)")
    counts = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in lengths.patches}
    assert counts == {1: 1, 2: 0, 3: 1}
    with pytest.raises(InputError, match="no column track"):
        plot.tracks(rows(xyz))


def measured(n: int = 2000) -> Localizations:
    g = torch.Generator().manual_seed(2)
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([10.0, 10.0, 2.0])
    found = rows(xyz, torch.arange(n) // 20)
    sigma = torch.stack([torch.full((n,), 0.005), 0.006 + 0.001 * xyz[:, 2], 0.01 + 0.01 * xyz[:, 2]], 1)
    return dataclasses.replace(found, photons=1e3 + 4e3 * xyz[:, 0] / 10, sigma_xyz=sigma, sigma_source="fit")


def test_the_quality_of_a_list_is_drawn_as_it_was_counted():
    found = measured()
    figure = plot.quality(found)
    photons, background, sigma, _, _, _, depth, sigma_over_depth, time = figure.axes
    assert photons.get_xlabel() == "photons of a localization"
    counts, edges, _ = photons.patches[0].get_data()
    assert counts.sum() == pytest.approx(0.99 * 2000, abs=2) and edges[[0, -1]] == pytest.approx(
        (1e3, 5e3), rel=0.05
    )
    middle = float(found.photons.median())
    assert photons.lines[0].get_xdata() == pytest.approx([middle, middle], rel=2e-3)
    assert [text.get_text() for text in background.texts] == ["not in this list"]
    # One σ for all is a line where it is, and does not squeeze the others.
    assert sigma.lines[0].get_xdata() == pytest.approx([5.0, 5.0], abs=1e-3)
    assert len(sigma.patches) == 2 and sigma.get_ylim()[1] < 2000
    assert depth.get_xlabel() == "z (nm)" and depth.get_xlim()[1] == pytest.approx(2000, rel=0.03)
    at, middle = sigma_over_depth.lines[2].get_data()
    assert np.asarray(middle) == pytest.approx(10 + 0.01 * np.asarray(at), rel=0.02)
    assert np.asarray(time.lines[0].get_ydata()) == pytest.approx(20.0)
    assert figure.get_suptitle() == "2,000 localizations in 100 frames"


@pytest.mark.usefixtures("coarse_pictures")
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.filterwarnings("ignore:no row of the list lies in the section")
def test_lists_with_hardly_a_row_make_pictures_too(n):
    truth, found = some(n)
    tracked = dataclasses.replace(found, track=torch.zeros(n, dtype=torch.int64))
    pictures = [
        plot.rendering(found),
        plot.section(found, between_um=(0.05, 0.15)),
        plot.beside(found, torch.zeros(20, 30), pixel_um=0.1),
        plot.comparison(truth, found),
        plot.overlay(torch.rand(20, 30), found, pixel_um=0.1, truth=truth),
        plot.quality(found),
        plot.tracks(tracked),
    ]
    assert all(figure._repr_png_().startswith(b"\x89PNG") for figure in pictures)  # type: ignore[attr-defined]
