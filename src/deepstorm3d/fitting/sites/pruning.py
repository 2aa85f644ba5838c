"""Which candidates are molecules, and which molecules they lack: decided for all channels of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rivals import outdone
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape
from .divisions import divided, divisions
from .frames import Movie
from .looks import unneeded_looks
from .missing import ChannelFilters, Missing
from .neighbourhood import images_of
from .state import Sites
from .unseen import scatter_of_frames

__all__ = ["CandidateSelection"]

_PRUNINGS = 40  # largest number of times that needless candidates are removed and all is fitted again
_SEARCHES = 6  # largest number of times that missing molecules are added
_DIVISIONS = 4  # largest number of times that molecules are divided
_DARK_LOOKS = 4  # largest number of times that looks without light are removed
# Distance within which only the least significant of several needless candidates is removed at a time, µm.
_APART_UM = 0.6
# Gain of a molecule by itself, in units of its price, from which on it is tried: it gains more where its
# neighbours are fitted again with it.
_PROMISING = 0.55
_DIM_PENALTIES = 2.0  # extra penalty of molecules dimmer than is probable, in units of the price
_TRIED_UM = 0.15  # distance from a place that was tried within which no other is tried, µm
_SAME_UM = 0.02  # distance within which a molecule is the one that was divided before, µm

_Proposal = Callable[[Movie, Sites, Tensor], tuple[Sites | None, Tensor]]


@dataclass(frozen=True)
class CandidateSelection:
    """Removes candidates that the frame's images do not need in all, and adds molecules that they require.

    price: penalty for one molecule, the decrease of the deviance that it must bring;  dim_photons: molecules
    with less in all channels together are improbable, and have three times the penalty;  false_looks: share of
    the places without light that get a look;  filters: to search with, None: nothing is added.
    """

    price: float
    dim_photons: float
    false_looks: float
    filters: ChannelFilters | None

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after changes of the list, and how many sites were divided between channels: none."""
        best = self._pruned(charts, fitted)
        if self.filters is not None:
            best = self._extended(charts, best, self._with_missing, _SEARCHES)
            best = self._extended(charts, best, self._with_divided, _DIVISIONS)
        return self._without_dark_looks(charts, best), 0

    def _extended(self, charts: Charts, best: FittedSites, more: _Proposal, rounds: int) -> FittedSites:
        """With the proposed molecules that the frame needs, as long as there are any."""
        vain = best.sites.place[:0, :3]
        for _ in range(rounds):
            changed, vain = more(charts.movie, best.sites, vain)
            if changed is None:
                break
            trial = self._pruned(charts, climb_sites(charts.movie, changed, charts))
            if self.cost(trial) < self.cost(best):
                best = trial
        return best

    def cost(self, fitted: FittedSites) -> float:
        """Deviance plus the penalties of the molecules."""
        return fitted.cost + float(self._prices(fitted.sites).sum())

    def _prices(self, sites: Sites) -> Tensor:
        """Penalty of each site, (S,)."""
        light = sites.photons.new_zeros(len(sites)).index_add(0, sites.site, sites.photons)
        return self.price * (1 + _DIM_PENALTIES * (light < self.dim_photons).double())

    def _pruned(self, charts: Charts, fitted: FittedSites) -> FittedSites:
        """Without the sites that bring too little in all their looks, the weakest of each area first."""
        for _ in range(_PRUNINGS):
            land = Landscape(charts.movie, fitted.sites, charts)
            gone = self._needless(land)[land.sites.site]
            if not bool(gone.any()):
                break
            fitted = climb_sites(charts.movie, land.sites.of_looks((~gone).nonzero()[:, 0]).compact(), charts)
        return fitted

    def _without_dark_looks(self, charts: Charts, fitted: FittedSites) -> FittedSites:
        """Without the looks of channels in which a molecule has no significant light."""
        for _ in range(_DARK_LOOKS):
            land = Landscape(charts.movie, fitted.sites, charts)
            free = torch.ones(len(fitted.sites), dtype=torch.bool)
            gone = unneeded_looks(land, land.bound(), self.false_looks, free)
            if not bool(gone.any()):
                break
            fitted = climb_sites(charts.movie, land.sites.of_looks((~gone).nonzero()[:, 0]), charts)
        return fitted

    def _needless(self, land: Landscape) -> Tensor:
        """Sites that go, (S,) bool: what one brings is (photons/σ)² of all its looks."""
        sites = land.sites
        significance = (sites.photons / land.bound().photons.clamp(min=1e-9)).square()
        brings = significance.new_zeros(len(sites)).index_add(0, sites.site, significance)
        rank = brings / self._prices(sites)
        weak = rank < 1
        rows = weak.nonzero()[:, 0]
        apart, frame = torch.full_like(rank[rows], _APART_UM), torch.zeros_like(rows)
        weak[rows] = ~outdone(sites.place[rows, :2], frame, -rank[rows], apart)
        return weak

    def _with_missing(self, movie: Movie, sites: Sites, vain: Tensor) -> tuple[Sites | None, Tensor]:
        """With molecules where the residuals show light that was not tried before at vain (V, 3) µm."""
        assert self.filters is not None
        images = images_of(movie, sites)
        found = self.filters(movie, images, scatter_of_frames(movie, images), _PROMISING * self.price)
        xyz = found.xyz.to(vain)
        found = found.select(~_among(xyz, vain, _TRIED_UM))
        if not len(found):
            return None, vain
        return _with(movie, sites, found), torch.cat([vain, found.xyz.to(vain)])

    def _with_divided(self, movie: Movie, sites: Sites, vain: Tensor) -> tuple[Sites | None, Tensor]:
        """With molecules divided that may be two, where none was before."""
        place = sites.place[:, :3]
        wanted = divisions(movie, sites, _PROMISING * self.price, _among(place, vain, _SAME_UM))
        if not len(wanted):
            return None, vain
        return divided(sites, wanted), torch.cat([vain, place[wanted.site]])


def _among(xyz: Tensor, places: Tensor, reach_um: float) -> Tensor:
    """Which of (K, 3) µm are near one of the places (V, 3) µm: (K,) bool."""
    if not len(places):
        return torch.zeros(len(xyz), dtype=torch.bool)
    return (torch.cdist(xyz, places) < reach_um).any(1)


def _with(movie: Movie, sites: Sites, missing: Missing) -> Sites:
    """The sites with molecules at new places, each with a look in every channel where the filter sees light."""
    place = missing.xyz.to(sites.place)
    if sites.each == 4:
        blur = sites.place[:, 3].mean() if len(sites) else place.new_tensor(sum(movie.bounds.blur_px) / 2)
        place = torch.cat([place, blur.expand(len(place), 1)], 1)
    row, image = (missing.photons > movie.bounds.photons).nonzero().unbind(1)
    wider = sites.assigned(sites.site, torch.cat([sites.place, place]))
    return wider.with_looks(len(sites) + row, image, missing.photons[row, image].double())
