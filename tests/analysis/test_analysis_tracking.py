"""Moving molecules are followed, the search range comes from the list, and what cannot be told is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm3d.analysis.steps import expected_wrong, step_model
from deepstorm3d.analysis.tracking import SearchRange, drop_short, find_range, link_tracks
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from diffusing import diffusing, successors, tracked

pytest.importorskip("trackpy")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), gap=st.integers(0, 3), missed=st.sampled_from([0.0, 0.2, 0.5]))
def test_where_molecules_lie_far_apart_exactly_the_true_links_are_found(seed: int, gap: int, missed: float):
    """On a grid of 2 µm, each within 0.25 µm of its place: no other can be taken for it."""
    table, who = diffusing(12, 20, 1e-5, missed=missed, false=0, sigma_um=(0.02, 0.02, 0.05), seed=seed)
    home = torch.tensor([[k % 4, k // 4, k % 3] for k in range(12)]) * 2.0
    first = {int(k): int(torch.nonzero(who == k)[0]) for k in who.unique()}
    start = torch.stack([table.xyz[first[int(k)]] for k in who])
    table = Localizations.proposals(table.xyz - start + home[who], table.frame, table.probability)
    found = link_tracks(table, SearchRange(0.6, 0.9), gap=gap)
    assert successors(found, table.frame, gap) == successors(who, table.frame, gap)


@pytest.mark.parametrize(("coefficient", "right"), [(1.5e-3, 0.998), (1e-2, 0.99), (5e-2, 0.97)])
def test_links_are_right_in_a_nucleus_with_misses_and_false_detections(coefficient: float, right: float):
    table, who = diffusing(60, 50, coefficient)
    found = link_tracks(table, find_range(table), gap=1)
    joined, true = successors(found, table.frame, 1), successors(who, table.frame, 1)
    assert len(joined & true) > right * len(true)
    assert len(joined & true) > right * len(joined)


@pytest.mark.parametrize("coefficient", [1e-4, 1.5e-3, 2e-2])
def test_the_step_is_told_from_the_list_without_links(coefficient: float):
    table, who = diffusing(60, 80, coefficient, sigma_um=(0.012, 0.012, 0.06))
    steps = step_model(table.xyz.double().numpy(), table.frame.numpy())
    assert steps is not None and steps.clear
    expected = np.sqrt(2 * coefficient + 2 * np.array([0.012, 0.012, 0.06]) ** 2)
    assert steps.sigma_um == pytest.approx(expected, rel=0.06)
    assert steps.pairs == pytest.approx(len(successors(who, table.frame)), rel=0.03)
    reach = find_range(table)
    assert reach.axial_um / reach.lateral_um == pytest.approx(expected[2] / expected[0], rel=0.08)
    assert 4 * 0.94 < reach.lateral_um / expected[0] < 6 * 1.06


def layer(molecules: int, coefficient: float, sigma_z_um: float, depth: str, seed: int = 0) -> Localizations:
    """Molecules that move in x and y, in a layer that has no depth but the error of z, or is bent."""
    table, _ = diffusing(molecules, 80, coefficient, missed=0.1, false=0, sigma_um=(0.02, 0.02, 0.0), seed=seed)
    bent = 0.3 * torch.sin(table.xyz[:, 0] / 3) if depth == "bent" else 0.5
    z = bent + sigma_z_um * torch.randn(len(table), generator=torch.Generator().manual_seed(seed))
    table.xyz[:, 2] = z
    return table


@pytest.mark.parametrize("depth", ["flat", "bent"])
@pytest.mark.parametrize("sigma_z_um", [0.0, 0.01, 0.04, 0.2])
@pytest.mark.parametrize("molecules", [5, 60])
@pytest.mark.parametrize("coefficient", [0.0, 2.5e-4, 2.5e-3])
def test_the_step_is_told_in_a_layer_of_any_thickness(
    coefficient: float, molecules: int, sigma_z_um: float, depth: str
):
    """In a layer as thin as the error of z the depths do not say whose pairs they are; x and y do."""
    reach = find_range(layer(molecules, coefficient, sigma_z_um, depth))
    lateral = np.sqrt(2 * coefficient + 2 * 0.02**2)
    assert 4 * 0.9 < reach.lateral_um / lateral < 6 * 1.1
    if sigma_z_um > 0:
        shape = reach.axial_um / reach.lateral_um
        assert shape == pytest.approx(np.sqrt(2) * sigma_z_um / lateral, rel=0.15)
    assert reach.wrong is not None and reach.wrong < 0.01


@pytest.mark.parametrize("depth", ["flat", "bent"])
@pytest.mark.parametrize("sigma_z_um", [0.0, 0.04, 0.2])
@pytest.mark.parametrize("a_frame", [2, 30])
def test_chance_alone_gives_no_step_in_a_layer_of_any_thickness(a_frame: int, sigma_z_um: float, depth: str):
    for seed in range(3):
        table = layer(30, 0.0, sigma_z_um, depth, seed)
        g = torch.Generator().manual_seed(seed)
        table.xyz[:, :2] = 20 * torch.rand(len(table), 2, generator=g)
        table.frame[:] = torch.arange(len(table)) // a_frame
        with pytest.raises(InputError, match="cannot be distinguished from chance"):
            find_range(table)


def test_wrong_links_come_as_often_as_was_said():
    said, were = [], []
    for seed, coefficient in enumerate((0.03, 0.05, 0.08)):
        table, who = diffusing(60, 50, coefficient, missed=0.0, false=0.0, seed=seed)
        found = successors(link_tracks(table, find_range(table)), table.frame)
        sigma = float(np.sqrt(2 * coefficient))
        said.append(expected_wrong(table.xyz.double().numpy(), table.frame.numpy(), sigma, sigma))
        were.append(1 - len(found & successors(who, table.frame)) / len(found))
    assert 0.4 < sum(were) / sum(said) < 1.2


def test_too_dense_for_its_steps_is_refused_with_the_numbers():
    dense, _ = diffusing(600, 12, 0.025)
    with pytest.raises(InputError, match=r"too near each other for steps of 2\d\d nm.* % of the links would"):
        find_range(dense)
    lost, _ = diffusing(60, 20, 2.0)
    with pytest.raises(InputError, match="cannot be distinguished from chance: the nearest row of the next"):
        find_range(lost)
    with pytest.raises(InputError, match="more than 30 molecules lie within the search range"):
        link_tracks(dense, SearchRange(2.0, 2.0))


def test_too_few_rows_to_estimate_a_range_are_refused():
    few, _ = diffusing(1, 5, missed=0.0, false=0.0)
    with pytest.raises(InputError, match="only 4 rows have a next frame"):
        find_range(few)
    with pytest.raises(InputError, match="no two rows lie in adjacent frames"):
        find_range(few.select(few.frame % 2 == 0))
    assert link_tracks(few, SearchRange(0.3, 0.3)).tolist() == [0] * 5


def test_a_gap_is_bridged_as_long_as_allowed():
    frames = torch.tensor([7, 8, 11, 12])
    table = Localizations.proposals(torch.zeros(4, 3), frames, torch.ones(4))
    assert link_tracks(table, SearchRange(0.1, 0.1), gap=1).tolist() == [0, 0, 1, 1]
    assert link_tracks(table, SearchRange(0.1, 0.1), gap=2).tolist() == [0, 0, 0, 0]


def test_range_in_depth_is_its_own():
    xyz = torch.tensor([[0.0, 0, 0], [0, 0, 0.4], [0.4, 0, 0.4]])
    table = Localizations.proposals(xyz, torch.arange(3), torch.ones(3))
    assert link_tracks(table, SearchRange(0.1, 0.5)).tolist() == [0, 0, 1]


def test_short_trajectories_are_dropped_and_the_others_counted_anew():
    table, _ = diffusing(5, 6, missed=0.0, false=0.0)
    kept = drop_short(tracked(table, torch.where(table.frame < 2, 0, 1 + table.frame)), 6)
    assert kept.track is not None and kept.track.tolist() == [0] * 10
    assert len(drop_short(kept, 11)) == 0


def test_no_rows_are_no_trajectories():
    assert link_tracks(Localizations.empty(), SearchRange(0.1, 0.1)).shape == (0,)
    with pytest.raises(InputError, match="search range must be above 0"):
        SearchRange(0.0, 0.1)
    with pytest.raises(InputError, match="cannot be missing for -1 frames"):
        link_tracks(Localizations.empty(), SearchRange(0.1, 0.1), gap=-1)


def test_without_trackpy_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "trackpy", None)
    table, _ = diffusing(3, 3)
    with pytest.raises(InputError, match=r"pip install 'deepstorm3d\[tracks\]'"):
        link_tracks(table, SearchRange(0.3, 0.3))
