"""Pairs that linking joins by chance do not count as evidence that the σ are too small."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.chance_links import spread_beyond_chance
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
@pytest.mark.parametrize("stated", [1.0, 1.5, 2.0])
def test_the_scatter_is_that_of_true_pairs_however_many_are_joined_by_chance(stated: float, lasting: float):
    """Also where the scatter of all pairs is near 1, as of σ that are too large among chance pairs."""
    linked = link_list(rows(lasting, stated=stated), LinkRule())
    assert [note for note in linked.warnings if "σ are too large" not in note] == []
    assert linked.spread_over_sigma == pytest.approx((1 / stated,) * 3, abs=0.2)


def test_the_scatter_within_a_distance_is_that_of_true_pairs_too():
    rule = LinkRule(radius_um=0.1, axial_um=0.2)
    linked = link_list(rows(0.1), rule)
    assert linked.warnings == []
    assert linked.spread_over_sigma == pytest.approx((1, 1, 1), abs=0.2)
    assert link_list(rows(0.0), rule).spread_over_sigma is None


def test_of_few_pairs_beyond_chance_no_scatter_is_given():
    """A dozen true pairs and a few by chance: what all scatter by is no measurement of σ."""
    linked = link_list(rows(0.02, molecules=600, filaments=1, stated=2.0, seed=2), LinkRule())
    assert linked.spread_over_sigma is None
    (note,) = linked.warnings
    assert note.endswith("too few are beyond chance to tell whether the σ are true")


@pytest.mark.parametrize("lasting", [0.03, 0.3])
@pytest.mark.parametrize("stated", [0.6, 0.4])
def test_sigma_that_are_too_small_are_told_among_chance_pairs(stated: float, lasting: float):
    (warning,) = link_list(rows(lasting, stated=stated), LinkRule()).warnings
    assert "the σ are too small, and molecules come apart" in warning


@pytest.mark.parametrize("lasting", [0.03, 0.3])
@pytest.mark.parametrize("stated", [2.0, 3.0])
def test_sigma_that_are_too_large_are_told_among_chance_pairs(stated: float, lasting: float):
    (warning,) = link_list(rows(lasting, stated=stated), LinkRule()).warnings
    # Filaments have no depth: on z the pairs by chance scatter as the others do.
    assert warning.startswith("on x, y, z the positions" if lasting > 0.1 else "on z the positions")
    assert "within molecules scatter by only 0." in warning
    assert "the σ are too large" in warning


@pytest.mark.parametrize("axis", [0, 2])
def test_the_axes_on_which_sigma_are_too_large_are_named(axis: int):
    table = beads(1.0, last=3)
    table.sigma_xyz[:, axis] *= 2.5
    (warning,) = link_list(table, LinkRule()).warnings
    assert warning.startswith(f"on {'xyz'[axis]} the positions")


def test_of_positions_that_are_no_measurement_on_an_axis_nothing_is_told():
    """A list without depths has z 0 in every row, whatever σ of the depth it states."""
    table = beads(1.0, last=3)
    table.xyz[:, 2] = 0.0
    assert link_list(table, LinkRule()).warnings == []


@pytest.mark.parametrize("scene", ["few", "dense", "unlike"])
def test_of_true_sigma_it_is_not_said_that_they_are_too_large(scene: str):
    """In a dozen pairs, where several neighbours lie within the gate, and where each row has another σ."""
    for seed in range(40 if scene == "few" else 5):
        notes = link_list(true_sigma(scene, seed), LinkRule()).warnings
        assert not [note for note in notes if "too large" in note]


def true_sigma(scene: str, seed: int) -> Localizations:
    """Molecules at rest of 1 to 8 rows, that scatter by their σ."""
    g = np.random.default_rng(seed)
    count, side = {"few": (6, 20.0), "dense": (10_000, 5.0), "unlike": (2000, 20.0)}[scene]
    last = g.integers(1, 9, count)
    place = np.repeat(g.uniform(0, side, (count, 3)) * [1, 1, 0], last, axis=0)
    frame = np.concatenate([g.integers(100) + np.arange(n) for n in last])
    times = np.exp(0.5 * g.normal(size=(len(place), 1))) if scene == "unlike" else np.ones((len(place), 1))
    table = listed(place + times * SIGMA_UM * g.normal(size=place.shape), frame, 1.0)
    order = np.argsort(frame, kind="stable")
    return dataclasses.replace(table, sigma_xyz=torch.tensor(times[order] * SIGMA_UM, dtype=torch.float32))


def beads(stated: float, *, last: int = 100) -> Localizations:
    """Molecules at rest, each seen in so many frames of 100 from a random one on."""
    g = np.random.default_rng(0)
    begin = g.integers(0, 101 - last, 200)
    place = np.repeat(g.uniform(0, 20, (200, 3)), last, axis=0)
    frame = (begin[:, None] + np.arange(last)).ravel()
    return listed(place + SIGMA_UM * g.normal(size=place.shape), frame, stated)


@pytest.mark.parametrize("stated", [0.5, 0.35])
def test_of_molecules_that_stay_throughout_it_is_said_that_sigma_are_too_small(stated: float):
    """Beads are joined in any order of the frames, as rows by chance are."""
    (warning,) = link_list(beads(stated), LinkRule()).warnings
    assert "the σ are too small" in warning


@pytest.mark.parametrize("stated", [1.0, 2.0])
@pytest.mark.parametrize("last", [30, 100])
def test_molecules_that_shine_long_are_not_joined_by_chance(last: int, stated: float):
    """In the other order of the frames their rows meet as well, but they are one molecule in the list too."""
    linked = link_list(beads(stated, last=last), LinkRule())
    assert len(linked.warnings) == (stated > 1)
    assert linked.spread_over_sigma == pytest.approx((1 / stated,) * 3, abs=0.05)
    table = beads(stated, last=last)
    found = spread_beyond_chance(table, linked.track, LinkRule())
    assert found.chance < 0.05 * found.pairs


def test_pairs_of_long_lasting_molecules_that_come_apart_are_not_called_chance():
    (warning,) = link_list(beads(0.6, last=30), LinkRule()).warnings
    assert "molecules come apart" in warning
    assert "joined with the frames in another order too" in warning and "by chance" not in warning


def test_of_a_long_list_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deepstorm3d.analysis.chance_links._MOST_ROWS", 8000)
    table = rows(0.3, stated=0.5)
    track = link_list(table, LinkRule()).track
    part = spread_beyond_chance(table, track, LinkRule())
    assert 0.2 < part.pairs / (len(table) - int(track.max()) - 1) < 8000 / len(table) + 0.02
    assert "beyond chance" in link_list(rows(0.0), LinkRule()).warnings[0]
    assert "come apart" in link_list(table, LinkRule()).warnings[0]


@pytest.mark.parametrize("full", [range(1), range(48, 51), range(0, 100, 2), range(40, 60)], ids=str)
def test_a_part_in_which_hardly_any_rows_are_joined_is_no_measure_of_the_list(
    full: range, monkeypatch: pytest.MonkeyPatch
):
    """Beads before frame 40, others after 60, and single rows that fill some of the frames."""
    monkeypatch.setattr("deepstorm3d.analysis.chance_links._MOST_ROWS", 1000)
    g = np.random.default_rng(0)
    bead = g.uniform(0, 80, (2, 1, 20, 3)).repeat(40, axis=1).reshape(-1, 3)
    place = np.concatenate([g.uniform(0, 80, (2000 * len(full), 3)), bead])
    frame = np.concatenate([np.repeat(np.array(full), 2000), np.repeat(np.r_[0:40, 60:100], 20)])
    table = listed(place + SIGMA_UM * g.normal(size=place.shape), frame, 1.0)
    found = spread_beyond_chance(table, link_list(table, LinkRule()).track, LinkRule())
    assert found.pairs > 200
    assert found.spread == pytest.approx((1, 1, 1), abs=0.15)
