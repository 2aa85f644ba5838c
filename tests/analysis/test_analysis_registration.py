"""Registration: a known shift is found, an unrelated image is refused."""

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.frames.image_shift import register
from deepstorm3d.rendering.canvas import Canvas, Points
from deepstorm3d.rendering.gaussians import Gaussians


def scene(seed: int, shift=(0.0, 0.0)) -> np.ndarray:
    """60 blurred dots in 80 × 100 pixels, moved by rows and columns."""
    g = np.random.default_rng(seed)
    rows, columns = g.random(60) * 60 + 10, g.random(60) * 80 + 10
    sigma, ones = np.full(60, 1.3, np.float32), np.ones((60, 1), np.float32)
    moved = Points(rows + shift[0], columns + shift[1], sigma, sigma, ones)
    return Gaussians(ceiling_um=9).draw(Canvas(0, 0, 1.0, (80, 100)), [moved], 1)[0].astype(float)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -7.0), (-2.3, 4.6), (9.5, 0.25)])
def test_a_shifted_image_with_noise_and_another_brightness_comes_back(shift):
    image = scene(0)
    noise = np.random.default_rng(1).standard_normal(image.shape)
    found = register(300 * image + 20 + 3 * noise, scene(0, shift), peak_px=5)
    assert found.shift_px == pytest.approx(shift, abs=0.15)
    assert found.correlation > 0.8 > 2 * found.rival


def test_the_correlation_is_pearsons_over_the_overlap():
    a, b = scene(0), scene(0, (4.0, 0.0))
    found = register(a, b, peak_px=5)
    assert found.correlation == pytest.approx(np.corrcoef(a[:-4].ravel(), b[4:].ravel())[0, 1], abs=1e-6)


@pytest.mark.parametrize("seed", range(1, 6))
def test_an_unrelated_image_is_refused(seed):
    with pytest.raises(InputError, match="cannot be registered"):
        register(scene(seed), scene(0), peak_px=5)


def test_a_periodic_or_an_empty_image_has_no_distinct_peak():
    stripes = np.tile(np.sin(np.arange(100) * 2 * np.pi / 10), (80, 1))
    for image in (stripes, np.zeros((80, 100))):
        with pytest.raises(InputError, match="cannot be registered"):
            register(image, image, peak_px=3)
    with pytest.raises(ValueError, match="one shape"):
        register(stripes, stripes.T, peak_px=3)
