"""A picture that grows is the picture of the whole list."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.rendering.growing import GrowingPicture
from deepstorm3d.rendering.views import render_depth

EDGES = (-0.05, -0.05, 4.95, 2.95)


@pytest.fixture
def points() -> Emitters:
    generator = torch.Generator().manual_seed(5)
    size = torch.tensor([4.9, 2.9, 1.0])
    xyz = torch.rand(500, 3, generator=generator) * size
    return Emitters(xyz, torch.arange(500), torch.ones(500), torch.arange(500))


def test_added_in_parts_it_is_the_picture_of_all(points: Emitters) -> None:
    growing = GrowingPicture(EDGES, (0.0, 1.0))
    assert growing.rgb().max() == 0
    for first in range(0, 500, 100):
        growing.add(points.select(slice(first, first + 100)))
    growing.add(points.select(slice(0, 0)))
    assert growing.rows == 500
    pixel_nm = 1000 * growing.canvas.pixel_um
    assert pixel_nm == 10.0
    whole = render_depth(points, pixel_nm=pixel_nm, field_um=EDGES, z_range_um=(0.0, 1.0))
    assert growing.rgb().shape == whole.xy.rgb.shape
    assert np.abs(growing.rgb() - 255.0 * whole.xy.rgb).max() <= 1.0


def test_a_wide_field_has_larger_pixels_and_rows_outside_are_left_out(points: Emitters) -> None:
    growing = GrowingPicture((0.0, 0.0, 180.0, 90.0), (0.0, 1.0))
    assert growing.canvas.shape == (300, 600)
    growing.add(points.shift((-100.0, 0.0, 0.0)))
    assert growing.rgb().max() == 0


def test_a_depth_range_that_does_not_grow_is_refused() -> None:
    with pytest.raises(InputError, match="must grow"):
        GrowingPicture(EDGES, (1.0, 1.0))
