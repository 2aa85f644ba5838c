"""Molecules that were found in pieces, or as one with a neighbour, and changes of the list that are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import Scene
from test_fitting_sites import joint_fit, movie, single_frames, true_sites
from test_fitting_sites_arrangements import PAIR, frames_of
from torch import Tensor

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites import selection
from deepstorm3d.fitting.sites.arrangements import Arrangement, pairs_for_spots, without_site
from deepstorm3d.fitting.sites.attempts import Attempts
from deepstorm3d.fitting.sites.charts import COARSE, Charts
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import Landscape
from deepstorm3d.fitting.sites.divisions import divisions
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.looks import dark_neighbours
from deepstorm3d.fitting.sites.neighbourhood import images_of
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.trials import LOOK, OverFrames, Tried, tried
from deepstorm3d.fitting.sites.unions import unions

PRICE = 25.0
CENTRE = torch.tensor([[1.5, 1.55, 0.5]])


def rules(frames: int) -> OverFrames:
    return OverFrames(PRICE, 1e-3, torch.ones(frames))


def in_pieces(made: Scene, likelihood: Likelihood, off_um: float) -> tuple[Sites, Tried]:
    """Each look a molecule of its own, one after the other to the left and to the right, and what unions make
    of it."""
    frames, state = frames_of(made, likelihood), made.state
    site = torch.arange(len(state))
    place = state.xyz.double() + off_um * torch.tensor([1.0, 0.0, 0.0]) * (site % 2 * 2 - 1)[:, None]
    sites = climb_sites(frames, replace(true_sites(made), place=place, site=site)).sites
    wanted = unions(sites, torch.full((len(sites),), 100.0).double(), 150.0, PRICE - LOOK, 1e-3)
    return sites, tried(frames, sites, images_of(frames, sites), wanted, rules(sites.images))


def test_pieces_of_a_molecule_at_rest_become_one_site() -> None:
    made = movie(CENTRE, [0, 0, 0], [0, 1, 2], [600.0] * 3)
    sites, after = in_pieces(made, made.noisy(1), 0.05)
    assert len(sites) == 3 and len(after.sites) == 1 and after.sites.image.tolist() == [0, 1, 2]
    assert float((after.sites.place[0, :3] - CENTRE[0]).abs().max()) < 0.06


def test_sites_that_bring_nothing_are_tried_where_they_are() -> None:
    made = movie(torch.cat([CENTRE, CENTRE + 0.05]), [0, 1], [0, 1], [600.0] * 2)
    (one,) = unions(true_sites(made), torch.zeros(2).double(), 150.0, PRICE - LOOK, 1e-3)
    torch.testing.assert_close(one.moved_to[0, :3], CENTRE[0].double() + 0.025)


def test_looks_of_a_molecule_that_moves_become_no_site() -> None:
    step = torch.tensor([0.12, 0.0, 0.0])
    for seed in range(4):
        made = movie(torch.cat([CENTRE, CENTRE + step]), [0, 1], [0, 1], [3000.0] * 2)
        _, after = in_pieces(made, made.noisy(seed), 0.0)
        assert not after.made and len(after.vain) == 1
    # They would cost less as one molecule than as two: the tie alone forbids it.
    made = movie(torch.cat([CENTRE, CENTRE + 0.5 * step]), [0, 1], [0, 1], [1500.0] * 2)
    likelihood = made.noisy(5)
    sites, after = in_pieces(made, likelihood, 0.0)
    free = [replace(one, least=0.0) for one in after.vain]
    frames = frames_of(made, likelihood)
    assert free and tried(frames, sites, images_of(frames, sites), free, rules(2)).made


def test_pieces_of_one_frame_and_far_pieces_that_bring_little_are_tried_too() -> None:
    place = torch.tensor([[1.2, 1.5, 0.4], [1.3, 1.5, 0.6], [1.9, 1.5, 0.5], [1.2, 1.4, 0.5]])
    sites = true_sites(movie(place, [0, 1, 2, 3], [0, 0, 1, 4], [1000.0] * 4))
    brings = torch.tensor([100.0, 200.0, 100.0, 100.0]).double()
    pairs = unions(sites, brings, 150.0, 23.0, 1e-3)
    # The third is far from the second, which brings much; the last shines three frames later.
    assert [(one.moved.tolist(), one.gone.tolist(), one.image.tolist()) for one in pairs] == [
        ([1], [0], []),
        ([0], [2], [1]),
    ]
    torch.testing.assert_close(pairs[0].moved_to[0], (sites.place[0] + 2 * sites.place[1]) / 3)
    assert pairs[0].least == 0 and 23 - 17 < pairs[1].least < 23 - 16
    loose = replace(sites, loose=torch.tensor([True, False, False, False]))
    assert not unions(loose, brings, 150.0, 23.0, 1e-3)


def test_all_pieces_around_one_are_tried_together() -> None:
    place = CENTRE + torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]])
    sites = true_sites(movie(place, [0, 1, 2], [0, 1, 3], [1000.0, 3000.0, 1000.0]))
    brings = torch.tensor([10.0, 30.0, 10.0]).double()
    whole = [one for one in unions(sites, brings, 5.0, 23.0, 1e-3) if len(one.gone) == 2]
    assert len(whole) == 1 and whole[0].moved.tolist() == [1]
    # The dark frame between them is one of its frames.
    assert whole[0].image.tolist() == [0, 2, 3]
    torch.testing.assert_close(
        whole[0].photons, torch.tensor([1000.0, 2500 / 3, 1000.0]).double(), rtol=1e-5, atol=0
    )


def test_two_molecules_that_shine_in_the_same_frames_are_told_apart_by_all_of_them() -> None:
    pair = CENTRE + torch.tensor([[0.08, 0.06, 0.0], [-0.08, -0.06, 0.0]])
    made = movie(pair, [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, [1500.0] * 6)
    one = movie(CENTRE, [0, 0, 0], [0, 1, 2], [3000.0] * 3)
    likelihood = made.noisy(3)
    found = SiteFit(replace(joint_fit(made), rounds=1))(single_frames(one, likelihood), likelihood)
    rows = found.localizations
    assert rows.molecule is not None and rows.frame.tolist() == [0, 0, 1, 1, 2, 2]
    assert rows.molecule.tolist() == [0, 1] * 3
    far = (rows.xyz[:2, None] - pair).norm(dim=2)
    assert float(far.min(1).values.max()) < 0.06 and sorted(far.argmin(1).tolist()) == [0, 1]


def test_the_gain_of_a_division_is_that_of_the_fit_of_both_in_all_frames() -> None:
    pair = CENTRE + torch.tensor([[0.07, 0.07, 0.0], [-0.07, -0.07, 0.0]])
    one = movie(CENTRE, [0, 0, 0], [0, 1, 2], [2400.0] * 3)
    made = movie(pair, [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, [1200.0] * 6)
    for seed in range(3):
        frames = frames_of(made, made.noisy(seed))
        alone, both = (climb_sites(frames, true_sites(each)) for each in (one, made))
        found = divisions(frames, alone.sites, 0.0, torch.zeros(1, dtype=torch.bool))
        torch.testing.assert_close(found.half.abs(), torch.tensor([[0.07, 0.07, 0.0]]).double())
        assert abs(float(found.gain) - (alone.cost - both.cost)) < 0.25 * (alone.cost - both.cost)


def test_a_fit_of_the_same_list_is_no_change() -> None:
    made = movie(PAIR, [0, 0, 1], [0, 1, 1], [3000.0, 2000.0, 2500.0])
    frames = frames_of(made, made.noisy(4))
    sites = climb_sites(frames, true_sites(made)).sites
    # Not quite at the optimum, so that any fit gains.
    sites = replace(sites, photons=1.05 * sites.photons)
    nobody, dark = torch.zeros(0, dtype=torch.int64), torch.tensor([0])
    look = Arrangement(
        sites.place[1, :2],
        nobody,
        nobody,
        sites.place[:0],
        sites.place[:0],
        torch.tensor([1]),
        dark,
        torch.tensor([50.0]).double(),
    )
    after = tried(frames, sites, images_of(frames, sites), [look], rules(2))
    assert not after.made and after.vain == [look]
    land = Landscape(frames, sites)
    gone = Landscape(frames, climb_sites(frames, sites).sites)
    assert sum(t.deviance for t in land.terms) > sum(t.deviance for t in gone.terms) + 1


@pytest.mark.parametrize("rounds", [1, 80])
def test_the_rounds_end_when_changes_lower_the_cost_no_more(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks that trials find and the test of single looks removes again; also where rounds run out."""
    calls = 0

    class Restless(Attempts):
        def __call__(self, land: Landscape, *, settled: bool) -> Sites | None:
            nonlocal calls
            calls += 1
            dark = torch.tensor([0])
            return land.sites.with_looks(torch.tensor([1]), dark, torch.tensor([5.0]))

    monkeypatch.setattr(selection, "Attempts", Restless)
    monkeypatch.setattr(selection, "_ROUNDS", rounds)
    made = movie(torch.cat([CENTRE - 0.3, CENTRE + 0.3]), [0, 0, 1], [0, 1, 1], [3000.0, 2000.0, 2500.0])
    frames = frames_of(made, made.noisy(4))
    charts = Charts(frames, COARSE)
    start = climb_sites(frames, true_sites(made), charts)
    after, _ = selection.Selection(PRICE, 1, 1e-3, 1e-3).improve(charts, start)
    assert after.sites.site.tolist() == [0, 0, 1] and calls <= 3


def test_light_that_goes_to_another_molecule_is_not_remembered_as_removed() -> None:
    spot = torch.cat([PAIR, PAIR.mean(0)[None]])
    sites = true_sites(movie(spot, [0, 2, 1], [0, 1, 2], [3000.0] * 3))
    dark = list(zip(*map(Tensor.tolist, dark_neighbours(sites)), strict=True))
    (both,) = pairs_for_spots(sites, dark)
    assert len(both.gone) and not both.removed(sites).any()
    # Of a molecule left out the looks in frames in which nobody gets its light are.
    long = true_sites(movie(spot, [0, 2, 2, 1], [0, 1, 3, 2], [3000.0] * 4))
    left = without_site(long, 2, [(0, 1), (1, 1)])
    assert left.removed(long).tolist() == [False, False, False, True]
    assert Arrangement.removal(sites, 0).removed(sites).tolist() == [True, False, False]
