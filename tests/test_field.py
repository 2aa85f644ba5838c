"""A part of a frame is a field: it knows its place in the whole, and which positions and pixels are its own."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.field import Field, crops_of

WHOLE = Field(60, 80, 0.1)


def test_a_field_begins_with_the_whole_unless_it_says_otherwise() -> None:
    assert Field(3, 4, 0.1).origin_px == (0, 0)
    assert Field(3, 4, 0.1) == Field(3, 4, 0.1, (0, 0)) != Field(3, 4, 0.1, (1, 0))


def test_a_part_of_a_part_lies_where_both_say() -> None:
    part = WHOLE.part((10, 20, 70, 60))
    assert part == Field(40, 60, 0.1, (10, 20))
    assert part.part((5, 1, 9, 3)) == Field(2, 4, 0.1, (15, 21))


def test_a_field_finds_its_pixels_in_an_image_of_any_field_around_it() -> None:
    image = torch.arange(60 * 80).reshape(60, 80)
    outer = WHOLE.part((10, 20, 70, 60))
    inner = outer.part((5, 1, 9, 3))
    assert torch.equal(image[inner.pixels_of(WHOLE)], image[21:23, 15:19])
    assert torch.equal(image[outer.pixels_of(WHOLE)][inner.pixels_of(outer)], image[21:23, 15:19])
    other = WHOLE.part((40, 30, 44, 32))
    both = crops_of(image[outer.pixels_of(WHOLE)], outer, [inner, other])
    assert torch.equal(both, torch.stack([image[21:23, 15:19], image[30:32, 40:44]]))


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 81, 5), (3, 5, 3, 8), (0, 50, 10, 61)])
def test_a_part_is_inside(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="not inside a field of 80 x 60 px"):
        WHOLE.part(region)


@pytest.mark.parametrize("origin", [(-1, 0), (0, 21), (45, 0)])
def test_a_field_that_sticks_out_has_no_pixels_of_the_whole(origin: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is not inside"):
        Field(40, 40, 0.1, origin).pixels_of(WHOLE)


def test_positions_are_inside_from_edge_to_edge_of_the_pixels_wherever_the_field_begins() -> None:
    edge = 1e-4
    x = [-0.05 - edge, -0.05 + edge, 0.35 - edge, 0.35 + edge, 0.1, 0.1]
    y = [0.0, 0.0, 0.0, 0.0, 0.25 - edge, 0.25 + edge]
    xyz = torch.tensor([x, y, [0.0] * 6]).T
    for origin in ((0, 0), (7, 3)):
        assert Field(3, 4, 0.1, origin).inside(xyz).tolist() == [False, True, True, False, True, False]


@pytest.mark.parametrize("values", [(0, 5, 0.1), (5, 0, 0.1), (5, 5, 0.0), (5, 5, float("nan"))])
def test_a_field_has_pixels_of_a_size(values: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="needs pixels"):
        Field(*values)
