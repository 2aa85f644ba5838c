"""Figures of merit: their arithmetic, their empty cases, their intervals."""

import json
import math

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score, score_with_intervals
from deepstorm3d.emitters import Emitters, Localizations


def tables(truth, found, truth_frame=None, found_frame=None, photons=None):
    truth = torch.tensor(truth, dtype=torch.float64).reshape(-1, 3)
    found = torch.tensor(found, dtype=torch.float64).reshape(-1, 3)
    tf = torch.zeros(len(truth), dtype=torch.int64) if truth_frame is None else torch.tensor(truth_frame)
    ff = torch.zeros(len(found), dtype=torch.int64) if found_frame is None else torch.tensor(found_frame)
    light = torch.full((len(truth),), 1e3) if photons is None else torch.tensor(photons)
    return (
        Emitters(truth, tf, light, torch.arange(len(truth))),
        Localizations.proposals(found, ff, torch.ones(len(found))),
    )


def scored(truth, found, **how):
    return score(truth, found, match(truth, found, **how))


def test_counts_and_fractions():
    # Three hits, one false detection, two misses.
    spots = [[k, k, 1.0] for k in range(5)]
    result = scored(*tables(spots, [*spots[:3], [9, 9, 1.0]]))
    assert (result.tp, result.fp, result.fn) == (3, 1, 2)
    assert result.jaccard == pytest.approx(3 / 6)
    assert result.precision == pytest.approx(3 / 4)
    assert result.recall == pytest.approx(3 / 5)
    assert result.f1 == pytest.approx(2 * 3 / 9)


def test_errors_are_in_nm_and_the_lateral_one_is_the_full_distance():
    truth, found = tables([[1, 1, 1], [5, 5, 1]], [[1.03, 1.04, 0.95], [4.97, 5.04, 1.05]])
    result = scored(truth, found)
    assert result.rmse_x_nm == pytest.approx(30)
    assert result.rmse_y_nm == pytest.approx(40)
    assert result.rmse_lateral_nm == pytest.approx(50)
    assert result.rmse_axial_nm == pytest.approx(50)
    assert result.rmse_3d_nm == pytest.approx(math.hypot(50, 50))
    assert result.bias_x_nm == pytest.approx(0, abs=1e-9)
    assert result.bias_y_nm == pytest.approx(40)
    assert result.bias_z_nm == pytest.approx(0, abs=1e-9)


def test_challenge_efficiency():
    # Jaccard 50 %, lateral 30 nm (α = 1), axial 80 nm (α = 0.5).
    truth, found = tables([[1, 1, 1], [5, 5, 1]], [[1.03, 1, 1.08]])
    result = scored(truth, found)
    assert result.efficiency_lateral == pytest.approx(100 - math.hypot(50, 30))
    assert result.efficiency_axial == pytest.approx(100 - math.hypot(50, 40))
    assert result.efficiency_3d == pytest.approx((result.efficiency_lateral + result.efficiency_axial) / 2)


def test_dim_truth_counts_neither_way():
    truth, found = tables(
        [[1, 1, 1], [3, 3, 1], [5, 5, 1]], [[1, 1, 1], [3, 3, 1]], photons=[50.0, 900.0, 60.0]
    )
    result = scored(truth, found, min_photons=100)
    assert (result.tp, result.fp, result.fn) == (1, 0, 0)
    assert (result.ignored_truth, result.ignored_found) == (2, 1)
    assert result.jaccard == 1


def test_nothing_to_find_and_nothing_found_is_perfect():
    result = scored(Emitters.empty(), Localizations.empty())
    assert (result.jaccard, result.precision, result.recall, result.f1) == (1, 1, 1, 1)
    assert result.rmse_lateral_nm is None and result.bias_z_nm is None and result.efficiency_3d is None


def test_no_pair_gives_no_error_rather_than_not_a_number():
    result = scored(*tables([[1, 1, 1]], [[9, 9, 1]]))
    assert (result.jaccard, result.precision, result.recall, result.f1) == (0, 0, 0, 0)
    assert result.rmse_axial_nm is None
    json.dumps(result.to_mapping(), allow_nan=False)


def crowd(seed, frames=60, per_frame=10, sigma=0.02):
    g = torch.Generator().manual_seed(seed)
    n = frames * per_frame
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([30.0, 30.0, 4.0])
    frame = torch.arange(frames).repeat_interleave(per_frame)
    truth = Emitters(xyz, frame, torch.full((n,), 1e3), torch.arange(n))
    kept = torch.rand(n, generator=g) < 0.8
    moved = xyz + sigma * torch.randn(n, 3, generator=g)
    return truth, Localizations.proposals(moved[kept], frame[kept], torch.ones(int(kept.sum())))


def test_intervals_hold_the_figure_and_narrow_with_the_root_of_the_frames():
    widths = []
    for frames in (40, 640):
        truth, found = crowd(1, frames)
        result = score_with_intervals(
            truth, found, match(truth, found), np.random.default_rng(0), resamples=400
        )
        low, high = result.intervals["recall"]
        assert low < result.score.recall < high
        assert result.frames == frames
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)


def test_intervals_cover_the_true_value_about_as_often_as_they_say():
    inside = 0
    for seed in range(60):
        truth, found = crowd(seed, 40, 5)
        result = score_with_intervals(
            truth, found, match(truth, found), np.random.default_rng(seed), resamples=200
        )
        low, high = result.intervals["rmse_x_nm"]
        inside += low <= 20.0 <= high
    assert inside >= 50


def test_the_same_seed_gives_the_same_intervals():
    truth, found = crowd(3)
    matches = match(truth, found)
    a, b = (
        score_with_intervals(truth, found, matches, np.random.default_rng(5), resamples=50).to_mapping()
        for _ in range(2)
    )
    assert a == b
    json.dumps(a, allow_nan=False)


def test_one_frame_supports_no_interval():
    truth, found = tables([[1, 1, 1]], [[1, 1, 1]])
    result = score_with_intervals(truth, found, match(truth, found), np.random.default_rng(0))
    assert result.frames == 1 and set(result.intervals.values()) == {None}
    assert "rmse_lateral_nm" in result.intervals


def test_intervals_of_empty_lists_and_of_lists_without_a_pair():
    rng = np.random.default_rng(0)
    nothing = score_with_intervals(
        Emitters.empty(), Localizations.empty(), match(Emitters.empty(), Localizations.empty()), rng
    )
    assert nothing.frames == 0 and nothing.score.jaccard == 1
    truth, found = tables([[1, 1, 1], [1, 1, 1]], [[9, 9, 1]], truth_frame=[0, 1], found_frame=[2])
    result = score_with_intervals(truth, found, match(truth, found), rng, resamples=20)
    assert result.intervals["rmse_x_nm"] is None and result.intervals["jaccard"] == (0, 0)
