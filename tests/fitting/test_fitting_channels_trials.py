"""Changes of the molecules of several channels, tried in their neighbourhood."""

from __future__ import annotations

from dataclasses import replace

import torch
from test_fitting_channels import (
    BOUNDS,
    after_candidates,
    apart,
    bent,
    candidates,
    channel,
    images,
    noisy,
    seen,
)
from test_fitting_channels import true_sites as sites_at
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.arrangements import Arrangement
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import Landscape, lights_of
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.neighbourhood import Neighbourhood, images_of
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.trials import tried
from deepstorm3d.watch import SILENT


def fitted(place: Tensor, photons: list[float], start: Tensor | None = None) -> tuple[Movie, Sites]:
    """A frame of two channels with molecules at places (S, 3), and a fit that begins at others."""
    channels = (channel(), channel(transform=bent(), depth_um=0.1))
    lights = noisy(images(list(channels), sites_at(place, photons)), 3)
    movie = Movie(channels, BOUNDS, lights_of(lights), SILENT)
    return movie, climb_sites(movie, sites_at(place if start is None else start, photons)).sites


def deviance(movie: Movie, sites: Sites) -> float:
    parts = (
        movie.deviance(number, sites.of_image(number, rows, movie.dtype))
        for number, rows in enumerate(sites.slices())
    )
    return sum(parts)


class Free:
    """Rules by which a molecule costs 20."""

    least = 0.0

    def cost(self, near: Neighbourhood, sites: Sites) -> float:
        return 20.0 * float((sites.looks > 0).sum())

    def needless(self, near: Neighbourhood, land: Landscape) -> Tensor:
        return torch.zeros_like(land.sites.loose)


def test_what_a_change_gains_near_its_place_it_gains_in_all_channels_of_the_frame() -> None:
    movie, sites = fitted(apart(4), [3000.0, 2000.0])
    near = Neighbourhood(movie, sites, images_of(movie, sites), sites.place[0, :2], *_touched(sites, 0))
    assert near.free.tolist() == [0] and near.images.tolist() == [0, 1]
    moved = replace(near.sites, place=near.sites.place + torch.tensor([0.03, -0.02, 0.05]))
    place = sites.place.clone()
    place[0] = moved.place[0]
    there = deviance(movie, replace(sites, place=place)) - deviance(movie, sites)
    here = deviance(near.movie, moved) - deviance(near.movie, near.sites)
    assert there > 50
    assert abs(here - there) < 0.01 * there


def _touched(sites: Sites, site: int) -> tuple[Tensor, Tensor]:
    return Arrangement.removal(sites, site).touched(sites)


def test_a_change_leaves_all_molecules_that_are_far_from_it_as_they_are() -> None:
    place = apart(4)
    doubled = torch.cat([place, place[:1] + torch.tensor([0.1, 0.05, 0.1])])
    movie, sites = fitted(place, [3000.0, 2000.0])
    twice = sites.assigned(sites.site, torch.cat([sites.place, doubled[4:].double()]))
    twice = twice.with_looks(torch.tensor([4, 4]), torch.tensor([0, 1]), torch.tensor([500.0, 300.0]))
    wanted = [Arrangement.removal(twice, 4), Arrangement.removal(twice, 3)]
    after = tried(movie, twice, images_of(movie, twice), wanted, Free())
    assert after.made == wanted[:1] and after.vain == wanted[1:]
    assert len(after.sites) == 4
    assert torch.equal(after.sites.place[1:], sites.place[1:])
    assert not torch.equal(after.sites.place[0], twice.place[0])
    assert deviance(movie, after.sites) - deviance(movie, sites) < 1.0


def test_a_molecule_is_divided_with_the_light_of_both_channels() -> None:
    pair = torch.tensor([[2.5, 2.1, 0.35], [2.78, 2.1, 0.55]])
    movie, sites = fitted(pair, [4000.0, 4000.0])
    one = sites_at(pair.mean(0, keepdim=True), [8000.0, 8000.0])
    one = climb_sites(movie, one).sites
    wanted = Arrangement.division(one, 0, torch.tensor([0.1, 0.0, 0.1]).double())
    (made,) = tried(movie, one, images_of(movie, one), [wanted], Free()).made
    assert made is wanted and made.halved.tolist() == [0, 1]
    after = tried(movie, one, images_of(movie, one), [wanted], Free()).sites
    assert after.looks.tolist() == [2, 2]
    order = torch.argsort(after.place[:, 0])
    assert float((after.place[order, :2] - sites.place[:, :2]).abs().max()) < 0.02


def test_the_list_of_a_frame_does_not_depend_on_those_beside_it_nor_on_the_threads() -> None:
    fit, place = after_candidates(), apart(4)
    found, lights = [], []
    for seed in range(3):
        light, _ = seen(place, [0.4] * 4, seed)
        start = torch.cat([place[:3], place[1:2] + torch.tensor([0.1, 0.05, 0.1])])
        found.append(candidates(start, unlikely=1).shift(frames=seed))
        lights.append(light)
    both = [Likelihood(torch.cat([light[k].frames for light in lights])) for k in range(2)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        whole = fit(Localizations.concat(found), both).localizations
    finally:
        torch.set_num_threads(threads)
    single = [
        fit(one.shift(frames=-k), light) for k, (one, light) in enumerate(zip(found, lights, strict=True))
    ]
    alone = Localizations.concat([one.localizations.shift(frames=k) for k, one in enumerate(single)])
    assert len(whole) == 12
    for name, values in whole.columns().items():
        assert torch.equal(values, getattr(alone, name)), name
