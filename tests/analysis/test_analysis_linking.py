"""Rows of one molecule are joined, those of two are not, and what comes out is as sharp as it says."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.assignment import least_total
from deepstorm3d.analysis.linking import LinkRule, link_rows, spread_over_sigma
from deepstorm3d.analysis.merging import merge_rows
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.simulation.blinking import blink

SIGMA_UM = torch.tensor([0.008, 0.009, 0.015])
FIXED = LinkRule(radius_um=0.05, axial_um=0.05)


def rows(xyz: list[list[float]], frame: list[int], sigma_um: float = 0.01) -> Localizations:
    place = torch.tensor(xyz, dtype=torch.float32)
    found = Localizations.proposals(place, torch.tensor(frame, dtype=torch.int64), torch.ones(len(place)))
    return dataclasses.replace(found, sigma_xyz=torch.full_like(place, sigma_um), sigma_source="fit")


def blinking(molecules: int, frames: int, side_um: float, seed: int = 3) -> tuple[Emitters, Localizations]:
    """Blinks of four frames, σ by brightness; one row in twenty is missed."""
    g = torch.Generator().manual_seed(seed)
    xyz = torch.rand(molecules, 3, generator=g) * torch.tensor([side_um, side_um, 2.0])
    photons = torch.full((molecules,), 3000.0)
    truth = blink(xyz, photons, frames, g, on_time=4.0, off_time=frames / 2)
    seen = (torch.rand(len(truth), generator=g) > 0.05) & (truth.photons > 300)
    truth = truth.select(seen)
    sigma = SIGMA_UM * (3000.0 / truth.photons[:, None]).sqrt()
    found = Localizations.proposals(
        truth.xyz + sigma * torch.randn(len(truth), 3, generator=g), truth.frame, torch.ones(len(truth))
    )
    return truth, dataclasses.replace(found, photons=truth.photons, sigma_xyz=sigma, sigma_source="fit")


def successors(who: torch.Tensor, frame: torch.Tensor, most: int) -> set[tuple[int, int]]:
    """Pairs of rows that follow each other in one molecule at most `most` frames apart."""
    order = np.lexsort((frame.numpy(), who.numpy()))
    w, f = who.numpy()[order], frame.numpy()[order]
    near = (w[1:] == w[:-1]) & (f[1:] - f[:-1] <= most)
    return set(zip(order[:-1][near].tolist(), order[1:][near].tolist(), strict=True))


def test_blinks_are_joined_as_they_were_simulated():
    # 5 molecules per frame and µm²: neighbours are 30 σ apart.
    truth, found = blinking(4000, 800, 2.0)
    track = link_rows(found, LinkRule())
    joined, true = successors(track, found.frame, 2), successors(truth.id, truth.frame, 2)
    assert len(joined & true) / len(true) > 0.99
    assert len(joined & true) / len(joined) > 0.99


def test_the_merged_position_is_sharper_by_the_root_of_the_rows_and_its_sigma_is_true():
    truth, found = blinking(6000, 20_000, 20.0)
    track = link_rows(found, LinkRule())
    merged = merge_rows(found, track)
    same = torch.zeros(len(merged), dtype=torch.int64).index_add_(0, track, torch.ones_like(track))
    assert torch.equal(merged.detections.sort().values, same.sort().values)
    place = torch.zeros(len(merged), 3).index_copy_(0, track, truth.xyz)  # of a molecule all rows are the same
    position = merge_rows(dataclasses.replace(found, xyz=truth.xyz), track)
    assert torch.allclose(position.xyz[:, 0].sort().values, place[:, 0].sort().values, atol=1e-5)
    pull = (merged.xyz - position.xyz) / merged.sigma_xyz
    assert pull.square().mean(0).sqrt().tolist() == pytest.approx([1, 1, 1], abs=0.04)
    bright = (found.photons > 2999).nonzero().squeeze(1)
    equal = merge_rows(found.select(bright), torch.unique(track[bright], return_inverse=True)[1])
    true = merge_rows(
        dataclasses.replace(found, xyz=truth.xyz).select(bright),
        torch.unique(track[bright], return_inverse=True)[1],
    )
    for n in (1, 2, 4):
        rows_n = equal.detections == n
        error = (equal.xyz - true.xyz)[rows_n].square().mean(0).sqrt() * n**0.5
        assert int(rows_n.sum()) > 300
        assert error.tolist() == pytest.approx(SIGMA_UM.tolist(), rel=0.12)


def test_the_scatter_within_molecules_tells_whether_the_sigma_are_true():
    _, found = blinking(3000, 8000, 20.0)
    track = link_rows(found, LinkRule())
    assert spread_over_sigma(found, track) == pytest.approx((1, 1, 1), abs=0.06)
    wrong = dataclasses.replace(found, sigma_xyz=found.sigma_xyz * torch.tensor([1.0, 0.5, 2.0]))
    assert spread_over_sigma(wrong, track) == pytest.approx((1, 2, 0.5), rel=0.06)
    assert spread_over_sigma(found, torch.arange(len(found))) is None


def test_dark_frames_are_bridged_up_to_the_number_allowed_and_no_row_of_the_same_frame_is_joined():
    found = rows([[1, 1, 0]] * 5, [0, 1, 3, 6, 6])
    assert link_rows(found, LinkRule(dark=0)).tolist() == [0, 0, 1, 2, 3]
    assert link_rows(found, LinkRule(dark=1)).tolist() == [0, 0, 0, 1, 2]
    longest = link_rows(found, LinkRule(dark=2)).tolist()
    assert longest[:3] == [0, 0, 0]
    assert sorted(longest[3:]) == [0, 1]


def test_the_gate_is_three_sigma_of_the_difference_on_each_axis_together():
    sigma = 0.01
    for offset, joined in ((3.7, True), (3.8, False)):
        step = offset * sigma * 2**0.5
        for axis in range(3):
            place = [0.0, 0.0, 0.0]
            place[axis] = step
            track = link_rows(rows([[0, 0, 0], place], [0, 1], sigma), LinkRule())
            assert (track.tolist() == [0, 0]) == joined, (offset, axis)
    diagonal = [2.5 * sigma * 2**0.5] * 3  # below 3.7 on each axis, above it together
    assert link_rows(rows([[0, 0, 0], diagonal], [0, 1], sigma), LinkRule()).tolist() == [0, 1]


def test_fixed_gates_are_a_cylinder_and_need_no_sigma():
    rule = LinkRule(radius_um=0.03, axial_um=0.1)
    for place, joined in (((0.02, 0.02, 0.09), True), ((0.025, 0.025, 0), False), ((0, 0, 0.11), False)):
        track = link_rows(rows([[0, 0, 0], list(place)], [0, 1], 0.0), rule)
        assert (track.tolist() == [0, 0]) == joined
    with pytest.raises(InputError, match=r"2 of 2 rows have no σ.*`radius_nm`"):
        link_rows(rows([[0, 0, 0]] * 2, [0, 1], 0.0), LinkRule())


def test_partners_are_chosen_for_the_best_total_not_one_by_one():
    # The nearest pair (B to C) taken first would leave A and D alone.
    found = rows([[0, 0, 0], [0.03, 0, 0], [0.02, 0, 0], [0.06, 0, 0]], [0, 0, 1, 1])
    assert link_rows(found, FIXED).tolist() == [0, 1, 0, 1]


def test_of_two_close_rows_one_far_off_stays_alone():
    # Two pairs of nearly 4 σ are less likely than one of 0 and two single rows.
    found = rows([[0, 0, 0], [0.05, 0, 0], [0.05, 0, 0], [0.1, 0, 0]], [0, 0, 1, 1])
    assert link_rows(found, LinkRule()).tolist() == [0, 1, 1, 2]


def test_a_row_of_huge_sigma_is_found_from_either_side():
    far = rows([[0, 0, 0], [0.5, 0, 0]], [0, 1])
    for wide in (0, 1):
        sigma = far.sigma_xyz.clone()
        sigma[wide] = 0.3
        assert link_rows(dataclasses.replace(far, sigma_xyz=sigma), LinkRule()).tolist() == [0, 0]


def test_the_answer_does_not_depend_on_the_order_of_the_rows_or_the_size_of_a_block(monkeypatch):
    _, found = blinking(500, 300, 3.0)
    track = link_rows(found, LinkRule())
    shuffled = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    other = link_rows(found.select(shuffled), LinkRule())
    assert int(other.max()) == int(track.max())
    assert len(torch.unique(torch.stack([other, track[shuffled]]), dim=1).T) == int(track.max()) + 1
    monkeypatch.setattr("deepstorm3d.analysis.linking._SEARCH_ROWS", 50)
    assert torch.equal(link_rows(found, LinkRule()), track)


def test_columns_of_a_molecule():
    found = rows([[1, 1, 0], [1, 1, 0], [2, 2, 1]], [4, 5, 2])
    found = dataclasses.replace(
        found,
        sigma_xyz=torch.tensor([[0.01, 0.01, 0.03], [0.01, 0.02, 0.04], [0.01, 0.01, 0.01]]),
        xyz=torch.tensor([[1.0, 1.0, 0.0], [1.01, 1.01, 0.025], [2.0, 2.0, 1.0]]),
        photons=torch.tensor([1000.0, 3000.0, 500.0]),
        sigma_photons=torch.tensor([30.0, 40.0, 20.0]),
        background=torch.tensor([10.0, 20.0, 5.0]),
        sigma_background=torch.tensor([3.0, 4.0, 1.0]),
        probability=torch.tensor([0.6, 0.8, 0.9]),
        fit_quality=torch.tensor([1.2, 0.0, 1.0]),
    )
    merged = merge_rows(found, torch.tensor([0, 0, 1]))
    assert merged.frame.tolist() == [2, 4]
    assert merged.detections.tolist() == [1, 2]
    second = merged.select(slice(1, 2))
    assert second.xyz[0].tolist() == pytest.approx([1.005, 1.002, 0.009])
    assert second.sigma_xyz[0].tolist() == pytest.approx([0.01 / 2**0.5, 0.01 * 0.8**0.5, 0.024])
    assert (second.photons.item(), second.sigma_photons.item()) == (4000.0, 50.0)
    assert (second.background.item(), second.sigma_background.item()) == (15.0, 2.5)
    assert second.probability.item() == pytest.approx(0.8)
    assert second.fit_quality.item() == pytest.approx(1.2)
    assert merged.sigma_source == "fit"


def test_rows_without_sigma_count_alike_and_get_none():
    merged = merge_rows(rows([[1, 1, 0], [2, 1, 0]], [0, 1], 0.0), torch.tensor([0, 0]))
    assert merged.xyz[0].tolist() == [1.5, 1.0, 0.0]
    assert merged.sigma_xyz.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("rule", [LinkRule(), FIXED])
def test_a_list_without_rows_has_no_molecules(rule):
    empty = Localizations.empty()
    track = link_rows(empty, rule)
    merged = merge_rows(empty, track)
    assert (len(track), len(merged), len(merged.detections)) == (0, 0, 0)
    assert link_rows(rows([[1, 1, 1]], [7]), rule).tolist() == [0]


def test_gates_out_of_range_are_refused():
    with pytest.raises(InputError, match="above 0 nm, got -5"):
        LinkRule(radius_um=-0.005, axial_um=0.1)
    with pytest.raises(InputError, match="missing for -1 frames"):
        LinkRule(dark=-1)


@pytest.mark.parametrize("seed", range(6))
def test_an_assignment_is_the_cheapest_of_all(seed):
    g = np.random.default_rng(seed)
    left, right = np.nonzero(g.random((5, 4)) < 0.6)
    cost = g.random(len(left))

    def total(taken: tuple[int, ...]) -> float:
        return sum(cost[k] for k in taken) + (5 - len(taken)) * 1.0

    ways = [
        taken
        for size in range(5)
        for taken in itertools.combinations(range(len(left)), size)
        if len(set(left[list(taken)])) == size == len(set(right[list(taken)]))
    ]
    best = min(ways, key=total)
    chosen = least_total(left, right, cost, unmatched=1.0)
    assert total(tuple(chosen)) == pytest.approx(total(best))
