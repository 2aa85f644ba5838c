"""In which frames a molecule shines: score tests at its known place in the frames around it.

A look at a known place has one unknown, its photons. Where there is no light, twice the gain of the likelihood
by it is 0 with a chance of one half, and χ² with one degree of freedom otherwise, because photons are not
negative (Chernoff 1954). So a look is taken where the gain exceeds the point of χ² that it exceeds by chance
in twice the share of false looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..rivals import outdone
from .covariance import Bound, Landscape
from .memory import Memory
from .score import LEAST_LEFT, score_of_looks
from .state import Sites
from .ties import chi_square_point

__all__ = [
    "NewLooks",
    "brought",
    "dark_neighbours",
    "gain_of_looks",
    "missing_looks",
    "needed_gain",
    "unneeded",
    "unneeded_looks",
    "unneeded_sites",
    "weak_sites",
]

# Distance within which only the strongest of several new looks is taken at a time, and the weakest removed, µm.
_APART_UM = 1.0
# Distance from a look of another site in the same frame within which no look is added, µm: of two so near, one
# is likely to be the other, moved or misplaced.
_TAKEN_UM = 0.25
# Share of false looks among the places without light where a site shines in the frames before and after: few
# molecules are dark there.
_FALSE_BETWEEN = 0.05


@dataclass(frozen=True)
class NewLooks:
    """Looks that sites may have: site and image (K,) int64, photons and gain of the deviance (K,) float64."""

    site: Tensor
    image: Tensor
    photons: Tensor
    gain: Tensor

    def select(self, rows: Tensor) -> NewLooks:
        """Some of them, an index or a mask."""
        return NewLooks(self.site[rows], self.image[rows], self.photons[rows], self.gain[rows])


def needed_gain(false_looks: float) -> float:
    """Gain of the deviance that a look must bring, for a share of false looks among the places without
    light."""
    return chi_square_point(2 * false_looks, 1)


def sites_between(sites: Sites) -> Tensor:
    """Whether a site shines, in an image's channel, in the frames before and after it: (S, B·C) bool."""
    seen, each = sites.seen(), sites.channels
    between = torch.zeros_like(seen)
    between[:, each:-each] = seen[:, : -2 * each] & seen[:, 2 * each :]
    return between


def _needed(between: Tensor, false_looks: float) -> Tensor:
    """Gain that each look must bring, by whether its site shines before and after."""
    return torch.where(between, needed_gain(max(_FALSE_BETWEEN, false_looks)), needed_gain(false_looks))


def missing_looks(land: Landscape, false_looks: float, free: Tensor, memory: Memory) -> NewLooks:
    """Looks to add: before the first, after the last and between the looks of the sites `free`, (S,) bool.

    false_looks: share of tested places without light that get a look;  memory: of looks removed.
    """
    site, image = dark_neighbours(land.sites)
    # A site that shines in another channel of the frame is there, whatever is beside it.
    chosen = free[site] & (~_taken(land, site, image) | land.sites.near_in_time(0)[site, image])
    chosen &= memory.allows(land.sites.place[site], image)
    tested = gain_of_looks(land, site[chosen], image[chosen])
    strong = tested.select(
        tested.gain > _needed(sites_between(land.sites)[tested.site, tested.image], false_looks)
    )
    place = land.sites.place[strong.site, :2]
    apart = torch.full_like(strong.gain, _APART_UM)
    return strong.select(~outdone(place, strong.image, strong.gain, apart))


def gain_of_looks(land: Landscape, site: Tensor, image: Tensor) -> NewLooks:
    """The gain of one more look of each site (K,) in an image (K,) in which it has none: a score test."""
    order = torch.argsort(image, stable=True)
    site, image = site[order], image[order]

    def in_image(number: int) -> tuple[Tensor, Tensor]:
        return _tested(land, number, site[image == number])

    parts = land.movie.each(in_image)
    photons, gain = (torch.cat(each) for each in zip(*parts, strict=True))
    return NewLooks(site, image, photons, gain)


def unneeded(land: Landscape, bound: Bound, least: tuple[float, float], free: Tensor) -> Tensor:
    """Looks to remove, (N,) bool: sites that bring too little, and single looks far from these.

    least: share of false looks, and penalty for one molecule;  free: (S,) bool, the sites that may lose looks.
    """
    sites, (false_looks, price) = land.sites, least
    gone = unneeded_sites(land, bound, price, free)
    looks = unneeded_looks(land, bound, false_looks, free) & ~gone
    # Light that a site gives up is for those beside it.
    place = sites.place[sites.site, :2]
    near = torch.cdist(place[looks], place[gone]) < _APART_UM
    near &= sites.frame[looks, None] == sites.frame[gone]
    looks[looks.clone()] = ~near.any(1)
    return gone | looks


def unneeded_looks(land: Landscape, bound: Bound, false_looks: float, free: Tensor) -> Tensor:
    """Looks that bring too little, of the sites `free` that have others: (N,) bool, the weakest in its area."""
    sites = land.sites
    significance = (sites.photons / bound.photons.clamp(min=1e-9)).square()
    between = sites_between(sites)[sites.site, sites.image]
    weak = (significance < _needed(between, false_looks)) & free[sites.site]
    # A site of earlier frames may have none in these.
    weak &= (sites.looks + sites.known.long() > 1)[sites.site]
    rows = weak.nonzero()[:, 0]
    apart = torch.full_like(significance[rows], _APART_UM)
    place = sites.place[sites.site[rows], :2]
    weak[rows] = ~outdone(place, sites.frame[rows], -significance[rows], apart)
    return weak


def unneeded_sites(land: Landscape, bound: Bound, price: float, free: Tensor) -> Tensor:
    """Looks of the sites `free` that bring less in all than a molecule must, (N,) bool; the weakest in its
    area.

    A row of the list may have been needed only to make up for a wrong or missing neighbour, which the other
    frames have put right.  price: penalty for one molecule (`search.gain_threshold`).
    """
    sites = land.sites
    total = brought(sites, bound)
    weak = (total < price) & free & ~sites.known
    rows = weak.nonzero()[:, 0]
    # Sites of different frames are compared too: the price is paid once for all of them.
    apart, movie = torch.full_like(total[rows], _APART_UM), torch.zeros_like(rows)
    weak[rows] = ~outdone(sites.place[rows, :2], movie, -total[rows], apart)
    return weak[sites.site]


def weak_sites(sites: Sites, bound: Bound, least: float) -> Tensor:
    """Sites that seem to bring less than `least`, of which nothing is known from before: (S,) bool."""
    return (brought(sites, bound) < least) & (sites.looks > 0) & ~sites.known


def brought(sites: Sites, bound: Bound) -> Tensor:
    """What each site brings to second order, the sum of (photons/σ)² of its looks: (S,)."""
    significance = (sites.photons / bound.photons.clamp(min=1e-9)).square()
    return significance.new_zeros(len(sites)).index_add(0, sites.site, significance)


def _taken(land: Landscape, site: Tensor, image: Tensor) -> Tensor:
    """Whether another site has a look near the place of each site (K,) in an image (K,): (K,) bool."""
    place = land.sites.place[:, :3]
    near = torch.cdist(place, place) < _TAKEN_UM
    return (near.double() @ land.sites.seen().double())[site, image] > 0


def dark_neighbours(sites: Sites) -> tuple[Tensor, Tensor]:
    """Site and image of each place in time that is next to a look of its site, or between two."""
    seen, near = sites.seen(), sites.near_in_time(1)
    later, earlier = seen.cumsum(1) > 0, seen.flip(1).cumsum(1).flip(1) > 0
    # A site that is known from before has had its look before the first frame.
    later |= sites.known[:, None]
    dark = ~seen & (near | (later & earlier))
    site, image = dark.nonzero().unbind(1)
    return site, image


def _tested(land: Landscape, number: int, site: Tensor) -> tuple[Tensor, Tensor]:
    """Photons and gain of looks of sites (K,) in one image."""
    if not len(site):
        return land.parts[number].scale[:0], land.parts[number].scale[:0]
    score = score_of_looks(land, number, land.sites.place[site])
    usable = (score.left > LEAST_LEFT * score.alone) & (score.pull > 0)
    photons = torch.where(usable, score.pull / score.left.clamp(min=1e-30), 0.0)
    return photons, photons * score.pull.clamp(min=0)
