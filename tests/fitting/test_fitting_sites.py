"""Molecules that shine through several frames: one position, its bound, its ties and its looks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, Scene, table
from torch import Tensor

from deepstorm3d.analysis.linking import LinkRule, link_rows
from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import Landscape, movie_of, site_bounds
from deepstorm3d.fitting.sites.fit import SiteFit, SitesFound
from deepstorm3d.fitting.sites.looks import gain_of_looks, needed_gain
from deepstorm3d.fitting.sites.shared_information import shared_information
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.ties import splittings
from deepstorm3d.fitting.state import JointState

LEVEL = 20.0
SIZE = (31, 35)
BOUNDS = Bounds(DEPTH)
PIXEL = MICROSCOPE.pixel_um


def movie(
    place: Tensor, site: list[int], frame: list[int], photons: list[float], size: tuple[int, int] = SIZE
) -> Scene:
    """Looks at the places (S, 3) µm of their sites, on a level background, through the compiled code."""
    background = SplineBackground(size, math.inf, torch.zeros(1))
    frames = max(frame) + 1
    order = torch.argsort(torch.tensor(frame), stable=True)
    state = JointState(
        place[torch.tensor(site)[order]].float(),
        torch.tensor(photons)[order],
        torch.tensor(frame)[order],
        torch.full((frames, 1, 1), LEVEL),
        origin=torch.tensor(site)[order],
    )
    return Scene(table(dtype=torch.float32), state, background)


def apart(number: int) -> Tensor:
    """Places of molecules in frames of 62×62 px, four of them in a frame, far from each other: (number, 3)
    µm."""
    four = torch.tensor([[15.2, 15.4, 3.0], [46.1, 15.9, 5.0], [15.4, 46.3, 7.0], [46.2, 45.8, 4.0]])
    return (four * torch.tensor([PIXEL, PIXEL, 0.1])).repeat(-(-number // 4), 1)[:number]


def true_sites(made: Scene) -> Sites:
    state, site = made.state, made.state.origin
    assert site is not None
    place = torch.zeros(int(site.max()) + 1, 3, dtype=torch.float64)
    place[site] = state.xyz.double()
    rows = torch.arange(len(site))
    at_rest = torch.zeros(len(site), dtype=torch.bool)
    return Sites(
        place, site, state.frame, state.photons.double(), rows, tuple(state.coefficients.double()), at_rest
    )


def single_frames(made: Scene, likelihood: Likelihood, seed: int = 0) -> Localizations:
    """The list of the joint fit of single frames, with all looks and no others."""
    generator = torch.Generator().manual_seed(seed)
    xyz = made.state.xyz + 0.03 * torch.randn(made.state.xyz.shape, generator=generator)
    xyz[:, 2] = xyz[:, 2].clamp(*DEPTH)
    start = Localizations.proposals(xyz, made.state.frame, torch.ones(len(xyz)))
    return joint_fit(made)(start, likelihood)


def joint_fit(made: Scene) -> JointFit:
    return JointFit(
        made.psf, made.psf, BOUNDS, DEPTH, spacing_px=math.inf, search_spacing_px=math.inf, rounds=0
    )


def fitted(made: Scene, likelihood: Likelihood) -> SitesFound:
    return SiteFit(joint_fit(made))(single_frames(made, likelihood), likelihood)


def crowd(seed: int, frames: int = 6, size: int = 61) -> Scene:
    """Nine molecules a frame in 61×61 px, each lit for three frames on average."""
    generator = torch.Generator().manual_seed(seed)
    place, site, frame, photons = [], [], [], []
    for start in range(-4, frames):
        for _ in range(3):
            share = torch.rand(4, generator=generator).tolist()
            side = size * PIXEL
            life = 1 + int(torch.poisson(torch.tensor(2.0), generator=generator))
            lit = [f for f in range(start, start + life) if 0 <= f < frames]
            if lit:
                site += [len(place)] * len(lit)
                frame += lit
                photons += [1500 + 2000 * share[3]] * len(lit)
                place.append([(0.1 + 0.8 * share[0]) * side, (0.1 + 0.8 * share[1]) * side, 0.1 + share[2]])
    return movie(torch.tensor(place), site, frame, photons, (size, size))


def test_two_equal_frames_have_the_bound_of_one_over_the_root_of_two_and_the_fit_reaches_it() -> None:
    place = torch.tensor([[16 * PIXEL, 15.3 * PIXEL, 0.4]])
    one, two = movie(place, [0], [0], [3000.0]), movie(place, [0, 0], [0, 1], [3000.0, 3000.0])
    bound = [
        site_bounds(movie_of(made.psf, Likelihood(made.image()), math.inf, BOUNDS), true_sites(made)).place
        for made in (one, two)
    ]
    torch.testing.assert_close(bound[1], bound[0] / math.sqrt(2), rtol=1e-4, atol=0)
    found = fitted(two, two.noisy(0)).localizations
    assert found.molecule is not None and found.molecule.tolist() == [0, 0]
    assert torch.equal(found.xyz[0], found.xyz[1]) and torch.equal(found.sigma_xyz[0], found.sigma_xyz[1])
    torch.testing.assert_close(found.sigma_xyz[0].double(), bound[1][0], rtol=0.15, atol=0)
    # 80 draws of the noise at a time: four molecules in every two frames.
    number = 80
    looks = [(k, 2 * (k // 4) + step, 3000.0) for k in range(number) for step in range(2)]
    many = movie(apart(number), *map(list, zip(*looks, strict=True)), size=(62, 62))
    taken = movie_of(many.psf, many.noisy(1), math.inf, BOUNDS)
    sites = climb_sites(taken, true_sites(many)).sites
    ratio = ((sites.place - apart(number)) / site_bounds(taken, true_sites(many)).place).square().mean(0)
    # The mean of 80 squares of a unit normal is 1 ± 0.16; three σ each way.
    assert bool((ratio > 0.52).all()) and bool((ratio < 1.48).all()), ratio


def test_a_single_frame_has_the_result_of_the_joint_fit() -> None:
    made = crowd(1)
    made = replace(made, state=made.state.select(torch.tensor([2])))
    likelihood = made.noisy(4)
    alone, sites = single_frames(made, likelihood), fitted(made, likelihood).localizations
    order = torch.argsort(alone.xyz[:, 0])
    alone = alone[order]
    assert len(sites) == len(alone) > 5
    assert float(((sites.xyz - alone.xyz) / alone.sigma_xyz).abs().max()) < 0.05
    assert float(((sites.photons - alone.photons) / alone.sigma_photons).abs().max()) < 0.05
    torch.testing.assert_close(sites.sigma_xyz, alone.sigma_xyz, rtol=0.01, atol=0)
    torch.testing.assert_close(sites.sigma_photons, alone.sigma_photons, rtol=0.01, atol=0)
    torch.testing.assert_close(sites.sigma_background, alone.sigma_background, rtol=0.01, atol=0)
    torch.testing.assert_close(sites.fit_quality, alone.fit_quality, rtol=0.01, atol=0)


def test_in_dense_frames_sites_beat_the_mean_of_linked_rows_and_their_sigma_are_true() -> None:
    ours, linked, pulls, bounds = [], [], [], []
    for seed in range(4):
        made = crowd(seed)
        likelihood = made.noisy(seed)
        single = single_frames(made, likelihood)
        table_of_sites = SiteFit(joint_fit(made))(single, likelihood).localizations
        track = link_rows(single, LinkRule())
        weight = single.sigma_xyz.double().square().reciprocal()
        zero = weight.new_zeros(int(track.max()) + 1, 3)
        mean = zero.index_add(0, track, weight * single.xyz) / zero.index_add(0, track, weight)
        averaged = replace(single, xyz=mean[track].float())
        bound = site_bounds(movie_of(made.psf, likelihood, math.inf, BOUNDS), true_sites(made)).place
        for found, errors in ((table_of_sites, ours), (averaged, linked)):
            row, off = nearest(made.state, found)
            errors.append(off)
            if found is table_of_sites:
                pulls.append(off / found.sigma_xyz[row])
                assert made.state.origin is not None
                bounds.append(bound[made.state.origin])
    rms = [torch.cat(errors).square().mean().sqrt() for errors in (ours, linked)]
    assert float(rms[0]) < 0.97 * float(rms[1])
    assert float(rms[0]) < 1.15 * float(torch.cat(bounds).square().mean().sqrt())
    assert 0.8 < float(torch.cat(pulls).square().mean().sqrt()) < 1.2


def nearest(truth: JointState, found: Localizations) -> tuple[Tensor, Tensor]:
    """The row of the same frame nearest to each molecule of the truth, and its error, µm."""
    far = torch.cdist(truth.xyz, found.xyz) + 1e3 * (truth.frame[:, None] != found.frame)
    least, row = far.min(1)
    assert float(least.max()) < 0.2
    return row, found.xyz[row] - truth.xyz


def test_a_molecule_that_moves_is_divided_and_one_at_rest_is_not() -> None:
    moving = torch.tensor([[1.4 + 0.05 * step, 1.5, 0.4] for step in range(5)])
    made = movie(moving, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [3000.0] * 5)
    # As if all were one molecule to begin with.
    start = replace(true_sites(made), place=moving.mean(0)[None].double(), site=torch.zeros(5).long())
    frames = movie_of(made.psf, made.noisy(1), math.inf, BOUNDS)
    tied = climb_sites(frames, start)
    land = Landscape(frames, tied.sites)
    divided = splittings(land, shared_information(land), 1e-3)
    assert [part.site for part in divided] == [0]
    assert divided[0].looks.tolist() in ([2, 3, 4], [3, 4])
    found = fitted(made, made.noisy(1)).localizations
    assert float(((found.xyz - moving) / found.sigma_xyz).abs().max()) < 4
    resting = movie(moving[:1], [0] * 5, [0, 1, 2, 3, 4], [3000.0] * 5)
    assert fitted(resting, resting.noisy(1)).localizations.molecule.tolist() == [0] * 5  # pyright: ignore


def test_a_molecule_at_rest_is_divided_as_rarely_as_is_said() -> None:
    bright = [2000.0, 4000.0, 3000.0, 2500.0]
    looks = [(k, 4 * (k // 4) + step, bright[step]) for k in range(80) for step in range(4)]
    made = movie(apart(80), *map(list, zip(*looks, strict=True)), size=(62, 62))
    taken = movie_of(made.psf, made.noisy(2), math.inf, BOUNDS)
    land = Landscape(taken, climb_sites(taken, true_sites(made)).sites)
    # Its five alternatives are not independent: at most 0.2 · 80 ± 3.6 are divided.
    assert 2 <= len(splittings(land, shared_information(land), 0.2)) <= 26
    assert len(splittings(land, shared_information(land), 1e-3)) <= 1


def test_dim_first_and_last_looks_are_found_that_single_frames_do_not_show() -> None:
    # Each molecule is bright for two frames, with a dim one before and after; then it is dark for four frames.
    dim, bright, number = 330.0, 3000.0, 12
    looks = [
        (k, 8 * (k // 4) + 1 + step, (dim, bright, bright, dim)[step])
        for k in range(number)
        for step in range(4)
    ]
    made = movie(apart(number), *map(list, zip(*looks, strict=True)), size=(62, 62))
    likelihood = made.noisy(1)
    known = replace(made, state=made.state.rows(made.state.photons > dim))
    found = fitted(known, likelihood)
    rows = found.localizations
    assert found.removed == found.split == 0 and found.filled == len(rows) - 2 * number
    true = int(torch.isin(rows.frame, made.state.frame).sum()) - 2 * number
    # The photons of a dim look are five times their σ; a new molecule has a price that these do not reach.
    assert true >= 2 * number - 2
    assert found.filled - true <= 1
    assert rows.molecule is not None and len(rows.molecule.unique()) == number
    fourth = rows.xyz[rows.molecule == 3]
    assert len(fourth) >= 3 and torch.equal(fourth, fourth[:1].expand_as(fourth))


def test_a_row_that_the_other_frames_make_needless_is_removed() -> None:
    place = torch.tensor([[1.4, 1.5, 0.4], [1.6, 1.2, 0.6]])
    made = movie(place, [0, 0, 0], [0, 1, 2], [3000.0] * 3)
    likelihood = made.noisy(2)
    single = single_frames(made, likelihood)
    # A spot that is not there, as a search finds it beside a spot that is fitted badly.
    wrong = replace(single[1:2], xyz=place[1:], photons=torch.tensor([200.0]))
    found = SiteFit(joint_fit(made))(Localizations.concat([single, wrong]), likelihood)
    assert found.removed == 1 and found.localizations.frame.tolist() == [0, 1, 2]
    # A molecule of one frame that is there stays.
    both = movie(place, [0, 0, 0, 1], [0, 1, 2, 1], [3000.0] * 4)
    assert len(fitted(both, both.noisy(2)).localizations) == 4


def test_a_close_molecule_stays_that_its_neighbour_cannot_replace_though_its_photons_are_vague() -> None:
    place = torch.tensor([[1.45, 1.5, 0.5], [1.60, 1.5, 0.6]])
    made = movie(place, [0, 1, 0], [0, 0, 1], [3000.0, 1500.0, 3000.0])
    for seed in range(4):
        found = fitted(made, made.noisy(seed))
        rows = found.localizations
        # Its photons are 3 to 4 σ from 0, but without it the deviance rises by 30 to 60: σ holds near the fit.
        assert found.removed == 0 and rows.frame.tolist() == [0, 0, 1]
        assert 2 < float(rows.photons[1] / rows.sigma_photons[1]) < 4.5


def test_looks_are_found_in_the_dark_as_often_as_is_said() -> None:
    place = torch.tensor([[1.2, 1.5, 0.4], [1.5, 1.7, 0.6], [2.6, 1.9, 0.8]])
    made = movie(place, [0, 1, 2, 0], [0, 0, 0, 99], [3000.0, 3000.0, 3000.0, 0.5])
    frames = movie_of(made.psf, made.noisy(5), math.inf, BOUNDS)
    land = Landscape(frames, climb_sites(frames, true_sites(made)).sites.of_looks(torch.tensor([0, 1, 2])))
    site, frame = torch.arange(3).repeat(98), torch.arange(1, 99).repeat_interleave(3)
    gain = gain_of_looks(land, site, frame).gain
    assert needed_gain(0.00135) == pytest.approx(9.0, abs=0.05)
    for share in (0.3, 0.1, 0.03):
        wrong, expected = int((gain > needed_gain(share)).sum()), share * len(gain)
        assert abs(wrong - expected) < 3.5 * math.sqrt(expected), (share, wrong, expected)


def test_neither_the_threads_nor_the_order_of_the_rows_change_a_bit() -> None:
    made = crowd(2)
    likelihood = made.noisy(2)
    single = single_frames(made, likelihood)
    fit = SiteFit(joint_fit(made))
    before = torch.get_num_threads()
    try:
        tables = []
        for threads, rows in ((1, torch.arange(len(single))), (3, torch.arange(len(single)).flip(0))):
            torch.set_num_threads(threads)
            tables.append(fit(single[rows], likelihood).localizations)
    finally:
        torch.set_num_threads(before)
    for name, column in tables[0].columns().items():
        assert torch.equal(column, tables[1].columns()[name]), name


def test_what_is_known_from_earlier_frames_counts_as_those_frames() -> None:
    place = torch.tensor([[1.4, 1.5, 0.4], [1.6, 1.8, 0.7]])
    made = movie(place, [0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3], [2500.0] * 8)
    likelihood = made.noisy(3)
    whole = movie_of(made.psf, likelihood, math.inf, BOUNDS)
    everything = climb_sites(whole, true_sites(made))
    parts = []
    for frames in (torch.arange(2), torch.arange(2, 4)):
        light = likelihood.select(frames)
        start = true_sites(replace(made, state=made.state.select(frames)))
        if parts:
            before, land = parts[0]
            known = torch.linalg.inv(land.covariance)
            start = replace(start, before=before.sites.place, knowledge=known)
        one = movie_of(made.psf, light, math.inf, BOUNDS)
        fit = climb_sites(one, start)
        parts.append((fit, Landscape(one, fit.sites)))
    sigma = site_bounds(whole, everything.sites).place
    assert float(((parts[1][0].sites.place - everything.sites.place) / sigma).abs().max()) < 0.1
    torch.testing.assert_close(parts[1][1].bound().place, sigma, rtol=0.02, atol=0)


def test_frames_without_molecules_and_a_list_without_rows() -> None:
    made = movie(torch.tensor([[1.4, 1.5, 0.4]]), [0], [1], [3000.0])
    likelihood = made.noisy(0)
    found = fitted(made, likelihood)
    assert found.localizations.frame.tolist() == [1] and len(found.misfit) == 2
    nothing = SiteFit(joint_fit(made))(single_frames(made, likelihood)[:0], likelihood)
    assert len(nothing.localizations) == 0 and nothing.localizations.molecule is not None
    assert bool((nothing.misfit > 0.8).all())


def test_the_reference_in_pytorch_finds_the_same() -> None:
    made = crowd(3, frames=2)
    likelihood = made.noisy(3)
    single = single_frames(made, likelihood)
    compiled = SiteFit(joint_fit(made))(single, likelihood).localizations
    double = replace(made, psf=table(dtype=torch.float64))
    light = Likelihood(likelihood.frames.double())
    columns = {
        name: value.double() if value.is_floating_point() else value for name, value in single.columns().items()
    }
    plain = SiteFit(joint_fit(double))(replace(single, **columns), light).localizations
    assert torch.equal(plain.frame, compiled.frame)
    assert float(((plain.xyz - compiled.xyz) / plain.sigma_xyz).abs().max()) < 0.05
    torch.testing.assert_close(plain.sigma_xyz.float(), compiled.sigma_xyz, rtol=0.01, atol=0)
