"""Which frames are fitted together."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.fitting.groups import Footprint, groups

FOOTPRINT = Footprint(unknowns=5, patch_px=61, pixels=121**2, coefficients=100)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**40))


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize("counts", [[], [0], [3] * 700, [5000, 1, 1, 5000], [0] * 1000, list(range(90))])
def test_every_frame_is_in_one_group_in_order(
    device: torch.device, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 2**33)
    ranges = list(groups(counts, FOOTPRINT, device))
    assert [frame for first, last in ranges for frame in range(first, last)] == list(range(len(counts)))


@pytest.mark.parametrize("count", [1, 10, 35, 100])
@pytest.mark.parametrize("free", [2**30, 2**33, 2**36])
def test_groups_on_a_gpu_take_a_share_of_its_free_memory_and_use_it(
    count: int, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, free)
    ranges = list(groups([count] * 2000, FOOTPRINT, CUDA))
    first, last = ranges[0]
    number = last - first
    assert number == 1 or FOOTPRINT.bytes(number, number * count, count) <= free / 4
    assert (
        number == 512
        or FOOTPRINT.bytes(number + 1, (number + 1) * count, count) > free / 4
        or ((number + 1) * count > 8_000)
    )


def test_a_crowded_frame_among_sparse_ones_counts_for_the_matrices_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_free(monkeypatch, 2**32)
    sparse, mixed = [1] * 500, [1] * 100 + [400] + [1] * 399
    assert next(iter(groups(sparse, FOOTPRINT, CUDA)))[1] > 100
    assert (0, 100) in list(groups(mixed, FOOTPRINT, CUDA))


def test_without_free_memory_frames_are_fitted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 0)
    assert list(groups([3, 0, 2], FOOTPRINT, CUDA)) == [(0, 1), (1, 2), (2, 3)]
