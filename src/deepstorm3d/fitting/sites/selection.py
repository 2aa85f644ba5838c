"""Changes of ties and looks, decided at the fitted state, each time followed by a fit of all frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..search import MatchedFilter
from .arrangements import Arrangement, looks_beside, pairs_for_spots
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape
from .frames import Movie
from .looks import dark_neighbours, missing_looks, unneeded_looks, unneeded_sites
from .neighbourhood import images_of
from .state import Sites
from .ties import joinings, movings, shared_information, splittings
from .trials import Trials
from .unseen import scatter_of_frames, unseen_molecules

__all__ = ["Selection"]

_ROUNDS = 8  # largest number of times that ties and looks are changed and everything is fitted again
# Gain of a molecule by itself, in units of its price, from which on it is tried: it gains more where its
# neighbours are fitted again with it.
_PROMISING = 0.55
_AGAIN_UM = 2.0  # distance from a change within which all is tried again, µm


@dataclass(frozen=True)
class Selection:
    """Decides which looks are one molecule, and in which frames it shines.

    price: penalty for one molecule, the decrease of the deviance that it must bring;  dark, false_splits,
    false_looks: see `SiteFit`;  search: matched filter for molecules that are missing, None: none are added.
    Several channels keep their molecules: only ties and looks change.
    """

    price: float
    dark: int
    false_splits: float
    false_looks: float
    search: MatchedFilter | None = None

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after changes of ties, looks and arrangements, and how many sites were divided."""
        split, tried, searched = 0, dict[tuple[int, ...], Tensor](), list[Tensor]()
        for turn in range(_ROUNDS):
            changed, divided = self._changed(Landscape(charts.movie, fitted.sites, charts))
            if changed is not None:
                fitted, split = climb_sites(charts.movie, changed, charts), split + divided
            # While ties change, light beside a molecule may be that of one that moves: after the first search
            # the next one waits until they are settled.
            if changed is not None and turn:
                continue
            arranged = self._arranged(charts.movie, fitted.sites, tried, searched, changed is None)
            if arranged is not None:
                fitted = climb_sites(charts.movie, arranged, charts)
            if changed is None and arranged is None:
                break
        return fitted, split

    def _arranged(
        self,
        movie: Movie,
        sites: Sites,
        tried: dict[tuple[int, ...], Tensor],
        searched: list[Tensor],
        beside: bool,
    ) -> Sites | None:
        """The sites with spots read in another way and molecules that were missing; None if none pays.

        tried: what was tried in vain and where, (2,) µm, and searched: images of the last search; both are
        brought up to date.
        beside: whether light beside another molecule counts.
        """
        if sites.channels > 1:
            return None
        images = images_of(movie, sites)
        scatter = scatter_of_frames(movie, images)
        wanted: list[Arrangement] = []
        if self.search is not None:
            least = _PROMISING * self.price
            unseen = unseen_molecules(movie, images, scatter, self.search, least, searched or None)
            wanted = [one.arrangement(sites) for one in unseen if beside or not one.is_beside(sites)]
            if len(wanted) == len(unseen):
                searched[:] = images
        if beside:
            moving = set(sites.site[sites.loose].tolist())
            pairs = zip(*map(Tensor.tolist, dark_neighbours(sites)), strict=True)
            dark = [(site, frame) for site, frame in pairs if site not in moving]
            wanted = looks_beside(sites, dark) + pairs_for_spots(sites, dark) + wanted
        wanted = [one for one in wanted if one.key(sites) not in tried]
        if not wanted:
            return None
        trials = Trials(self.price, self.false_looks)
        changed, made, vain = trials.made(movie, sites, images, scatter, wanted)
        tried.update((one.key(sites), one.centre) for one in vain)
        for one in made:
            for key in [key for key, place in tried.items() if (place - one.centre).norm() < _AGAIN_UM]:
                del tried[key]
        return changed if made else None

    def _changed(self, land: Landscape) -> tuple[Sites | None, int]:
        """The sites with what is to be changed, each site in one way; None if nothing is. And how many
        divided."""
        retied, free, divided = self._retied(land)
        bound = land.bound()
        gone = unneeded_looks(land, bound, self.false_looks, free)
        gone |= unneeded_sites(land, bound, self.price, free)
        free[land.sites.site[gone]] = False
        new = missing_looks(land, self.false_looks, free)
        if retied is None and not bool(gone.any()) and not len(new.site):
            return None, 0
        changed = (land.sites if retied is None else retied).of_looks((~gone).nonzero()[:, 0])
        return changed.with_looks(new.site, new.frame, new.photons).compact(), divided

    def _retied(self, land: Landscape) -> tuple[Sites | None, Tensor, int]:
        """The sites divided and joined (None: none is), which sites are as they were, (S,) bool, and how many
        were divided."""
        sites = land.sites
        free = torch.ones(len(sites), dtype=torch.bool)
        site, loose = sites.site.clone(), sites.loose.clone()
        place, more = sites.place.clone(), [sites.place[:0]]
        shared = shared_information(land)
        divided = splittings(land, shared, self.false_splits)
        for part in divided:
            site[part.looks] = len(sites) + sum(map(len, more))
            more.append(part.place[None])
            free[part.site] = False
        moving = [part for part in movings(land, shared, self.dark) if bool(free[part.site])]
        for part in moving:
            first = len(sites) + sum(map(len, more))
            site[part.looks] = torch.arange(first, first + len(part.looks))
            more.append(part.place)
            loose[part.looks] = True
        free[sites.site[loose]] = False
        joined = joinings(land, self.false_splits, self.dark)
        joined = [pair for pair in joined if bool(free[pair.kept] & free[pair.gone])]
        for pair in joined:
            site[site == pair.gone] = pair.kept
            place[pair.kept] = pair.place
            free[[pair.kept, pair.gone]] = False
        if not (divided or moving or joined):
            return None, free, 0
        changed = replace(sites, loose=loose).assigned(site, torch.cat([place, *more]))
        return changed, free, len(divided) + len(moving)
