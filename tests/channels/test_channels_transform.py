"""A transform between channels: its Jacobian, its inverse, what is composed of it; lists that go through it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deepstorm3d.channels import ChannelPair, Transform, halves_of
from deepstorm3d.channels.polynomials import POWERS, terms_of_degree
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from factories import localizations


def bent(degree: int, *, mirrored: bool = False) -> Transform:
    """3°, 1.02 times as large, 200 nm of each higher term."""
    g = torch.Generator().manual_seed(degree)
    turn = math.radians(3)
    matrix = 1.02 * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0])) if mirrored else matrix
    higher = 0.2 * torch.randn(2, terms_of_degree(degree) - 3, generator=g, dtype=torch.float64)
    middle = torch.tensor([[13.7], [12.6]])
    return Transform(torch.cat([middle, 13 * matrix, higher], dim=1), torch.tensor([13.0, 13.0]), 13.0)


def places(count: int = 200) -> Tensor:
    return 26 * torch.rand(count, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_identity_leaves_every_position_where_it_is():
    xy = places()
    torch.testing.assert_close(Transform.identity().apply(xy), xy, rtol=0, atol=0)
    torch.testing.assert_close(Transform.identity().inverse(xy), xy, rtol=0, atol=1e-15)


def test_the_terms_stand_in_the_order_that_the_file_says():
    assert POWERS == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
    u, v = 0.3, -0.7
    for term, (i, j) in enumerate(POWERS):
        one = torch.zeros(2, 10)
        one[1, term] = 1
        where = torch.tensor([[2 + 5 * u, 1 + 5 * v]])
        value = Transform(one, torch.tensor([2.0, 1.0]), 5.0).apply(where)
        assert value[0].tolist() == pytest.approx([0, u**i * v**j], abs=1e-6)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_jacobian_is_the_limit_of_differences(degree: int):
    transform, xy, step = bent(degree), places(), 1e-5
    slope = transform.jacobian(xy)
    for axis in range(2):
        moved = torch.zeros(2, dtype=torch.float64)
        moved[axis] = step
        difference = (transform.apply(xy + moved) - transform.apply(xy - moved)) / (2 * step)
        torch.testing.assert_close(slope[:, :, axis], difference, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_inverse_comes_back_to_a_millionth_of_a_nanometre(degree: int, mirrored: bool):
    transform, xy = bent(degree, mirrored=mirrored), places()
    torch.testing.assert_close(transform.inverse(transform.apply(xy)), xy, rtol=0, atol=1e-9)
    assert transform.inverse(xy[:0]).shape == (0, 2)


def test_a_place_that_no_position_goes_to_has_no_inverse():
    folded = Transform(torch.tensor([[0.0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]]), torch.zeros(2))
    with pytest.raises(InputError, match="no inverse at 1 of 2 positions"):
        folded.inverse(torch.tensor([[0.5, 0.0], [-3.0, 0.0]]))


def test_rotation_scale_and_mirror_are_told():
    for mirrored in (False, True):
        transform = bent(2, mirrored=mirrored)
        assert transform.mirrored == mirrored
        assert transform.rotation_degrees == pytest.approx(3, abs=1e-5)
        assert transform.magnification == pytest.approx(1.02, abs=1e-6)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_crop_or_mirror_before_or_after_is_one_transform_of_the_same_degree(degree: int):
    transform, xy = bent(degree), places()
    flip = Transform.affine(torch.tensor([[-1.0, 0.0], [0.0, 1.0]]), torch.tensor([26.0, -3.0]))
    before, after = flip.then(transform), transform.then(flip)
    assert before.degree == after.degree == degree
    torch.testing.assert_close(before.apply(xy), transform.apply(flip.apply(xy)), rtol=0, atol=1e-11)
    torch.testing.assert_close(after.apply(xy), flip.apply(transform.apply(xy)), rtol=0, atol=1e-11)
    torch.testing.assert_close(transform.raised(3).apply(xy), transform.apply(xy))


def test_degrees_multiply_up_to_three():
    with pytest.raises(ValueError, match="degrees 2 and 2 make 4"):
        bent(2).then(bent(2))


def test_what_is_no_transform_is_refused():
    with pytest.raises(ValueError, match="5 coefficients"):
        Transform(torch.zeros(2, 5), torch.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        Transform(torch.full((2, 3), torch.nan), torch.zeros(2))


def test_single_precision_goes_in_and_double_comes_out():
    assert bent(2).apply(places().float()).dtype == torch.float64


@pytest.mark.parametrize(("side", "start"), [("left-right", (5.5, 0.0)), ("top-bottom", (0.0, 3.3))])
def test_each_half_of_a_camera_has_its_own_first_pixel(side, start):
    halves = halves_of(side, (60, 100), 0.11)
    assert halves.origin_um.tolist() == pytest.approx(start)
    first, second = halves.rows(torch.tensor([[1.0, 1.0], [10.0, 6.0]]))
    assert first.tolist() == [True, False] and second.tolist() == [False, True]


def test_the_middle_column_of_an_odd_width_is_in_neither_half():
    halves = halves_of("left-right", (10, 7), 1.0)
    assert halves.size == (10, 3) and halves.start_px == 4
    first, second = halves.rows(torch.tensor([[2.4, 0.0], [3.0, 0.0], [3.6, 0.0]]))
    assert first.tolist() == [True, False, False] and second.tolist() == [False, False, True]


def pair(transform: Transform) -> ChannelPair:
    return ChannelPair(transform, (0.2, 0.01), (Field(240, 240, 0.11), Field(250, 260, 0.11)))


def test_a_list_goes_to_the_other_channel_and_back_with_its_sigma():
    table = localizations([(3.0, 4.0, 1.0), (20.0, 9.0, 2.0)])
    table = type(table)(**{**vars(table), "sigma_xyz": torch.full((2, 3), 0.01)})
    channels = pair(bent(3))
    there = channels.apply(table)
    torch.testing.assert_close(there.xyz[:, 2], table.xyz[:, 2] + 0.2)
    slope = channels.transform.jacobian(table.xyz[:, :2])
    expected = 0.01 * slope.square().sum(2).sqrt()
    torch.testing.assert_close(there.sigma_xyz[:, :2], expected.float())
    back = channels.undo(there)
    torch.testing.assert_close(back.xyz, table.xyz, rtol=0, atol=1e-5)


def test_a_list_of_another_region_or_pixel_is_told():
    channels = pair(bent(1))
    assert channels.doubts((240, 240), 0.11) == []
    assert channels.doubts((250, 260), 0.11, second=True) == []
    (region,) = channels.doubts((128, 256), 0.11)
    assert "frames of 256 x 128 px" in region and "240 x 240 px" in region
    (pixel,) = channels.doubts((240, 240), 0.1)
    assert "pixels of 100 nm" in pixel and "110 nm" in pixel
