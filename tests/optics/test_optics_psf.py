"""What all point spread functions share."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.optics.psf import on_axis


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_on_the_axis_have_their_depth_and_no_x_or_y(dtype: torch.dtype):
    xyz = on_axis(torch.tensor([0.5, -1.0], dtype=dtype))
    assert xyz.dtype == dtype and xyz.tolist() == [[0, 0, 0.5], [0, 0, -1.0]]
    assert on_axis(torch.zeros(0)).shape == (0, 3)
