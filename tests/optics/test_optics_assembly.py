"""Assembly: patches added into frames and cut out of them, wherever they lie."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepstorm3d.optics.assembly import Assembly

SHAPE = (2, 9, 12)
PATCH = (5, 3)

# Column, row and frame of a patch: some wholly inside, some hanging over an edge, some far away.
places = st.lists(
    st.tuples(st.integers(-8, 16), st.integers(-8, 14), st.integers(0, SHAPE[0] - 1)), min_size=0, max_size=8
)


def assembly(where: list[tuple[int, int, int]]) -> Assembly:
    table = torch.tensor(where, dtype=torch.int64).view(-1, 3)
    return Assembly(table[:, :2], table[:, 2], PATCH, SHAPE)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def added_one_by_one(where: list[tuple[int, int, int]], patches: Tensor) -> Tensor:
    frames = torch.zeros(SHAPE, dtype=torch.float64)
    for (column, row, frame), patch in zip(where, patches, strict=True):
        for i in range(PATCH[0]):
            for j in range(PATCH[1]):
                if 0 <= row + i < SHAPE[1] and 0 <= column + j < SHAPE[2]:
                    frames[frame, row + i, column + j] += patch[i, j]
    return frames


@settings(max_examples=40)
@given(places)
def test_every_pixel_of_a_patch_lands_where_it_belongs_or_nowhere(where: list[tuple[int, int, int]]) -> None:
    patches, assembled = random(len(where), *PATCH), assembly(where)
    torch.testing.assert_close(assembled.add(assembled.inside(patches)), added_one_by_one(where, patches))


def test_adding_into_frames_adds_to_what_is_there_in_place() -> None:
    where = [(1, 2, 0), (-1, 7, 1)]
    patches, assembled, frames = random(2, *PATCH), assembly(where), random(*SHAPE, seed=2)
    expected = frames + added_one_by_one(where, patches)
    assert assembled.add(assembled.inside(patches), into=frames) is frames
    torch.testing.assert_close(frames, expected)


@settings(max_examples=40)
@given(places)
def test_cutting_is_the_adjoint_of_adding(where: list[tuple[int, int, int]]) -> None:
    assembled = assembly(where)
    patches, frames = assembled.inside(random(len(where), *PATCH)), random(*SHAPE, seed=1)
    left = (assembled.add(patches) * frames).sum()
    right = (patches * assembled.cut(frames)).sum()
    torch.testing.assert_close(left, right)


def test_a_patch_outside_its_frame_leaves_no_trace_in_any_frame() -> None:
    assembled = assembly([(-3, 2, 0), (12, 2, 0), (3, -5, 1), (3, 9, 1), (1000, -1000, 0)])
    assert float(assembled.add(assembled.inside(torch.ones(5, *PATCH))).abs().max()) == 0


def test_inside_keeps_any_number_of_layers_and_zeroes_the_same_pixels_in_each() -> None:
    assembled = assembly([(2, 2, 0), (-1, 7, 1)])
    values = random(2, 3, *PATCH) + 1
    inside = assembled.inside(values)
    assert inside.shape == values.shape
    assert torch.equal(inside[0], values[0])
    for layer in range(3):
        assert torch.equal(inside[:, layer], assembled.inside(values[:, layer]))
    assert int((inside[1, 0] > 0).sum()) == 2 * 2


@settings(max_examples=40)
@given(places, st.integers(0, 8), st.integers(1, 9), st.integers(0, 11), st.integers(1, 12))
def test_dense_rows_are_the_patches_in_the_pixels_of_a_box(
    where: list[tuple[int, int, int]], top: int, height: int, left: int, width: int
) -> None:
    assembled = assembly(where)
    patches = random(len(where), 2, *PATCH)
    box = (top, min(top + height, SHAPE[1]), left, min(left + width, SHAPE[2]))
    rows = torch.arange(len(where))
    size = (box[1] - box[0], box[3] - box[2])
    dense = assembled.dense(patches.flatten(2), rows, box).view(len(where), 2, *size)
    for layer in range(2):
        frames = added_one_by_one(where, patches[:, layer])[:, box[0] : box[1], box[2] : box[3]]
        summed = torch.zeros_like(frames).index_add_(0, assembled.frame, dense[:, layer])
        torch.testing.assert_close(summed, frames)
    reached = (dense > 0).flatten(1).any(1)
    assert torch.equal(assembled.reaching(rows, box), reached)


def test_a_patch_that_only_touches_a_box_does_not_reach_into_it() -> None:
    # The box holds rows 3 to 5 and columns 4 to 7; patches of 5 rows and 3 columns, clear and one pixel nearer.
    clear = [(1, 2, 0), (8, 2, 0), (4, -2, 0), (4, 6, 0)]
    near = [(2, 2, 0), (7, 2, 0), (4, -1, 0), (4, 5, 0)]
    reached = assembly(clear + near).reaching(torch.arange(8), (3, 6, 4, 8))
    assert reached.tolist() == [False] * 4 + [True] * 4


def test_dense_takes_the_rows_asked_for_in_the_order_asked() -> None:
    assembled = assembly([(0, 0, 0), (3, 2, 1), (-1, 5, 0)])
    patches = random(3, 1, *PATCH).flatten(2)
    box = (0, SHAPE[1], 0, SHAPE[2])
    everything = assembled.dense(patches, torch.arange(3), box)
    rows = torch.tensor([2, 0])
    assert torch.equal(assembled.dense(patches[rows], rows, box), everything[rows])


@settings(max_examples=40)
@given(places)
def test_the_named_pixels_are_those_that_are_cut(where: list[tuple[int, int, int]]) -> None:
    assembled, frames = assembly(where), random(*SHAPE)
    rows, columns = assembled.pixels()
    named = frames[assembled.frame[:, None, None], rows[:, :, None], columns[:, None]]
    assert torch.equal(named, assembled.cut(frames))


@settings(max_examples=40)
@given(places)
def test_the_middle_of_a_patch_lies_in_the_frame(where: list[tuple[int, int, int]]) -> None:
    middle = assembly(where).middle
    for (column, row, _), (i, j) in zip(where, middle.tolist(), strict=True):
        assert i == min(max(row + PATCH[0] // 2, 0), SHAPE[1] - 1)
        assert j == min(max(column + PATCH[1] // 2, 0), SHAPE[2] - 1)
