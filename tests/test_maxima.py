"""The maximum filter against torch's own pooling."""

import pytest
import torch
from torch.nn import functional

from deepstorm3d.maxima import highest_around


@pytest.mark.parametrize(
    ("shape", "radius"), [((2, 9, 14), 1), ((1, 20, 3), 4), ((3, 5, 6, 7), 2), ((0, 4, 4), 1)]
)
def test_it_is_the_maximum_over_the_cube_around_each_sample(shape: tuple[int, ...], radius: int):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    pool = functional.max_pool2d if len(shape) == 3 else functional.max_pool3d
    expected = pool(values[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0] if len(values) else values
    assert torch.equal(highest_around(values, radius), expected)
    assert torch.equal(values, before)


def test_a_single_sample_is_its_own_maximum():
    assert highest_around(torch.tensor([[[3.0]]]), 5).item() == 3


def test_values_that_want_a_gradient_are_filtered_too():
    values = torch.rand(1, 4, 4, requires_grad=True)
    assert (highest_around(values, 3) == values.max()).all()
