"""Molecules of which every channel has a known share of the light: one number of photons for all channels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import SIZE
from test_fitting_channels import (
    BOUNDS,
    LEVEL,
    after_candidates,
    apart,
    bent,
    candidates,
    channel,
    images,
    noisy,
    seen,
    true_sites,
)
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.known_shares import apart as apart_of
from deepstorm3d.fitting.sites.known_shares import in_common
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.watch import SILENT

SHARES = (0.3, 0.7)


def divided(place: Tensor, photons: float, shares: tuple[float, ...] = SHARES) -> Sites:
    """Sites of one frame with so many photons in all, a look in each channel."""
    return true_sites(place, [photons * share for share in shares])


def movie(lights: list[Likelihood], blur: bool = False) -> Movie:
    """Of two channels, the second one bent, deeper and with 0.7 of the light."""
    blurs = ((0.0, 1.0), (0.1, 0.9)) if blur else (None, None)
    first = channel(torch.float64, blur=blurs[0])
    second = channel(torch.float64, bent(), 0.1, blurs[1])
    channels = (replace(first, share=SHARES[0]), replace(second, share=SHARES[1]))
    return Movie(channels, BOUNDS, lights_of(lights), SILENT)


@pytest.mark.parametrize("blur", [False, True])
def test_the_gradient_and_the_information_are_those_of_one_number_of_photons(blur: bool) -> None:
    frames = torch.poisson(torch.full((2, *SIZE), 25.0).double(), generator=torch.Generator().manual_seed(1))
    made = movie([Likelihood(frame[None]) for frame in frames], blur)
    sites = divided(torch.tensor([[2.0, 1.8, 0.4], [2.4, 2.1, 0.6]]), 4000.0)
    if blur:
        sites = replace(sites, place=torch.cat([sites.place, torch.full((2, 1), 1.0).double()], 1))
    sites = in_common(sites, made)
    assert sites.blurs == blur and torch.allclose(sites.light, torch.full((2,), 4000.0).double())
    assert sites.images == len(made) == 1 and len(sites.site) == 2
    places, (rows,) = sites.place.numel(), sites.slices()

    def at(step: Tensor) -> Tensor:
        place = sites.place + step[:places].view_as(sites.place)
        level = sites.coefficients[0] + step[places + 2 :].view(1, -1)
        moved = replace(
            sites, place=place, photons=sites.photons + step[places : places + 2], coefficients=(level,)
        )
        return torch.cat(made.expected(0, moved.of_image(0, rows, made.dtype))).flatten()

    terms = made.terms(0, sites.of_image(0, rows, made.dtype))
    assert terms.matrix.shape == (places + 2 + 2, places + 2 + 2)
    slopes = []
    for unknown in range(len(terms.matrix)):
        step = torch.zeros(len(terms.matrix)).double()
        step[unknown] = 1e-2 if unknown >= places else 1e-5
        slopes.append((at(step) - at(-step)) / (2 * step[unknown]))
    slope = torch.stack(slopes)
    weight = 1 / at(torch.zeros(len(terms.matrix)).double())
    whole = (slope * weight) @ slope.mT
    scale = whole.diagonal().sqrt()
    found = terms.matrix / scale / scale[:, None]
    torch.testing.assert_close(found, whole / scale / scale[:, None], rtol=0, atol=2e-3)
    pull = slope @ (frames.flatten() * weight - 1)
    torch.testing.assert_close(terms.gradient / scale, pull / scale, rtol=0, atol=0.02)


def test_two_halves_of_the_light_tell_as_much_as_all_of_it_in_one_channel() -> None:
    place = apart(2)
    both = [replace(channel(), share=0.5)] * 2
    sites = divided(place, 5000.0, (0.5, 0.5))
    lights = noisy(images(both, sites), 0)
    known = Movie(tuple(both), BOUNDS, lights_of(lights), SILENT)
    halves = site_bounds(known, in_common(sites, known))
    one = true_sites(place, [5000.0], 2 * LEVEL)
    whole = site_bounds(Movie((channel(),), BOUNDS, lights_of(noisy(images([channel()], one), 0)), SILENT), one)
    torch.testing.assert_close(halves.place, whole.place, rtol=1e-3, atol=0)
    torch.testing.assert_close(halves.photons, whole.photons, rtol=1e-3, atol=0)
    # What is known can only help.
    free = Movie((channel(), channel()), BOUNDS, lights_of(lights), SILENT)
    assert bool((site_bounds(free, sites).place >= halves.place * (1 - 1e-4)).all())


def test_draws_of_the_noise_are_at_the_joint_bound_of_the_known_shares() -> None:
    channels = [replace(channel(), share=0.3), replace(channel(transform=bent(), depth_um=0.1), share=0.7)]
    looks, errors = divided(apart(4), 3500.0), []
    expected = images(channels, looks)
    for seed in range(30):
        made = Movie(tuple(channels), BOUNDS, lights_of(noisy(expected, seed)), SILENT)
        sites = in_common(looks, made)
        fitted, bound = climb_sites(made, sites).sites, site_bounds(made, sites)
        light = (fitted.photons - sites.photons) / bound.photons
        errors.append(torch.cat([(fitted.place - sites.place) / bound.place, light[:, None]], 1))
        back = apart_of(fitted, made)
        assert torch.allclose(back.photons.view(2, 4) / fitted.light, torch.tensor(SHARES).double()[:, None])
        again = in_common(back, made)
        for name in ("place", "site", "image", "photons", "origin"):
            torch.testing.assert_close(getattr(again, name), getattr(fitted, name))
        assert torch.equal(again.coefficients[0], fitted.coefficients[0])
    # The mean of 120 squares of a unit normal is 1 ± 0.13; three σ each way: x, y, z and the photons.
    ratio = torch.cat(errors).square().mean(0)
    assert ratio.shape == (4,)
    assert bool((ratio > 0.61).all()) and bool((ratio < 1.39).all()), ratio


def fit(share: float) -> CandidatesFit:
    return replace(after_candidates(), shares=(1 - share, share))


def test_from_candidates_the_list_has_the_photons_of_all_channels_and_their_sigma() -> None:
    place, errors, light, shares = apart(4), [], [], []
    for seed in range(8):
        lights, _ = seen(place, [0.4] * 4, seed)
        off = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        start = place + 0.05 * off / off.norm(dim=1, keepdim=True)
        wrong = torch.stack([start[1] + torch.tensor([0.1, 0.05, 0.1]), torch.tensor([2.6, 2.1, 0.5])])
        found = fit(0.4)(candidates(torch.cat([start[:3], wrong]), unlikely=2), lights)
        rows = found.localizations
        assert len(rows) == 4 and found.filled == 1 and found.removed == 2 and found.together == 4, found
        rows = rows[torch.cdist(place[:, :2], rows.xyz[:, :2]).argmin(1)]
        assert rows.share is not None and rows.sigma_share is not None
        errors.append((rows.xyz - place) / rows.sigma_xyz)
        light.append((rows.photons - 4000) / rows.sigma_photons)
        shares.append((rows.share - 0.4) / rows.sigma_share)
    ratio = torch.cat(errors).square().mean(0)
    # 32 squares of a unit normal have the mean 1 ± 0.25.
    assert bool((ratio > 0.3).all()) and bool((ratio < 1.8).all()), ratio
    for values in (light, shares):
        assert 0.3 < float(torch.cat(values).square().mean()) < 1.8


def test_one_candidate_for_two_molecules_is_divided_with_known_shares() -> None:
    place = torch.tensor([[2.5, 2.1, 0.35], [2.72, 2.1, 0.6]])
    lights, _ = seen(place, [0.5, 0.5], seed=4, total=6000.0)
    found = fit(0.5)(candidates(place.mean(0, keepdim=True)), lights)
    rows = found.localizations[torch.argsort(found.localizations.xyz[:, 0])]
    assert len(rows) == 2 and found.filled == 1
    assert float(((rows.xyz - place) / rows.sigma_xyz).abs().max()) < 4.5


def test_a_wrong_share_shows_in_the_shares_of_the_list() -> None:
    lights, _ = seen(apart(4), [0.3] * 4, seed=3)
    rows = fit(0.5)(candidates(apart(4)), lights).localizations
    assert rows.share is not None and rows.sigma_share is not None
    assert bool(((rows.share - 0.3).abs() < 4.5 * rows.sigma_share).all()), rows.share
    assert bool((rows.share - 0.5 < -6 * rows.sigma_share).all())


def test_a_molecule_that_one_channel_does_not_show_has_the_photons_that_its_share_says() -> None:
    place = torch.tensor([[1.0, 1.2, 0.5], [3.5, 2.0, 0.5]])
    lights, _ = seen(place, [0.4, 0.4], seed=2)
    # The second channel of the fit shows only the second molecule.
    away = Likelihood(lights[1].frames[:, :, : SIZE[1] // 2])
    rows = fit(0.4)(candidates(place), [lights[0], away]).localizations
    rows = rows[torch.argsort(rows.xyz[:, 0])]
    assert len(rows) == 2
    assert float(((rows.photons - 4000) / rows.sigma_photons).abs().max()) < 4.5


def test_with_known_shares_too_the_list_of_a_frame_depends_on_no_other_and_not_on_threads() -> None:
    found, lights = [], []
    for seed in range(3):
        light, _ = seen(apart(4), [0.4] * 4, seed)
        start = torch.cat([apart(3), apart(2)[1:] + torch.tensor([0.1, 0.05, 0.1])])
        found.append(candidates(start, unlikely=1).shift(frames=seed))
        lights.append(light)
    both = [Likelihood(torch.cat([light[k].frames for light in lights])) for k in range(2)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        whole = fit(0.4)(Localizations.concat(found), both).localizations
    finally:
        torch.set_num_threads(threads)
    single = [
        fit(0.4)(one.shift(frames=-k), light) for k, (one, light) in enumerate(zip(found, lights, strict=True))
    ]
    alone = Localizations.concat([one.localizations.shift(frames=k) for k, one in enumerate(single)])
    assert len(whole) == 12
    for name, values in whole.columns().items():
        assert torch.equal(values, getattr(alone, name)), name


def test_frames_without_molecules_have_an_empty_list() -> None:
    light = Likelihood(torch.full((2, *SIZE), LEVEL))
    found = fit(0.4)(Localizations.empty(), [light] * 2)
    assert len(found.localizations) == 0 and math.isclose(float(found.misfit.max()), 0.0, abs_tol=0.2)


@pytest.mark.parametrize("shares", [(0.6, 0.4), None])
def test_a_frame_of_which_nothing_is_proposed_gets_the_molecules_that_its_residuals_show(
    shares: tuple[float, float] | None,
) -> None:
    lights, _ = seen(apart(2), [0.4] * 2, seed=6)
    rows = replace(after_candidates(), shares=shares)(Localizations.empty(), lights).localizations
    rows = rows[torch.argsort(rows.xyz[:, 0])]
    assert len(rows) == 2
    assert float(((rows.xyz - apart(2)) / rows.sigma_xyz).abs().max()) < 4.5
