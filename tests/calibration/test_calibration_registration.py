"""Registration of two channels: the transform, from nothing, to the limit of its pairs; what cannot be one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from deepstorm3d.calibration.registration.depth_offset import depth_offset
from deepstorm3d.calibration.registration.pairing import chance_pairs, independent_pairs, paired
from deepstorm3d.calibration.registration.points import beads_merged, looks_like_beads, points_of
from deepstorm3d.calibration.registration.registration import (
    ChannelList,
    Registration,
    RegistrationRule,
    register_lists,
)
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.field import Field
from two_channels import DEPTH_UM, FIELD_UM, TwoChannels, beads, error_um, rows_of
from watchers import Recorder


def register(first: Localizations, second: Localizations, rule: RegistrationRule | None = None) -> Registration:
    return register_lists(ChannelList(first), ChannelList(second), rule)


@pytest.mark.parametrize(
    ("pairs", "in_frame", "mirrored"),
    [(20, 20, False), (20, 1, True), (200, 1, False), (200, 200, True), (1000, 10, True), (5000, 25, False)],
)
def test_the_transform_is_found_from_nothing_as_well_as_its_pairs_allow(pairs, in_frame, mirrored):
    scene = TwoChannels(pairs, in_frame, mirrored, seed=pairs)
    found = register(*scene.lists())
    assert found.transform.mirrored == mirrored
    assert found.transform.degree == 2
    # Six coefficients of each axis, from pairs whose errors are √2 σ along either: σ √(2 · 2 · 6 / N) on
    # average over the pairs, and twice that leaves room for the corners.
    bound = scene.sigma_um * math.sqrt(24 / pairs)
    assert error_um(found.transform, scene.transform()) < 2 * bound
    assert found.error_nm == pytest.approx(1000 * bound, rel=0.35)
    assert found.pairs >= 0.9 * pairs
    assert found.depth is not None
    assert abs(found.depth.median_um - DEPTH_UM) < 4 * found.depth.sigma_um


@pytest.mark.parametrize(
    ("degrees", "mirrored", "bend_um", "seed"), [(7, True, 0.15, 9), (-12, False, 0.4, 10)]
)
def test_a_turned_and_bent_field_of_many_molecules_is_registered_whole(degrees, mirrored, bend_um, seed):
    """A part of it can agree with a quarter turn, better than chance: it is not the whole."""
    rng = np.random.default_rng(seed)
    xy, frame = rng.uniform(0, 40, (4000, 2)), np.sort(rng.integers(0, 80, 4000))

    def there(places):
        u, v = ((places - 20) / 20).T
        turn = 1.01 * np.exp(1j * np.deg2rad(degrees))
        turned = turn * ((-20 if mirrored else 20) * u + 20j * v) + (22 + 19.3j)
        return np.stack([turned.real + bend_um * u * v, turned.imag + bend_um * (u**2 - v**2)], axis=1)

    def seen(places):
        shown, sigma = rng.random(4000) < 0.8, np.array([0.012, 0.012, 0.025])
        xyz = np.column_stack([places, np.zeros(4000)]) + rng.normal(size=(4000, 3)) * sigma
        return rows_of(xyz[shown], frame[shown], sigma)

    first, second = seen(xy), seen(there(xy))
    found = register(first, second)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(1, 39, 20)]), axis=-1).reshape(-1, 2)
    off = found.transform.apply(torch.from_numpy(grid)).numpy() - there(grid)
    assert np.abs(off).max() < 0.01
    assert found.pairs > 0.6 * 4000 and found.support.share > 0.95


def test_rows_on_one_line_are_paired():
    """They have no width over which partners could be spread."""
    rng = np.random.default_rng(3)
    along, frame, sigma = rng.uniform(0, 30, 400), np.sort(rng.integers(0, 40, 400)), np.full(3, 1e-6)
    xyz = np.column_stack([along, np.full(400, 5.0), np.zeros(400)])
    found = register(rows_of(xyz, frame, sigma), rows_of(xyz + np.array([1.0, 0.5, 0.0]), frame, sigma))
    on_line = torch.from_numpy(np.column_stack([np.linspace(1, 29, 9), np.full(9, 5.0)]))
    moved = found.transform.apply(on_line) - on_line
    torch.testing.assert_close(
        moved, torch.tensor([[1.0, 0.5]], dtype=torch.float64).expand(9, 2), atol=0.01, rtol=0
    )


def test_held_out_residuals_are_what_the_sigma_of_both_rows_say():
    found = register(*TwoChannels(1000, seed=3).lists())
    for seen, stated in zip(found.residual_nm, found.expected_nm, strict=True):
        assert stated == pytest.approx(20 * math.sqrt(2), rel=0.02)
        assert seen == pytest.approx(stated, rel=0.1)
    # Without the second degree they are those of the distortion.
    assert found.by_degree_nm[1] > 2 * found.by_degree_nm[2]


def test_the_degree_may_be_given():
    first, second = TwoChannels(200, seed=4).lists()
    assert register(first, second, RegistrationRule(degree=1)).transform.degree == 1
    assert register(first, second, RegistrationRule(degree=3)).transform.degree == 3
    with pytest.raises(InputError, match="degree 1, 2 or 3, not 4"):
        RegistrationRule(degree=4)


def test_rows_without_sigma_count_alike():
    scene = TwoChannels(500, seed=5)
    first, second = (replace(table, sigma_xyz=torch.zeros(len(table), 3)) for table in scene.lists())
    found = register(first, second)
    assert found.expected_nm == (0, 0)
    assert error_um(found.transform, scene.transform()) < 2 * 0.02 * math.sqrt(24 / 500)


def test_movies_that_are_not_of_one_recording_are_refused_with_the_numbers():
    first, _ = TwoChannels(300, seed=6).lists()
    _, second = TwoChannels(300, seed=7).lists()
    with pytest.raises(InputError, match=r"\d+ of \d+ rows have a partner within 300 nm, at .* by chance"):
        register(first, second)


@pytest.mark.parametrize("late", [1, -2])
def test_a_camera_that_began_later_is_told(late: int):
    first, second = TwoChannels(300, seed=8).lists()
    first, second = (first, second.shift(frames=late)) if late > 0 else (first.shift(frames=-late), second)
    which = "second" if late > 0 else "first"
    with pytest.raises(
        InputError, match=f"the {which} camera began before the other.*first {abs(late)} frames"
    ):
        register(first, second)


def test_lists_without_a_common_frame_are_refused():
    first, second = TwoChannels(100, seed=9).lists()
    with pytest.raises(InputError, match="share no frame: the first has frames 0 to 9, the second 500 to 509"):
        register(first, second.shift(frames=500))


def test_too_few_rows_and_too_few_pairs_for_a_degree_are_told():
    first, second = TwoChannels(16, seed=1).lists()
    with pytest.raises(InputError, match=r"has 3 rows .* at least 6 pairs"):
        register(first[:3], second)
    with pytest.raises(InputError, match="0 rows"):
        register(first[:0], second)
    with pytest.raises(InputError, match="a transform of degree 3 needs 20"):
        register(first, second, RegistrationRule(degree=3))


def test_a_mirror_is_told_and_a_wrong_word_about_it_refused():
    first, second = TwoChannels(300, mirrored=True, seed=2).lists()
    assert any("as in a mirror" in text for text in register(first, second).warnings)
    with pytest.raises(InputError, match="mirror"):
        register(first, second, RegistrationRule(mirrored=False))


def bead_places(count: int, seed: int = 1) -> np.ndarray:
    g = np.random.default_rng(seed)
    return np.column_stack([g.uniform(0, FIELD_UM, (count, 2)), g.uniform(0.2, 0.4, count)])


def test_beads_need_no_common_frames_and_are_known_as_beads():
    scene, places = TwoChannels(1, seed=3), bead_places(40)
    there = scene.transform().apply(torch.from_numpy(places[:, :2])).numpy()
    first = beads(places, 50, seed=1)
    second = beads(np.column_stack([there, places[:, 2]]), 30, seed=2).shift(frames=1000)
    found = register(first, second)
    assert found.beads and found.pairs == 40
    # Means over 45 and 27 frames of 10 nm each.
    sigma = 0.01 * math.sqrt(1 / 45 + 1 / 27)
    assert error_um(found.transform, scene.transform()) < 3 * sigma * math.sqrt(12 / 40)


def test_a_bead_is_the_mean_of_its_rows():
    merged = beads_merged(points_of(beads(bead_places(5), 400, seed=1)))
    order = np.argsort(merged.xy[:, 0])
    true = bead_places(5)[np.argsort(bead_places(5)[:, 0])]
    assert merged.xy[order] == pytest.approx(true[:, :2], abs=4 * 0.01 / math.sqrt(360))
    assert np.sqrt(merged.variance) == pytest.approx(0.01 / math.sqrt(360), rel=0.15)


def test_molecules_are_no_beads():
    assert not looks_like_beads(points_of(TwoChannels(500).lists()[0]))
    assert looks_like_beads(points_of(beads(bead_places(5), 20, seed=1)))
    assert not looks_like_beads(points_of(Localizations.empty()))


def test_beads_of_different_fields_are_refused():
    first, second = (beads(bead_places(20, seed), 40, seed=seed) for seed in (1, 2))
    with pytest.raises(InputError, match="beads of the same field"):
        register(first, second)


def test_few_beads_do_not_draw_the_fit_through_three_of_them():
    scene, places = TwoChannels(1, seed=3), bead_places(7)
    there = scene.transform().apply(torch.from_numpy(places[:, :2])).numpy()
    second = beads(np.column_stack([there, places[:, 2]]), 40, seed=2)
    found = register(beads(places, 40, seed=1), second)
    # An affine transform cannot follow the distortion: all seven stay, with residuals that say so.
    assert found.pairs == 7 and found.transform.degree == 1
    assert max(found.residual_nm) > 10
    assert any("scatter by" in text for text in found.warnings)


def test_a_field_that_pairs_cover_in_part_is_told_with_its_side():
    first, second = TwoChannels(1500, seed=4).lists()
    found = register(first[first.xyz[:, 0] < 12], second)
    view = Field(240, 240, FIELD_UM / 240)
    half = register_lists(ChannelList(first[first.xyz[:, 0] < 12], view), ChannelList(second))
    assert found.support.share > 0.9
    assert half.support.share == pytest.approx(12 / 26, abs=0.08)
    assert half.support.weak == ("right",)
    assert any("beyond the pairs, above all at the right" in text for text in half.warnings)


def test_each_row_has_one_partner_at_most_in_its_own_frame():
    first, second = (points_of(table) for table in TwoChannels(400, in_frame=100, seed=1).lists())
    rows = paired(first.xy, first, second, 2.0)
    assert len(np.unique(rows.first)) == len(np.unique(rows.second)) == len(rows)
    assert (first.frame[rows.first] == second.frame[rows.second]).all()
    assert (np.linalg.norm(first.xy[rows.first] - second.xy[rows.second], axis=1) < 2.0).all()


def test_one_place_in_many_frames_counts_about_once():
    g = np.random.default_rng(0)
    spots = np.repeat(g.uniform(0, 20, (8, 2)), 50, axis=0) + 0.02 * g.normal(size=(400, 2))
    assert independent_pairs(spots, np.tile(np.arange(50), 8), 0.3) == pytest.approx(8, abs=2)
    spread = g.uniform(0, 20, (400, 2))
    assert independent_pairs(spread, np.arange(400), 0.3) == pytest.approx(400, rel=0.2)


def test_a_depth_offset_that_changes_with_depth_is_told():
    g = np.random.default_rng(1)
    xy, z = g.uniform(0, 20, (400, 2)), g.uniform(0, 4, 400)
    noise = 0.03 * g.normal(size=(2, 400))
    steady = depth_offset(xy, z + noise[0], z + 0.2 + noise[1])
    assert steady is not None and steady.changes == () and steady.pairs == 400
    assert steady.median_um == pytest.approx(0.2, abs=4 * steady.sigma_um)
    slanted = depth_offset(xy, z + noise[0], 1.05 * z + 0.2 + noise[1])
    assert slanted is not None and len(slanted.changes) == 1
    assert "changes with depth: by +" in slanted.changes[0]


def test_lists_without_depth_have_no_depth_offset():
    first, second = TwoChannels(200, seed=5).lists()
    flat = torch.tensor([1.0, 1.0, 0.0])
    found = register(replace(first, xyz=first.xyz * flat), replace(second, xyz=second.xyz * flat))
    assert found.depth is None


def test_scatter_beyond_the_sigma_of_the_rows_goes_with_the_transform():
    first, second = TwoChannels(500, seed=5).lists()
    assert register(first, second).channels.excess_um == (0.0, 0.0, 0.0)
    # σ of 20, 20 and 40 nm, stated as a third: of the difference of two rows √2 · √(8/9) of that is left.
    sharp = [replace(rows, sigma_xyz=rows.sigma_xyz / 3) for rows in (first, second)]
    excess = register(*sharp).channels.excess_um
    assert excess == pytest.approx([1e-3 * each * math.sqrt(16 / 9) for each in (20, 20, 40)], rel=0.15)


def test_partners_by_chance_of_a_long_list_are_those_of_some_of_its_frames(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(7)
    frame = np.repeat(np.arange(400), 30)
    one, other = (
        points_of(rows_of(rng.random((12_000, 3)) * [12.0, 12.0, 1.0], frame, np.full((12_000, 3), 0.01)))
        for _ in range(2)
    )
    whole = chance_pairs(one.xy, one, other, 0.3, np.random.default_rng(1))
    monkeypatch.setattr("deepstorm3d.calibration.registration.pairing._COUNTED", 3000)
    some = chance_pairs(one.xy, one, other, 0.3, np.random.default_rng(1))
    assert whole > 400 and some == pytest.approx(whole, rel=0.1) and some != whole


def test_a_watcher_is_told_each_step_and_can_stop_it():
    first, second = (ChannelList(each) for each in TwoChannels(200, seed=4).lists())
    watch = Recorder()
    register_lists(first, second, watch=watch)
    assert watch.done == sorted(watch.done) and watch.steps[-1][:2] == (4, 4)
    assert any("fitting" in note for _, _, note in watch.steps)
    with pytest.raises(Interrupted):
        register_lists(first, second, watch=Recorder(stop_at=3))
