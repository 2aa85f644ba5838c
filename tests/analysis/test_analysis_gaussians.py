"""Gaussians against direct summation: every width, every place, the sum kept."""

import sys

import numpy as np
import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.rendering.canvas import Canvas, Points
from deepstorm3d.rendering.gaussians import Gaussians

ANY_WIDTH = Gaussians(ceiling_um=1e6)


def points(rows, columns, sigma_rows, sigma_columns, values=None) -> Points:
    rows, columns = (np.atleast_1d(np.asarray(each, float)) for each in (rows, columns))
    sigmas = (np.atleast_1d(np.asarray(each, np.float32)) for each in (sigma_rows, sigma_columns))
    return Points(rows, columns, *sigmas, np.ones((len(rows), 1), np.float32) if values is None else values)


def summed(canvas: Canvas, drawn: Points) -> np.ndarray:
    """The integral of every Gaussian over every pixel, one after the other."""
    image = np.zeros(canvas.shape)
    down, right = (np.arange(size + 1) * canvas.pixel_um for size in canvas.shape)
    for y, x, sigma_y, sigma_x, value in zip(
        drawn.rows, drawn.columns, drawn.sigma_rows, drawn.sigma_columns, drawn.values[:, 0], strict=True
    ):
        profiles = (
            np.diff(torch.special.ndtr(torch.from_numpy((edges - at) / float(sigma))).numpy())
            for edges, at, sigma in (
                (canvas.top + down, y, sigma_y),
                (canvas.left + right, x, sigma_x),
            )
        )
        image += value * np.outer(*profiles)
    return image


@pytest.mark.parametrize(
    ("sigma", "tolerance"),
    [(0.5, 1e-5), (0.7, 1e-5), (1.76, 1e-5), *((each, 0.01) for each in (2.99, 3.01, 5.0, 6.1, 8.01, 12.1))],
)
def test_one_gaussian_is_the_integral_over_every_pixel(sigma, tolerance):
    canvas = Canvas(0.0, 0.0, 1.0, (141, 160))
    g = np.random.default_rng(0)
    for ratio in (1.0, 1.7, 0.6):
        y, x = g.uniform(65, 76, 2)
        one = points(y, x, sigma, max(0.5, sigma * ratio))
        expected = summed(canvas, one)
        assert np.abs(ANY_WIDTH.draw(canvas, [one], 1)[0] - expected).max() < tolerance * expected.max()


@pytest.mark.parametrize(("widest", "tolerance"), [(0.03, 1e-5), (0.2, 0.01)])
def test_many_of_different_widths_are_their_sum(widest, tolerance):
    g = np.random.default_rng(1)
    canvas = Canvas(-1.0, 2.0, 0.01, (150, 230))
    at = g.random((2, 3000)) * [[1.5], [2.3]] + [[2.0], [-1.0]]
    widths = (0.012 * np.exp(0.8 * g.standard_normal((2, 3000)))).clip(0.005, widest)
    many = points(*at, *widths, g.random((3000, 1)).astype(np.float32))
    expected = summed(canvas, many)
    assert np.abs(ANY_WIDTH.draw(canvas, [many], 1)[0] - expected).max() < tolerance * expected.max()


def test_the_image_is_the_same_for_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
):
    g = np.random.default_rng(5)
    canvas = Canvas(0.0, 0.0, 0.01, (333, 258))
    # Nearly all in a few rows, where threads have the fewest rows each.
    at = np.stack([1.6 + 0.05 * g.standard_normal(30_000), 2.58 * g.random(30_000)])
    widths = 0.01 * np.exp(g.standard_normal((2, 30_000)))
    many = points(*at, *widths, g.random((30_000, 2)).astype(np.float32))
    images = []
    for threads in (1, 2, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        images.append(Gaussians().draw(canvas, [many], 2))
    assert images[0].sum(dtype=float) > 10_000
    assert all(np.array_equal(images[0], each) for each in images[1:])


def test_the_sum_is_that_of_the_values():
    g = np.random.default_rng(2)
    canvas = Canvas(0.0, 0.0, 0.01, (400, 300))
    values = g.random((20_000, 2)).astype(np.float32)
    at = 1 + g.random((2, 20_000)) * [[2.0], [1.0]]
    many = points(*at, *g.uniform(0.002, 0.2, (2, 20_000)), values)
    image = Gaussians().draw(canvas, [many], 2)
    assert image.sum(axis=(1, 2), dtype=float) == pytest.approx(values.sum(axis=0, dtype=float), rel=1e-5)


@pytest.mark.parametrize("sigma", [0.008, 0.05])
def test_a_shift_of_the_points_is_a_shift_of_the_image(sigma):
    g = np.random.default_rng(3)
    canvas = Canvas(0.0, 0.0, 0.01, (200, 200))
    at = 0.6 + 0.5 * g.random((2, 500))
    widths = np.full((2, 500), sigma)
    first = ANY_WIDTH.draw(canvas, [points(*at, *widths)], 1)[0]
    moved = ANY_WIDTH.draw(canvas, [points(at[0] + 0.07, at[1] + 0.13, *widths)], 1)[0]
    assert np.abs(moved[7:, 13:] - first[:-7, :-13]).max() < 5e-3 * first.max()


@pytest.mark.parametrize(("sigma", "tolerance"), [(0.005, 1e-5), (0.0081, 1e-5), (0.029, 1e-5), (0.2, 0.01)])
def test_one_blur_for_all_is_the_sum_of_its_gaussians(sigma, tolerance):
    g = np.random.default_rng(4)
    canvas = Canvas(0.0, 0.0, 0.01, (100, 120))
    for number in (1, 300):
        at = g.random((2, number)) * [[1.0], [1.2]]
        values = g.random((number, 1)).astype(np.float32)
        expected = summed(canvas, points(*at, *np.full((2, number), sigma), values))
        drawn = Gaussians(blur_um=sigma).draw(canvas, [points(*at, *np.zeros((2, number)), values)], 1)[0]
        assert np.abs(drawn - expected).max() < tolerance * expected.max()


def test_one_blur_for_all_keeps_every_plane_and_leaves_out_what_lies_beyond():
    canvas = Canvas(1.0, 2.0, 0.1, (40, 50))
    values = np.array([[1, 10], [2, 20], [4, 40], [8, 80]], np.float32)
    blocks = [
        points([4, 4.5, 1.9, 3], [3, 4, 3, 6.01], [0] * 4, [0] * 4, values),
        points([], [], [], [], values[:0]),
    ]
    image = Gaussians(blur_um=0.1).draw(canvas, blocks, 2)
    assert image.shape == (2, 40, 50)
    assert image.sum(axis=(1, 2)) == pytest.approx([3, 30], rel=1e-5)
    corner = Gaussians(blur_um=0.1).draw(canvas, [points(2.0, 1.0, 0, 0)], 1)
    assert corner.sum() == pytest.approx(0.25, abs=0.01)


def test_widths_are_held_between_floor_and_ceiling():
    sigma = np.array([0.0, 0.02, 9.0], np.float32)
    assert Gaussians(ceiling_um=0.1).widths_px(sigma, 0.01) == pytest.approx([0.5, 2, 10])
    assert Gaussians(blur_um=0.03).widths_px(sigma, 0.01) == pytest.approx([3, 3, 3])


def test_points_beyond_the_canvas_are_left_out_and_light_over_its_edge_is_lost():
    canvas = Canvas(0.0, 0.0, 0.1, (30, 30))
    outside = points([-0.1, 1.0, 5.0], [1.0, 3.1, 5.0], [0.1] * 3, [0.1] * 3)
    assert not ANY_WIDTH.draw(canvas, [outside], 1).any()
    half = points(0.0, 1.5, 0.2, 0.2)
    assert ANY_WIDTH.draw(canvas, [half], 1).sum() == pytest.approx(0.5, abs=0.01)
    assert not ANY_WIDTH.draw(canvas, [], 1).any()


def test_what_is_no_number_is_left_out_and_the_widest_has_a_limit():
    canvas = Canvas(0.0, 0.0, 1.0, (20, 25))
    some = points([np.nan, 5, 5, 5], [5, np.inf, 5, 5], [1, 1, np.nan, 1], [1, 1, 1, 1])
    drawn = ANY_WIDTH.draw(canvas, [some], 1)
    assert np.array_equal(drawn, ANY_WIDTH.draw(canvas, [points(5, 5, 1, 1)], 1))
    flat = ANY_WIDTH.draw(canvas, [points([5, 5], [5, 5], [np.inf, 1e9], [1e9, 1])], 1)
    assert np.isfinite(flat).all() and flat.max() < 1e-3


def test_without_numba_a_histogram_is_advised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "deepstorm3d.rendering.compiled", None)
    with pytest.raises(InputError, match=r"Numba compiles.*`histogram`"):
        Gaussians().draw(Canvas(0.0, 0.0, 1.0, (9, 9)), [points(5, 5, 1, 1)], 1)


def test_a_width_of_nothing_is_a_mistake():
    with pytest.raises(InputError, match="blur must be above 0 nm"):
        Gaussians(blur_um=0.0)
    with pytest.raises(InputError, match=r"a blur of 0.02 nm is less than 1 nm, .* 0.02 µm are 20"):
        Gaussians(blur_um=2e-5)
    with pytest.raises(InputError, match="the lower limit of σ"):
        Gaussians(floor_px=0.0)


def test_the_narrowest_is_a_point_on_one_pixel_or_shared_by_two():
    narrow = Gaussians(floor_px=1e-40, ceiling_um=1e-40)
    drawn = narrow.draw(Canvas(0.0, 0.0, 1.0, (9, 9)), [points([2.5, 6.0], [3.2, 5.5], [0, 0], [0, 0])], 1)[0]
    assert drawn[2, 3] == pytest.approx(1) and drawn[5:7, 5] == pytest.approx([0.5, 0.5])
