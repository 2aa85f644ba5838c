"""Pairs of near rows, one frame or a fixed number of frames apart: against all pairs, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm3d.analysis import pairs
from deepstorm3d.analysis.pairs import neighbour_counts, pairs_within


def scattered(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 3, (rows, 3)), rng.integers(-2, 12, rows)


@pytest.fixture(params=["swept", "swept in parts", "tree"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three ways find the same."""
    monkeypatch.setattr(pairs, "_FEW", -1 if request.param == "tree" else 10**6)
    if request.param == "swept in parts":
        monkeypatch.setattr(pairs, "_AT_ONCE", 7)


@pytest.mark.parametrize("later", [0, 1, 3, -2])
@pytest.mark.parametrize("norm", [2.0, np.inf])
def test_pairs_are_those_that_a_double_loop_finds(later: int, norm: float):
    (a, frame_a), (b, frame_b) = scattered(300, 1), scattered(200, 2)
    i, j = pairs_within((a, frame_a), (b, frame_b), 0.7, frames_later=later, norm=norm)
    apart = np.linalg.norm(a[:, None] - b[None], ord=norm, axis=2)
    expected = np.argwhere((apart <= 0.7) & (frame_b[None] - frame_a[:, None] == later))
    assert len(expected) > 20
    assert sorted(map(list, zip(i.tolist(), j.tolist(), strict=True))) == expected.tolist()


def test_a_pair_at_exactly_the_radius_counts_though_it_was_rounded():
    one, other = np.float32([[0.1]]).astype(float), np.float32([[0.4]]).astype(float)
    assert other[0, 0] - one[0, 0] > 0.3
    zero = np.zeros(1, np.int64)
    assert len(pairs_within((one, zero), (other, zero), 0.3)[0]) == 1
    assert len(pairs_within((one, zero), (other, zero), 0.2999)[0]) == 0


def test_neighbours_are_others_of_the_same_frame():
    points, frame = scattered(400, 3)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    expected = ((apart <= 0.8) & (frame[:, None] == frame[None])).sum(1) - 1
    assert neighbour_counts(points, frame, 0.8).tolist() == expected.tolist()


def test_no_rows_have_no_neighbours():
    points, frame = scattered(5, 4)
    none = points[:0], frame[:0]
    for one, other in ((none, (points, frame)), ((points, frame), none), (none, none)):
        i, j = pairs_within(one, other, 1.0)
        assert len(i) == len(j) == 0 and i.dtype == j.dtype == np.int64
    assert len(neighbour_counts(*none, 1.0)) == 0


def test_pairs_are_the_same_in_frames_with_large_numbers_and_far_from_the_origin():
    (a, frame_a), (b, frame_b) = scattered(200, 5), scattered(200, 6)
    near = pairs_within((a, frame_a), (b, frame_b), 0.7, frames_later=1)
    far = pairs_within((a + 4096, frame_a + 2**40), (b + 4096, frame_b + 2**40), 0.7, frames_later=1)
    assert sorted(zip(*map(np.ndarray.tolist, near), strict=True)) == sorted(
        zip(*map(np.ndarray.tolist, far), strict=True)
    )


def test_positions_that_are_no_numbers_are_refused():
    points, frame = scattered(9, 7)
    points[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        pairs_within((points, frame), (points, frame), 1.0)
