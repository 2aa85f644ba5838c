"""Which candidates are molecules, and which molecules they lack: decided for all channels of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..rivals import outdone
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape
from .divisions import divided, divisions
from .frames import Movie
from .looks import unneeded_looks
from .missing import ChannelFilters, with_missing
from .neighbourhood import images_of
from .state import Sites
from .ties import chi_square_point
from .unseen import scatter_of_frames

__all__ = ["CandidateSelection"]

_PRUNINGS = 6  # largest number of times that candidates are tried without
_SEARCHES = 4  # largest number of times that missing molecules are added
_DIVISIONS = 2  # largest number of times that molecules are divided
_DARK_LOOKS = 4  # largest number of times that looks without light are removed
_APART_UM = 1.4  # smallest lateral distance of changes that are tried together, µm
_NEAR_UM = 0.9  # distance up to which a change of the deviance counts for one of them, µm
# Gain of a molecule by itself, in units of its price, from which on it is tried: it gains more where its
# neighbours are fitted again with it.
_PROMISING = 0.55
# Chance that a candidate where nothing is, or beside another one of the same molecule, is taken for a molecule.
_FALSE_CANDIDATES = 0.01
_LEAST_DOUBT = 0.01  # of a candidate that the network is sure of
_DIM_PENALTIES = 2.0  # extra penalty of molecules dimmer than is probable, in units of the price
_TRIED_UM = 0.15  # distance from a place that was tried within which no other is tried, µm
_SAME_UM = 0.02  # distance within which a molecule is one that was tried before, µm
# Lateral distance within which the photons of two molecules are not known apart: those of each say little of
# whether it is needed.
_CLOSE_UM = 0.5


@dataclass(frozen=True)
class _Proposal:
    """Molecules that may be added.

    centre: (K, 3) µm of each change;  parent: (K,) int64, site that is divided, −1: none;
    made: the sites with some of them, an index; new sites follow the others in order.
    """

    centre: Tensor
    parent: Tensor
    made: Callable[[Tensor], Sites]


@dataclass(frozen=True)
class CandidateSelection:
    """Removes candidates that the frame's images do not need in all, and adds molecules that they require.

    Several changes, far from each other, are tried at a time, followed by a fit of the whole frame. A change is
    made if the deviance of all channels around it pays for it.

    price: penalty for a molecule that the search finds, the decrease of the deviance that it must bring. A
    candidate costs at most what its unknowns gain by chance, because nobody had to look everywhere, times one
    less its probability;  probability: (N,) of each candidate, a row of the list;
    dim_photons: molecules with less in all channels together are improbable, and have three times the penalty;
    false_looks: share of the places without light that get a look;  filters: to search with, None: nothing is
    added.
    """

    price: float
    dim_photons: float
    false_looks: float
    filters: ChannelFilters | None
    probability: Tensor = field(default_factory=lambda: torch.zeros(0))

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after changes of the list, and how many sites were divided between channels: none."""
        best = before = self._pruned(charts, fitted)
        if self.filters is not None:
            best = self._extended(charts, best, self._missing, _SEARCHES)
            best = self._extended(charts, best, self._divided, _DIVISIONS)
        if best is not before:
            best = self._pruned(charts, best)
        return self._without_dark_looks(charts, best), 0

    def _prices(self, sites: Sites) -> Tensor:
        """Penalty of each site, (S,)."""
        light = sites.photons.new_zeros(len(sites)).index_add(0, sites.site, sites.photons)
        rows = (sites.origin >= 0).nonzero()[:, 0]
        doubt = 1 - self.probability.double()[sites.origin[rows]]
        candidate = min(chi_square_point(_FALSE_CANDIDATES, sites.each + sites.channels), self.price)
        price = torch.full_like(light, self.price)
        price[sites.site[rows]] = candidate * doubt.clamp(min=_LEAST_DOUBT)
        return price * (1 + _DIM_PENALTIES * (light < self.dim_photons).double())

    def _pruned(self, charts: Charts, best: FittedSites) -> FittedSites:
        """Without the sites that are not needed: each that seems to bring too little is tried."""
        needed = best.sites.place[:0, :3]
        for _ in range(_PRUNINGS):
            sites = best.sites
            weak = self._weak(Landscape(charts.movie, sites, charts), needed)
            if not len(weak):
                break
            trial = climb_sites(charts.movie, _without(sites, weak), charts)
            centre = sites.place[weak, :3]
            rise = _change_near(charts.movie, best.sites, trial.sites, centre)
            gone = rise < self._prices(sites)[weak]
            needed = torch.cat([needed, centre[~gone]])
            if bool(gone.all()):
                best = trial
            elif bool(gone.any()):
                best = climb_sites(charts.movie, _without(sites, weak[gone]), charts)
        return best

    def _weak(self, land: Landscape, needed: Tensor) -> Tensor:
        """Sites to try without, the weakest of each area: what one brings is (photons/σ)² of all its looks.

        needed: (V, 3) µm of sites that were tried in vain.
        """
        sites = land.sites
        significance = (sites.photons / land.bound().photons.clamp(min=1e-9)).square()
        brings = significance.new_zeros(len(sites)).index_add(0, sites.site, significance)
        rank = brings / self._prices(sites)
        rows = ((rank < 1) & ~_among(sites.place[:, :3], needed, _SAME_UM)).nonzero()[:, 0]
        return rows[_apart(sites.place[rows, :2], -rank[rows])]

    def _extended(
        self,
        charts: Charts,
        best: FittedSites,
        propose: Callable[[Movie, Sites, Tensor], _Proposal],
        rounds: int,
    ) -> FittedSites:
        """With the proposed molecules that pay, as long as there are any."""
        vain = best.sites.place[:0, :3]
        for _ in range(rounds):
            proposal = propose(charts.movie, best.sites, vain)
            count = len(proposal.centre)
            if not count:
                break
            every = torch.arange(count)
            trial = climb_sites(charts.movie, proposal.made(every), charts)
            gain = -_change_near(charts.movie, best.sites, trial.sites, proposal.centre)
            pays = gain > self._more(best.sites, trial.sites, proposal.parent)
            vain = torch.cat([vain, proposal.centre])
            if bool(pays.all()):
                best = trial
            elif bool(pays.any()):
                best = climb_sites(charts.movie, proposal.made(every[pays]), charts)
        return best

    def _more(self, before: Sites, after: Sites, parent: Tensor) -> Tensor:
        """What each of K new sites costs, with the site that it was divided from."""
        old, new = self._prices(before), self._prices(after)
        dearer = torch.where(parent >= 0, new[parent] - old[parent], 0.0) if len(old) else 0.0
        return new[len(before) :] + dearer

    def _without_dark_looks(self, charts: Charts, fitted: FittedSites) -> FittedSites:
        """Without the looks of channels in which a molecule that is alone has no significant light."""
        for _ in range(_DARK_LOOKS):
            land = Landscape(charts.movie, fitted.sites, charts)
            place = fitted.sites.place[:, :2]
            alone = (torch.cdist(place, place) < _CLOSE_UM).sum(1) < 2
            gone = unneeded_looks(land, land.bound(), self.false_looks, alone)
            if not bool(gone.any()):
                break
            fitted = climb_sites(charts.movie, land.sites.of_looks((~gone).nonzero()[:, 0]), charts)
        return fitted

    def _missing(self, movie: Movie, sites: Sites, vain: Tensor) -> _Proposal:
        """Molecules where the residuals show light that was not tried before at vain (V, 3) µm."""
        assert self.filters is not None
        images = images_of(movie, sites)
        found = self.filters(movie, images, scatter_of_frames(movie, images), _PROMISING * self.price)
        found = found.select(~_among(found.xyz.to(vain), vain, _TRIED_UM))
        found = found.select(_apart(found.xyz[:, :2].to(vain), found.gain))
        nobody = torch.full((len(found),), -1, dtype=torch.int64)

        def made(some: Tensor) -> Sites:
            return with_missing(movie, sites, found.select(some))

        return _Proposal(found.xyz.to(vain), nobody, made)

    def _divided(self, movie: Movie, sites: Sites, vain: Tensor) -> _Proposal:
        """Molecules divided that may be two, where none was before."""
        place = sites.place[:, :3]
        wanted = divisions(movie, sites, _PROMISING * self.price, _among(place, vain, _SAME_UM))
        wanted = wanted.select(_apart(place[wanted.site, :2], wanted.gain))
        return _Proposal(place[wanted.site], wanted.site, lambda some: divided(sites, wanted.select(some)))


def _without(sites: Sites, gone: Tensor) -> Sites:
    """The sites without some of them."""
    return sites.of_looks((~torch.isin(sites.site, gone)).nonzero()[:, 0]).compact()


def _apart(place: Tensor, value: Tensor) -> Tensor:
    """Of changes at (K, 2) µm those without a better one near them: (K,) bool."""
    return ~outdone(place, torch.zeros(len(place), dtype=torch.int64), value, torch.full_like(value, _APART_UM))


def _among(xyz: Tensor, places: Tensor, reach_um: float) -> Tensor:
    """Which of (K, 3) µm are near one of the places (V, 3) µm: (K,) bool."""
    if not len(places):
        return torch.zeros(len(xyz), dtype=torch.bool)
    return (torch.cdist(xyz, places) < reach_um).any(1)


def _change_near(movie: Movie, before: Sites, after: Sites, centre: Tensor) -> Tensor:
    """Rise of the deviance of all channels of a frame around places (K, 3) µm: (K,) float64."""
    total = torch.zeros(len(centre), dtype=torch.float64)
    pairs = zip(images_of(movie, before), images_of(movie, after), strict=True)
    for number, (one, other) in enumerate(pairs):
        light, channel = movie.lights[number], movie.channel(number)
        rise = (light.deviance_image(other) - light.deviance_image(one))[0].double()
        height, width = rise.shape
        y = torch.arange(height, dtype=torch.float64)[:, None] * channel.psf.pixel_um
        x = torch.arange(width, dtype=torch.float64) * channel.psf.pixel_um
        for row, (at_x, at_y) in enumerate(channel.places(centre)[:, :2].tolist()):
            total[row] += rise[(x - at_x) ** 2 + (y - at_y) ** 2 < _NEAR_UM**2].sum()
    return total
