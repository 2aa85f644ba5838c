"""Spots that are two molecules, and molecules that no single frame shows: what several frames know of them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from fitting_scenes import DEPTH, Scene
from test_fitting_sites import BOUNDS, SIZE, joint_fit, movie, single_frames, true_sites
from torch import Tensor

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.sites.arrangements import looks_beside, pairs_for_spots, without_site
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import movie_of
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.looks import dark_neighbours
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.neighbourhood import Neighbourhood, images_of
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.sums import ChannelSums
from deepstorm3d.fitting.sites.unseen import UnseenMolecules

# Two molecules 200 nm apart, of which the first frame shows one and the last frame the other.
PAIR = torch.tensor([[1.45, 1.5, 0.4], [1.60, 1.6, 0.5]])


def pair() -> Scene:
    return movie(PAIR, [0, 0, 1, 1], [0, 1, 1, 2], [3000.0, 2000.0, 2500.0, 3000.0])


def frames_of(made: Scene, likelihood: Likelihood) -> Movie:
    return movie_of(made.psf, likelihood, math.inf, BOUNDS)


def whole_deviance(frames: Movie, sites: Sites) -> float:
    slices = sites.slices()
    each = [frames.deviance(k, sites.of_image(k, rows, frames.dtype)) for k, rows in enumerate(slices)]
    return sum(each) + float(sites.penalty())


def test_a_spot_between_two_molecules_of_other_frames_becomes_both() -> None:
    made = pair()
    likelihood = made.noisy(1)
    one_spot = replace(made, state=made.state.rows(torch.tensor([0, 1, 3])))
    single = single_frames(one_spot, likelihood)
    # In the middle frame the single-frame fit has one spot, 7 σ from either of the two.
    assert single.frame.tolist() == [0, 1, 2]
    assert float(((single.xyz[1] - PAIR) / single.sigma_xyz[1]).square().sum(1).sqrt().min()) > 7
    found = SiteFit(joint_fit(made))(single, likelihood).localizations
    assert found.molecule is not None and found.molecule.tolist() == [0, 0, 1, 1]
    assert found.frame.tolist() == [0, 1, 1, 2]
    assert float(((found.xyz - PAIR[[0, 0, 1, 1]]) / found.sigma_xyz).abs().max()) < 3.5
    assert float(((found.photons - made.state.photons) / found.sigma_photons).abs().max()) < 3.5


def test_a_spot_beside_a_molecule_of_another_frame_becomes_both() -> None:
    # Only the first of the two is ever seen alone.
    made = movie(PAIR, [0, 0, 1], [0, 1, 1], [3000.0, 2500.0, 2500.0])
    likelihood = made.noisy(2)
    single = single_frames(replace(made, state=made.state.rows(torch.tensor([0, 1]))), likelihood)
    found = SiteFit(joint_fit(made))(single, likelihood).localizations
    assert found.molecule is not None and found.frame.tolist() == [0, 1, 1]
    order = [0, 1, 2] if found.molecule[1] == 0 else [0, 2, 1]
    assert found.molecule[order].unique_consecutive(return_counts=True)[1].tolist() == [2, 1]
    assert float(((found.xyz[order] - PAIR[[0, 0, 1]]) / found.sigma_xyz[order]).abs().max()) < 3.5


def test_one_molecule_stays_one_beside_another_of_the_frame_before() -> None:
    both = 0
    for seed in range(12):
        made = movie(PAIR, [0, 1], [0, 1], [3000.0, 3000.0])
        likelihood = made.noisy(seed)
        both += len(SiteFit(joint_fit(made))(single_frames(made, likelihood), likelihood).localizations) - 2
    assert both == 0


def test_arrangements_are_proposed_where_a_spot_may_be_two() -> None:
    spot = torch.cat([PAIR, PAIR.mean(0)[None]])
    sites = true_sites(movie(spot, [0, 2, 1], [0, 1, 2], [3000.0] * 3))
    dark = list(zip(*map(Tensor.tolist, dark_neighbours(sites)), strict=True))
    beside = looks_beside(sites, dark)
    assert [(one.site.tolist(), one.moved.tolist()) for one in beside if one.image.tolist() == [1]] == [
        ([0], [2]),
        ([1], [2]),
    ]
    # The spot begins as far on the other side.
    torch.testing.assert_close(beside[0].moved_to[0], 2 * sites.place[2] - sites.place[0])
    (both,) = pairs_for_spots(sites, dark)
    assert both.gone.tolist() == [1] and both.site.tolist() == [0, 1] and both.image.tolist() == [1, 1]
    torch.testing.assert_close(both.photons, torch.tensor([1500.0, 1500.0]).double(), rtol=1e-5, atol=0)


def test_a_molecule_is_left_out_together_with_looks_of_others_that_may_have_its_light() -> None:
    spot = torch.cat([PAIR, PAIR.mean(0)[None], PAIR[:1] + torch.tensor([1.0, 0.0, 0.0])])
    sites = true_sites(movie(spot, [0, 2, 1, 3], [0, 1, 2, 0], [3000.0, 2000.0, 3000.0, 3000.0]))
    dark = list(zip(*map(Tensor.tolist, dark_neighbours(sites)), strict=True))
    one = without_site(sites, 2, dark)
    assert one.gone.tolist() == [sites.site.tolist().index(2)] and not len(one.new)
    assert one.site.tolist() == [0, 1] and one.image.tolist() == [1, 1]
    torch.testing.assert_close(one.photons, torch.tensor([1000.0, 1000.0]).double(), rtol=1e-5, atol=0)
    # Nobody is near the fourth one.
    assert not len(without_site(sites, 3, dark).site)


def test_a_change_in_a_neighbourhood_gains_as_much_in_the_whole_movie() -> None:
    far = torch.tensor([[1.4, 1.5, 0.4], [1.6, 1.9, 0.6], [4.9, 4.8, 0.5]])
    made = movie(far, [0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 0, 2], [3000.0] * 6, size=(61, 61))
    frames = frames_of(made, made.noisy(3))
    sites = climb_sites(frames, true_sites(made)).sites
    known = torch.eye(9).double() * 1e3 + 200
    sites = replace(sites, before=sites.place + 0.01, knowledge=known)
    near = Neighbourhood(
        frames, sites, images_of(frames, sites), far[0, :2].double(), torch.tensor([0]), torch.tensor([0])
    )
    assert near.free.tolist() == [0] and near.images.tolist() == [0, 1]
    moved = replace(near.sites, place=near.sites.place + torch.tensor([0.03, -0.02, 0.05]))
    place = sites.place.clone()
    place[0] = moved.place[0]
    after = replace(sites, place=place)
    there = whole_deviance(frames, after) - whole_deviance(frames, sites)
    here = whole_deviance(near.movie, moved) - whole_deviance(near.movie, near.sites)
    assert there > 10
    assert abs(here - there) < 0.01 * there


def test_a_molecule_too_dim_for_any_single_frame_is_found_in_all_of_them() -> None:
    place = torch.tensor([[1.3, 1.4, 0.4], [2.2, 2.1, 0.6]])
    dim = 130.0
    made = movie(place, [0, 0] + [1] * 8, [0, 1, *range(8)], [3000.0] * 2 + [dim] * 8)
    likelihood = made.noisy(4)
    single = single_frames(replace(made, state=made.state.rows(made.state.photons > dim)), likelihood)
    search = ChannelSums([MatchedFilter(made.psf, DEPTH, SIZE, likelihood.frames)])
    rows = SiteFit(replace(joint_fit(made), rounds=1))(single, likelihood).localizations
    assert rows.molecule is not None and len(rows.molecule.unique()) == 2
    faint = rows.xyz[rows.photons < 600]
    assert len(faint) >= 6 and torch.equal(faint, faint[:1].expand_as(faint))
    sigma = rows.sigma_xyz[rows.photons < 600][0]
    assert float(((faint[0] - place[1]) / sigma).abs().max()) < 3.5
    # One frame alone: its gain is far below the price of a molecule.
    frames = frames_of(made, likelihood)
    known = climb_sites(frames, true_sites(made).of_looks((made.state.photons > dim).nonzero()[:, 0])).sites
    alone = frames_of(made, likelihood.select(torch.tensor([4])))
    none = replace(known, coefficients=known.coefficients[4:5]).of_looks(torch.zeros(0).long())
    price = 20.0
    even = torch.ones(8)
    assert not UnseenMolecules(search, price)(alone, images_of(alone, none), torch.ones(1))
    best = UnseenMolecules(search, price)(frames, images_of(frames, known), even)[0]
    assert best.last - best.first + 1 >= 5 and float((best.xyz[:2] - place[1, :2]).norm()) < 0.1


def test_nothing_is_found_in_noise() -> None:
    made = movie(torch.tensor([[1.4, 1.5, 0.4]]), [0], [29], [3000.0])
    likelihood = made.noisy(6)
    found = SiteFit(replace(joint_fit(made), rounds=1))(single_frames(made, likelihood), likelihood)
    assert found.localizations.frame.tolist() == [29]


def test_frames_with_a_wrong_gain_do_not_fill_with_molecules() -> None:
    made = movie(torch.tensor([[1.4, 1.5, 0.4]]), [0], [29], [3000.0])
    # Counts 2.5 times too large scatter 2.5 times as much as photons do.
    likelihood = Likelihood(2.5 * made.noisy(7).frames)
    single = single_frames(made, likelihood)
    assert len(single) == 1
    found = SiteFit(replace(joint_fit(made), rounds=1))(single, likelihood).localizations
    assert 29 in found.frame.tolist() and len(found) <= 2
