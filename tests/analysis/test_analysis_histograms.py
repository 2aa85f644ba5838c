"""Average shifted histograms: counts kept, and the mean that the name says."""

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.rendering.canvas import Canvas, Points
from deepstorm3d.rendering.histograms import ShiftedHistogram


def points(rows, columns) -> Points:
    sigma = np.zeros(len(rows), np.float32)
    return Points(rows, columns, sigma, sigma, np.ones((len(rows), 1), np.float32))


@pytest.mark.parametrize("shifts", [1, 2, 3, 5])
def test_the_sum_of_the_image_is_the_number_of_points_inside(shifts):
    y, x = np.random.default_rng(0).random((2, 5000)) * 3 - 0.5
    canvas = Canvas.over((0.0, 0.0, 2.0, 1.5), 0.05)
    image = ShiftedHistogram(shifts).draw(canvas, [points(y, x)], 1)[0]
    inside = (x >= 0) & (x < 2) & (y >= 0) & (y < 1.5)
    assert image.shape == (30, 40)
    assert image.sum(dtype=float) == pytest.approx(int(inside.sum()), rel=1e-6)


def test_it_is_the_mean_of_shifted_histograms():
    x = np.random.default_rng(2).random(300) * 0.6 + 0.2
    m, pixel = 4, 0.01
    canvas = Canvas.over((0.0, 0.0, 1.0, 0.01), pixel)
    image = ShiftedHistogram(m).draw(canvas, [points(np.full_like(x, 0.005), x)], 1)[0]
    expected = np.zeros(100)
    for shift in range(m):
        edges = (np.arange(-m, 100 + m, m) + shift) * pixel
        counts = np.histogram(x, edges)[0] / m
        expected += np.repeat(counts, m)[m - shift :][:100] / m
    assert np.allclose(image[0], expected, atol=1e-5)


def test_values_go_to_their_planes_and_blocks_add_up():
    canvas = Canvas.over((0.0, 0.0, 1.0, 1.0), 0.5)
    at = np.array([0.1, 0.7])
    both = Points(at, at, at, at, np.array([[1.0, 10.0], [2.0, 20.0]], np.float32))
    image = ShiftedHistogram(1).draw(canvas, [both, both], 2)
    assert image[0].tolist() == [[2, 0], [0, 4]]
    assert np.array_equal(image[1], 10 * image[0])


def test_no_shift_is_a_mistake():
    with pytest.raises(InputError, match="at least 1"):
        ShiftedHistogram(0)
