"""What is far from all other rows: a few false positions, never a part of the structure."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm3d.extent import far_rows

RNG = np.random.default_rng(1)


def field(rows: int) -> np.ndarray:
    return RNG.random((rows, 3)) * [40.0, 30.0, 4.0]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("away", [-1000.0, 1000.0])
@pytest.mark.parametrize("rows", [20, 1000, 50_000])
def test_one_row_a_millimetre_away_is_far(rows: int, away: float, axis: int):
    xyz = field(rows)
    xyz[rows // 2, axis] = away
    assert np.flatnonzero(far_rows(xyz)).tolist() == [rows // 2]


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 30, 1000, 20_000])
def test_nothing_of_an_even_or_a_clustered_field_is_far(rows: int):
    assert not far_rows(field(rows)).any()
    assert not far_rows(np.full((rows, 3), 7.0)).any()
    clustered = field(rows)
    clustered[: int(0.99 * rows)] *= 0.02  # nearly all in one spot
    if rows > 1000:
        assert not far_rows(clustered).any()


def test_a_small_list_is_shown_whole():
    assert not far_rows(np.array([[0.0, 0, 0], [1, 1, 1], [90, 0, 0]])).any()


def test_gaussian_tails_are_no_strangers():
    assert not far_rows(RNG.normal(size=(100_000, 3))).any()
