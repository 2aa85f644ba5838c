"""Which candidates are molecules, and which molecules they lack: decided for all channels of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ..rivals import outdone
from .arrangements import Arrangement
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape
from .divisions import divisions
from .looks import brought, unneeded_looks
from .missing import missing_in_frame
from .movie import Movie
from .neighbourhood import Neighbourhood, images_of
from .state import Sites
from .sums import ChannelSums
from .ties import chi_square_point
from .trials import tried
from .unseen import scatter_of_frames

__all__ = ["CandidateSelection"]

_PRUNINGS = 12  # largest number of times that candidates are tried without
_SEARCHES = 8  # largest number of times that missing molecules are added
_DIVISIONS = 4  # largest number of times that molecules are divided
_DARK_LOOKS = 4  # largest number of times that looks without light are removed
_STEPS = 4  # largest number of steps of a fit between them
_APART_UM = 1.4  # smallest lateral distance of changes that are tried together, µm
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
class CandidateSelection:
    """Removes candidates that the frame's images do not need in all, and adds molecules that they require.

    Each change is tried in its neighbourhood (`trials.tried`) and made if the deviance of all channels there
    pays for it; the whole frame is fitted after all changes of a kind.

    price: penalty for a molecule that the search finds, the decrease of the deviance that it must bring. A
    candidate costs at most what its unknowns gain by chance, because nobody had to look everywhere, times one
    less its probability;  probability: (N,) of each candidate, a row of the list;
    dim_photons: molecules with less in all channels together are improbable, and have three times the penalty;
    false_looks: share of the places without light that get a look;  sums: of the matched filter to search with,
    None: nothing is added;  divided: gain of a site as two by its score, in units of the price, from which on
    it is tried; of two that are far from each other the score sees a part.
    """

    price: float
    dim_photons: float
    false_looks: float
    sums: ChannelSums | None
    probability: Tensor = field(default_factory=lambda: torch.zeros(0))
    divided: float = _PROMISING

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after changes of the list, and how many sites were divided between channels: none."""
        best = before = self._pruned(charts, fitted)
        if self.sums is not None:
            movie = charts.movie
            best = self._changed(charts, best, partial(self._missing, movie), _SEARCHES)
            best = self._changed(charts, best, partial(self._divided, movie), _DIVISIONS)
        if best is not before:
            best = self._pruned(charts, best)
        return self._without_dark_looks(charts, best), 0

    def prices(self, sites: Sites) -> Tensor:
        """Penalty of each site, (S,)."""
        light = sites.light
        rows = (sites.origin >= 0).nonzero()[:, 0]
        doubt = 1 - self.probability.double()[sites.origin[rows]]
        unknowns = sites.each + sites.channels
        candidate = min(chi_square_point(_FALSE_CANDIDATES, unknowns), self.price)
        price = torch.full_like(light, self.price)
        price[sites.site[rows]] = candidate * doubt.clamp(min=_LEAST_DOUBT)
        return price * (1 + _DIM_PENALTIES * (light < self.dim_photons).double())

    def _pruned(self, charts: Charts, best: FittedSites) -> FittedSites:
        """Without the sites that are not needed: each that seems to bring too little is tried."""

        def propose(sites: Sites, vain: Tensor) -> list[Arrangement]:
            weak = self._weak(Landscape(charts.movie, sites, charts), vain)
            return [Arrangement.removal(sites, number) for number in weak.tolist()]

        return self._changed(charts, best, propose, _PRUNINGS)

    def _changed(
        self,
        charts: Charts,
        best: FittedSites,
        propose: Callable[[Sites, Tensor], list[Arrangement]],
        rounds: int,
    ) -> FittedSites:
        """With the proposed changes that pay, as long as there are any, and the whole frame fitted then.

        propose: of sites, far from the places (V, 3) µm of what was tried in vain.
        """
        sites, vain = best.sites, best.sites.place[:0, :3]
        for _ in range(rounds):
            wanted = propose(sites, vain)
            if not wanted:
                break
            after = tried(charts.movie, sites, images_of(charts.movie, sites), wanted, _Pays(self))
            vain = torch.cat([vain, *(_place_of(one, sites) for one in after.vain)])
            sites = after.sites
        return best if sites is best.sites else climb_sites(charts.movie, sites, charts)

    def _weak(self, land: Landscape, needed: Tensor) -> Tensor:
        """Sites to try without, the weakest of each area by what it brings.

        needed: (V, 3) µm of sites that were tried in vain.
        """
        sites, bound = land.sites, land.bound()
        rank = brought(sites, bound) / self.prices(sites)
        rows = ((rank < 1) & ~_among(sites.place[:, :3], needed, _SAME_UM)).nonzero()[:, 0]
        return rows[_apart(sites.place[rows, :2], -rank[rows])]

    def _without_dark_looks(self, charts: Charts, fitted: FittedSites) -> FittedSites:
        """Without the looks of channels in which a molecule that is alone has no significant light.

        Where its share of the light is known it has some.
        """
        if charts.movie.shared:
            return fitted
        for _ in range(_DARK_LOOKS):
            land = Landscape(charts.movie, fitted.sites, charts)
            place = fitted.sites.place[:, :2]
            alone = (torch.cdist(place, place) < _CLOSE_UM).sum(1) < 2
            gone = unneeded_looks(land, land.bound(), self.false_looks, alone)
            if not bool(gone.any()):
                break
            fitted = climb_sites(charts.movie, land.sites.of_looks((~gone).nonzero()[:, 0]), charts, _STEPS)
        return fitted

    def _missing(self, movie: Movie, sites: Sites, vain: Tensor) -> list[Arrangement]:
        """Molecules where the residuals show light that was not tried before at vain (V, 3) µm."""
        assert self.sums is not None
        images = images_of(movie, sites)
        scatter = scatter_of_frames(movie, images)
        found = missing_in_frame(self.sums, movie, images, scatter, _PROMISING * self.price)
        found = found.select(~_among(found.xyz.to(vain), vain, _TRIED_UM))
        found = found.select(_apart(found.xyz[:, :2].to(vain), found.gain))
        return found.arrangements(movie, sites)

    def _divided(self, movie: Movie, sites: Sites, vain: Tensor) -> list[Arrangement]:
        """Molecules divided that may be two, where none was before."""
        place = sites.place[:, :3]
        wanted = divisions(movie, sites, self.divided * self.price, _among(place, vain, _SAME_UM))
        wanted = wanted.select(_apart(place[wanted.site, :2], wanted.gain))
        pairs = zip(wanted.site.tolist(), wanted.half, strict=True)
        return [Arrangement.division(sites, site, half) for site, half in pairs]


@dataclass(frozen=True)
class _Pays:
    """Rules of a trial: sites cost what the selection says, and none but those of the change go."""

    selection: CandidateSelection
    least: float = 0.0

    def cost(self, near: Neighbourhood, sites: Sites) -> float:
        """Penalties of the sites that have looks."""
        prices = self.selection.prices(near.as_listed(sites))
        return float(prices[sites.looks > 0].sum())

    def needless(self, near: Neighbourhood, land: Landscape) -> Tensor:
        """None."""
        return torch.zeros_like(land.sites.loose)


def _place_of(one: Arrangement, sites: Sites) -> Tensor:
    """Where a change was tried: the place (1, 3) µm of the site that it takes or divides, or of the new one."""
    touched, _ = one.touched(sites)
    return sites.place[touched[:1], :3] if len(touched) else one.new[:, :3]


def _apart(place: Tensor, value: Tensor) -> Tensor:
    """Of changes at (K, 2) µm those without a better one near them: (K,) bool."""
    return ~outdone(place, torch.zeros(len(place), dtype=torch.int64), value, torch.full_like(value, _APART_UM))


def _among(xyz: Tensor, places: Tensor, reach_um: float) -> Tensor:
    """Which of (K, 3) µm are near one of the places (V, 3) µm: (K,) bool."""
    if not len(places):
        return torch.zeros(len(xyz), dtype=torch.bool)
    return (torch.cdist(xyz, places) < reach_um).any(1)
