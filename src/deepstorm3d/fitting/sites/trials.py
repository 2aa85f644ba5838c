"""Arrangements of looks, each tried in its neighbourhood and made where it pays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...watch import Watcher, advance
from ..parallel import side_by_side
from .arrangements import Arrangement
from .charts import ROUGH, Charts
from .climb import climb_sites
from .covariance import Landscape
from .frames import Movie
from .looks import unneeded
from .neighbourhood import Neighbourhood
from .state import Sites

__all__ = ["Trials"]

_LEAST_GAIN = 1.0  # decrease of the cost from which on an arrangement is made
# Price of a further look of a molecule: its photons, which fit noise where it is dark. Whether there is light
# is tested for each look by itself.
_LOOK = 2.0
_PRUNINGS = 3  # largest number of times that needless looks are removed in a trial


@dataclass(frozen=True)
class _Outcome:
    """A neighbourhood after a change, and the decrease of the cost by it."""

    near: Neighbourhood
    sites: Sites
    gain: float


@dataclass(frozen=True)
class Trials:
    """Tries arrangements at what they cost: `price` for a molecule of one look, less for each further look.

    false_looks: share of false looks among the places without light.
    """

    price: float
    false_looks: float

    def made(
        self, movie: Movie, sites: Sites, images: list[Tensor], scatter: Tensor, wanted: list[Arrangement]
    ) -> tuple[Sites, list[Arrangement], list[Arrangement]]:
        """The sites after those arrangements that pay, the best ones first; these, and those in vain.

        images: expected photons of the frames (`images_of`);  scatter: (B,) by which chance gains are larger.
        """

        def tried(number: int, watch: Watcher) -> _Outcome:
            advance(watch)
            return self._tried(movie, sites, images, scatter, wanted[number])

        outcomes = side_by_side(tried, len(wanted), movie.watch)
        taken = torch.zeros(len(sites), dtype=torch.bool)
        pay = [number for number, outcome in enumerate(outcomes) if outcome.gain >= _LEAST_GAIN]
        made: list[int] = []
        for number in sorted(pay, key=lambda k: -outcomes[k].gain):
            free = outcomes[number].near.free
            if not bool(taken[free].any()):
                taken[free] = True
                made.append(number)
        changed = _merged(sites, [outcomes[number] for number in made]) if made else sites
        vain = [one for number, one in enumerate(wanted) if number not in pay]
        return changed, [wanted[number] for number in made], vain

    def prices(self, sites: Sites) -> float:
        """What sites and looks cost."""
        count = int(((sites.looks > 0) & ~sites.known).sum())
        return (self.price - _LOOK) * count + _LOOK * len(sites.site)

    def _tried(
        self, movie: Movie, sites: Sites, images: list[Tensor], scatter: Tensor, wanted: Arrangement
    ) -> _Outcome:
        near = Neighbourhood(movie, sites, images, wanted.centre, *wanted.touched(sites))
        dearer = float(scatter[near.frames].mean())
        before = sum(
            near.movie.deviance(k, near.sites.of_image(k, rows, movie.dtype))
            for k, rows in enumerate(near.sites.slices())
        )
        before += float(near.sites.penalty()) + dearer * self.prices(near.sites)
        charts = Charts(near.movie, ROUGH)
        fitted = climb_sites(near.movie, near.arranged(wanted), charts)
        for _ in range(_PRUNINGS):
            land = Landscape(near.movie, fitted.sites, charts)
            bound, free = land.bound(), torch.ones(len(fitted.sites), dtype=torch.bool)
            gone = unneeded(land, bound, (self.false_looks, dearer * self.price), free)
            if not bool(gone.any()):
                break
            new = fitted.sites.site >= len(near.free)
            if len(wanted.new) and bool(gone[new].all()):
                # The fit shows no light of the new molecules: without them all is as it was.
                return _Outcome(near, near.sites, 0.0)
            fitted = climb_sites(near.movie, fitted.sites.of_looks((~gone).nonzero()[:, 0]), charts)
        return _Outcome(near, fitted.sites, before - fitted.cost - dearer * self.prices(fitted.sites))


def _merged(sites: Sites, outcomes: list[_Outcome]) -> Sites:
    """The sites with neighbourhoods, which share no site, as they were fitted."""
    place, photons, coefficients = sites.place.clone(), sites.photons.clone(), list(sites.coefficients)
    kept = torch.ones(len(sites.site), dtype=torch.bool)
    more, site, frame, light = [place], [], [], []
    for outcome in outcomes:
        near, part = outcome.near, outcome.sites
        old, count = part.origin >= 0, len(near.free)
        place[near.free] = part.place[:count]
        kept[near.rows] = False
        kept[part.origin[old]] = True
        photons[part.origin[old]] = part.photons[old]
        begin = sum(map(len, more))
        number = torch.cat([near.free, begin + torch.arange(len(part) - count)])
        more.append(part.place[count:])
        site.append(number[part.site[~old]])
        frame.append(near.frames[part.frame[~old]])
        light.append(part.photons[~old])
        near.add_background(coefficients, part.coefficients)
    changed = replace(sites, photons=photons, coefficients=tuple(coefficients)).assigned(
        sites.site, torch.cat(more)
    )
    changed = changed.of_looks(kept.nonzero()[:, 0])
    return changed.with_looks(torch.cat(site), torch.cat(frame), torch.cat(light)).compact()
