"""Pairs that linking joins by chance do not count as evidence that the σ are too small."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.linked import link_list
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.emitters import Localizations

FRAMES = 1000
SIGMA_UM = np.array([0.012, 0.012, 0.025])


def rows(
    lasting: float,
    *,
    molecules: int = 20_000,
    filaments: int = 10,
    bleach: float = 0.0,
    stated: float = 1.0,
    seed: int = 0,
) -> Localizations:
    """Molecules of filaments, each in one frame, a part of them in the next one too.

    filaments: 0: molecules spread over a membrane;  bleach: how much their number falls over the movie, in
    powers of e;  stated: σ of the rows over the true one.
    """
    g = np.random.default_rng(seed)
    place = g.uniform(0, 10, (molecules, 3)) * [1, 1, 0]
    if filaments:
        along = g.uniform(-np.pi, np.pi, filaments)[g.integers(0, filaments, molecules)]
        begin = 5 + 3 * np.cos(np.arange(molecules) % filaments)
        length = g.uniform(-4, 4, molecules)
        place = np.stack([begin + length * np.cos(along), begin + length * np.sin(along), 0 * along], axis=1)
    frame = np.floor(g.uniform(0, 1, molecules) * (FRAMES - 1)).astype(int)
    frame = frame[g.random(molecules) < np.exp(-bleach * frame / FRAMES)]
    place = place[: len(frame)]
    again = g.random(len(frame)) < lasting
    place, frame = np.concatenate([place, place[again]]), np.concatenate([frame, frame[again] + 1])
    return listed(place + SIGMA_UM * g.normal(size=place.shape), frame, stated)


def listed(place: np.ndarray, frame: np.ndarray, stated: float) -> Localizations:
    at = torch.tensor(place, dtype=torch.float32)
    table = Localizations.proposals(at, torch.tensor(frame), torch.ones(len(at)))
    sigma = torch.tensor(stated * SIGMA_UM, dtype=torch.float32).expand(len(at), 3).clone()
    return dataclasses.replace(table, sigma_xyz=sigma, sigma_source="fit").sort()


@pytest.mark.parametrize("filaments", [10, 0])
@pytest.mark.parametrize("bleach", [0.0, 3.0])
def test_neighbours_joined_by_chance_do_not_make_the_sigma_too_small(bleach: float, filaments: int):
    """Every molecule shines in one frame: each pair is one of two molecules, and the σ are true."""
    for seed in range(3):
        linked = link_list(rows(0.0, bleach=bleach, filaments=filaments, seed=seed), LinkRule())
        (note,) = linked.warnings
        assert "too few are beyond chance" in note and "molecules come apart" not in note
        assert linked.spread_over_sigma is None


@pytest.mark.parametrize("lasting", [0.03, 0.3])
def test_with_as_many_chance_pairs_as_true_ones_the_sigma_are_found_true(lasting: float):
    linked = link_list(rows(lasting), LinkRule())
    assert linked.warnings == []
    if lasting < 0.1:
        assert linked.spread_over_sigma == pytest.approx((1, 1, 1), abs=0.3)


@pytest.mark.parametrize("lasting", [0.03, 0.3])
@pytest.mark.parametrize("stated", [0.6, 0.4])
def test_sigma_that_are_too_small_are_told_among_chance_pairs(stated: float, lasting: float):
    (warning,) = link_list(rows(lasting, stated=stated), LinkRule()).warnings
    assert "the σ are too small, and molecules come apart" in warning


@pytest.mark.parametrize("stated", [0.5, 0.35])
def test_of_molecules_that_stay_throughout_it_is_said_that_sigma_may_be_too_small(stated: float):
    """Beads are joined in any order of the frames: what is told holds for them and for chance."""
    g = np.random.default_rng(0)
    place = np.tile(g.uniform(0, 20, (20, 3)), (100, 1))
    beads = listed(place + SIGMA_UM * g.normal(size=place.shape), np.repeat(np.arange(100), 20), stated)
    (warning,) = link_list(beads, LinkRule()).warnings
    assert "where they stay throughout the movie, the σ are too small (pairs scatter by 1." in warning
    assert link_list(dataclasses.replace(beads, sigma_xyz=beads.sigma_xyz / stated), LinkRule()).warnings == []


def test_of_a_long_list_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deepstorm3d.analysis.chance_links._MOST_ROWS", 8000)
    assert "beyond chance" in link_list(rows(0.0), LinkRule()).warnings[0]
    assert "come apart" in link_list(rows(0.3, stated=0.5), LinkRule()).warnings[0]
