"""Matching: one to one, within a frame, within the tolerance; exact or greedy; dim and border rows left out."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from deepstorm3d.analysis.matching import Matches, match, match_challenge
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.extent import frame_extent
from factories import emitters, localizations


def pairs(matches: Matches) -> set[tuple[int, int]]:
    return set(zip(matches.truth_index.tolist(), matches.found_index.tolist(), strict=True))


def random_tables(seed: int, n: int, frames: int, side: float) -> tuple[Emitters, Localizations]:
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([side, side, side])
    truth = torch.rand(n, 3, generator=g) * size
    found = torch.rand(n, 3, generator=g) * size
    frame = torch.randint(frames, (2, n), generator=g)
    return (
        Emitters(truth, frame[0], torch.full((n,), 1e3), torch.arange(n)),
        Localizations.proposals(found, frame[1], torch.ones(n)),
    )


def test_greedy_and_hungarian_differ_where_the_nearest_pair_robs_a_second_one():
    # On a line: found 0 | truth A 100 | found 160 … truth B 290 nm: the nearest pair is A–160.
    truth = emitters([[0.10, 0, 0], [0.29, 0, 0]])
    found = localizations([[0.0, 0, 0], [0.16, 0, 0]])
    assert pairs(match(truth, found, tolerance_um=0.15)) == {(0, 0), (1, 1)}
    greedy = match_challenge(truth, found, lateral_um=0.15, axial_um=0.15)
    assert pairs(greedy) == {(0, 1)}


def test_of_two_complete_assignments_the_shorter_total_is_taken():
    truth = emitters([[0.0, 0, 0], [0.10, 0, 0]])
    found = localizations([[0.09, 0, 0], [0.01, 0, 0]])
    assert pairs(match(truth, found)) == {(0, 1), (1, 0)}


def test_total_distance_not_squared_distance_decides():
    # Straight: 50 + 50 = 100; crossed: 91 + 0 = 91, though its squares are larger.
    truth = emitters([[0.0, 0, 0], [0.05, 0, 0]])
    found = localizations([[0.05, 0, 0], [0.05, 0.076, 0]])
    assert pairs(match(truth, found)) == {(0, 1), (1, 0)}


@pytest.mark.parametrize("seed", range(12))
def test_number_and_total_distance_equal_a_dense_assignment(seed):
    truth, found = random_tables(seed, 120, 2, 0.9)
    result = match(truth, found, tolerance_um=0.15)
    number, total = 0, 0.0
    for frame in range(2):
        a, b = truth.xyz[truth.frame == frame].double(), found.xyz[found.frame == frame].double()
        distance = torch.cdist(a, b).numpy()
        cost = np.where(distance <= 0.15, distance, 1e4)
        i, j = linear_sum_assignment(cost)
        kept = cost[i, j] < 1e4
        number, total = number + kept.sum(), total + cost[i, j][kept].sum()
    distances = (truth.xyz[result.truth_index] - found.xyz[result.found_index]).double().norm(dim=1)
    assert len(result) == number
    assert float(distances.sum()) == pytest.approx(total, rel=1e-6)
    assert float(distances.max()) <= 0.15 * 1.00001


@pytest.mark.parametrize("seed", range(4))
def test_greedy_equals_taking_the_nearest_pair_again_and_again(seed):
    truth, found = random_tables(seed, 80, 1, 1.2)
    distance = torch.cdist(truth.xyz.double(), found.xyz.double()).numpy()
    offset = (truth.xyz[:, None] - found.xyz[None]).double().numpy()
    allowed = (np.hypot(offset[..., 0], offset[..., 1]) <= 0.25) & (abs(offset[..., 2]) <= 0.5)
    distance[~allowed] = np.inf
    expected = set()
    while np.isfinite(distance).any():
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        expected.add((int(i), int(j)))
        distance[i, :] = distance[:, j] = np.inf
    assert pairs(match_challenge(truth, found)) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 60))
def test_order_of_the_rows_does_not_matter(seed, n):
    truth, found = random_tables(seed, n, 3, 0.6)
    g = torch.Generator().manual_seed(seed + 1)
    p, q = torch.randperm(n, generator=g), torch.randperm(n, generator=g)
    for how in (match, match_challenge):
        mixed = how(truth.select(p), found.select(q))
        back = set(zip(p[mixed.truth_index].tolist(), q[mixed.found_index].tolist(), strict=True))
        assert back == pairs(how(truth, found))
        assert len(set(mixed.truth_index.tolist())) == len(set(mixed.found_index.tolist())) == len(mixed)


def test_never_matches_across_frames():
    truth = emitters([[1, 1, 1], [2, 2, 2]], frame=[7, 1_000_000])
    found = localizations([[1, 1, 1], [2, 2, 2]], frame=[8, 1_000_000])
    assert pairs(match(truth, found)) == {(1, 1)}
    assert pairs(match_challenge(truth, found)) == {(1, 1)}


@pytest.mark.parametrize(
    ("dx", "dz", "inside"), [(0.249, 0.499, True), (0.251, 0.0, False), (0.0, 0.501, False)]
)
def test_challenge_tolerance_is_a_cylinder(dx, dz, inside):
    result = match_challenge(emitters([[0, 0, 1]]), localizations([[dx, 0, 1 + dz]]))
    assert len(result) == int(inside)


def test_default_tolerance_is_a_ball_of_150_nm_that_includes_its_edge():
    truth = emitters([[0, 0, 0]])
    assert len(match(truth, localizations([[0.15, 0, 0]]))) == 1
    assert len(match(truth, localizations([[0.11, 0, 0.11]]))) == 0
    assert len(match(truth, localizations([[0.11, 0, 0.11]]), axial_um=0.15)) == 1


def test_dim_truth_is_neither_hit_nor_miss_and_takes_its_detection_along():
    truth = emitters([[1, 1, 1], [3, 3, 1], [5, 5, 1]], photons=[100, 5000, 200])
    found = localizations([[1.01, 1, 1], [3.01, 3, 1], [8, 8, 1]])
    result = match(truth, found, min_photons=1000)
    assert pairs(result) == {(1, 1)}
    assert result.truth_ignored.tolist() == [True, False, True]
    assert result.found_ignored.tolist() == [True, False, False]


def test_border_is_left_out_of_both_lists_before_matching():
    # The field of 64 pixels of 100 nm runs from −50 nm to 6350 nm: the border ends at 400 nm.
    field = frame_extent((64, 64), 0.1)
    assert field == pytest.approx((-0.05, -0.05, 6.35, 6.35))
    truth = emitters([[0.39, 3, 0.5], [0.41, 3, 0.5]])
    found = localizations([[0.42, 3, 0.5], [0.38, 3, 0.5], [6.2, 3, 0.5]])
    result = match_challenge(truth, found, field_um=field)
    assert pairs(result) == {(1, 0)}
    assert result.truth_ignored.tolist() == [True, False]
    assert result.found_ignored.tolist() == [False, True, True]
    assert len(match_challenge(truth, found)) == 2


def test_empty_lists_match_nothing():
    none, nothing = Emitters.empty(), Localizations.empty()
    one, single = emitters([[1, 1, 1]]), localizations([[1, 1, 1]])
    for how in (match, match_challenge):
        for truth, found in ((none, nothing), (none, single), (one, nothing)):
            result = how(truth, found)
            assert len(result) == 0 and result.truth_index.dtype == torch.int64
            assert len(result.truth_ignored) == len(truth) and len(result.found_ignored) == len(found)


def test_all_on_one_spot_match_at_distance_zero():
    result = match(emitters([[1, 1, 1]] * 5), localizations([[1, 1, 1]] * 3))
    assert len(result) == 3


def test_mistakes_are_explained():
    one, single = emitters([[1, 1, 1]]), localizations([[1, 1, 1]])
    with pytest.raises(InputError, match="above 0"):
        match(one, single, tolerance_um=0)
    with pytest.raises(InputError, match="1 of 1 localization rows"):
        match(one, localizations([[float("nan"), 1, 1]]))
    with pytest.raises(InputError, match="leaves nothing"):
        match_challenge(one, single, field_um=(0, 0, 0.8, 0.8))


@pytest.mark.parametrize("how", [match, match_challenge])
def test_a_hundred_thousand_emitters_are_quick(how):
    g = torch.Generator().manual_seed(0)
    n = 100_000
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([60.0, 60.0, 4.0])
    truth = Emitters(xyz, torch.zeros(n, dtype=torch.int64), torch.ones(n), torch.arange(n))
    found = Localizations.proposals(xyz + 0.03 * torch.randn(n, 3, generator=g), truth.frame, torch.ones(n))
    begin = time.perf_counter()
    assert len(how(truth, found)) > 0.99 * n
    assert time.perf_counter() - begin < 10.0
