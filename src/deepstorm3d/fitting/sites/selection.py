"""Changes of ties and looks, decided at the fitted state, each time followed by a fit of all frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .attempts import Attempts
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape
from .looks import missing_looks, unneeded, unneeded_looks
from .memory import Memory
from .neighbourhood import images_of
from .shared_information import SharedInformation, shared_information
from .state import Sites
from .sums import ChannelSums
from .ties import joinings, movings, splittings
from .trials import price_of
from .unseen import scatter_of_frames

__all__ = ["Selection"]

_STEPS = 4  # largest number of steps of a fit between them: the next one goes on from there
_LEAST_GAIN = 1.0  # decrease of the cost by less than this: changes of arrangements were in vain
_ROUNDS = 80  # largest number of times that ties and looks are changed and everything is fitted again


@dataclass(frozen=True)
class Selection:
    """Decides which looks are one molecule, and in which frames it shines.

    price: penalty for one molecule, the decrease of the deviance that it must bring;  dark, false_splits,
    false_looks: see `SiteFit`;  sums: of the matched filter for missing molecules, None: none are added;
    slack: (3,) µm², variance of the distance of two looks of one molecule that the images do not know of;
    shared: what may be divided, single looks or all of a frame (`information_of_frames`).
    Where channels have images of their own, ties, looks and missing molecules change, and sites go that are not
    needed: after a trial without each or, without `sums`, by the price alone. No spot is read in another way.
    """

    price: float
    dark: int
    false_splits: float
    false_looks: float
    sums: ChannelSums | None = None
    slack: Tensor | None = None
    shared: Callable[[Landscape], SharedInformation] = shared_information

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after changes of ties, looks and arrangements, and how many sites were divided."""
        split, memory, dearer = 0, Memory(), 1.0
        cheapest: tuple[FittedSites, int] | None = None
        attempts = Attempts(self.price, self.false_splits, self.false_looks, self.sums, memory)
        for turn in range(_ROUNDS):
            land = Landscape(charts.movie, fitted.sites, charts)
            changed, divided = self._changed(land, memory)
            settled = changed is None
            if changed is not None:
                fitted, split = climb_sites(charts.movie, changed, charts, _STEPS), split + divided
            # While ties change, light beside a molecule may be that of one that moves: after the first search
            # the next one waits until they are settled.
            if turn == 0 and not settled:
                land = Landscape(charts.movie, fitted.sites, charts)
            if turn and not settled:
                continue
            if settled:
                if cheapest is None:
                    images = images_of(charts.movie, fitted.sites)
                    dearer = float(scatter_of_frames(charts.movie, images).mean())
                elif self._cost(fitted, dearer) > self._cost(cheapest[0], dearer) - _LEAST_GAIN:
                    return cheapest
                cheapest = fitted, split
            changed = attempts(land, settled=settled)
            if changed is None and settled:
                break
            if changed is not None:
                fitted = climb_sites(charts.movie, changed, charts, _STEPS)
        # The last of all rounds may have ended amid changes.
        if cheapest is not None and self._cost(cheapest[0], dearer) < self._cost(fitted, dearer):
            return cheapest
        return fitted, split

    def _cost(self, fitted: FittedSites, dearer: float) -> float:
        """Deviance, and the prices of sites and looks, so many times as dear as in noise."""
        return fitted.cost + dearer * price_of(fitted.sites, self.price)

    def _changed(self, land: Landscape, memory: Memory) -> tuple[Sites | None, int]:
        """The sites with what is to be changed, each site in one way; None if nothing is. And how many
        divided."""
        retied, free, divided = self._retied(land, memory)
        if land.sites.channels > 1 and self.sums is None:
            gone = unneeded(land, land.bound(), (self.false_looks, self.price), free)
        else:
            gone = unneeded_looks(land, land.bound(), self.false_looks, free)
        free[land.sites.site[gone]] = False
        memory.removes(land.sites, gone)
        new = missing_looks(land, self.false_looks, free, memory)
        if retied is None and not bool(gone.any()) and not len(new.site):
            return None, 0
        changed = (land.sites if retied is None else retied).of_looks((~gone).nonzero()[:, 0])
        return changed.with_looks(new.site, new.image, new.photons).compact(), divided

    def _retied(self, land: Landscape, memory: Memory) -> tuple[Sites | None, Tensor, int]:
        """The sites divided and joined (None: none is), which sites are as they were, (S,) bool, and how many
        were divided."""
        sites = land.sites
        free = torch.ones(len(sites), dtype=torch.bool)
        site, loose = sites.site.clone(), sites.loose.clone()
        place, more = sites.place.clone(), [sites.place[:0]]
        shared = self.shared(land)
        divided = splittings(land, shared, self.false_splits, self.slack)
        divided = [part for part in divided if memory.divides(sites, part.looks)]
        for part in divided:
            site[part.looks] = len(sites) + sum(map(len, more))
            more.append(part.place[None])
            free[part.site] = False
        moving = [part for part in movings(land, shared, self.dark) if bool(free[part.site])]
        for part in moving:
            first = len(sites) + sum(map(len, more))
            site[part.looks] = first + part.which
            more.append(part.place)
            loose[part.looks] = True
        free[sites.site[loose]] = False
        joined = joinings(land, self.false_splits, self.dark, self.slack)
        joined = [pair for pair in joined if bool(free[pair.kept] & free[pair.gone])]
        for pair in joined:
            site[site == pair.gone] = pair.kept
            place[pair.kept] = pair.place
            free[[pair.kept, pair.gone]] = False
        if not (divided or moving or joined):
            return None, free, 0
        changed = replace(sites, loose=loose).assigned(site, torch.cat([place, *more]))
        return changed, free, len(divided) + len(moving)
