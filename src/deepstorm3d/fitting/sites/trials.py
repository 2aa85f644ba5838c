"""Arrangements of looks, each tried in its neighbourhood and made where it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ...watch import Watcher, advance
from ..parallel import side_by_side
from .arrangements import SAME_UM, Arrangement
from .charts import ROUGH, Charts
from .climb import climb_sites
from .covariance import Landscape
from .looks import unneeded
from .movie import Movie
from .neighbourhood import Neighbourhood
from .state import Sites

__all__ = ["LOOK", "OverFrames", "Rules", "Tried", "price_of", "tried"]

LOOK = 2.0
"""Price of a further look of a molecule: its photons, which fit noise where it is dark. Whether there is light
is tested for each look by itself."""
_PRUNINGS = 3  # largest number of times that needless looks are removed in a trial


class Rules(Protocol):
    """What sites cost, and which looks are removed in a trial."""

    @property
    def least(self) -> float:
        """Decrease of the cost above which an arrangement is made."""
        ...

    def cost(self, near: Neighbourhood, sites: Sites) -> float:
        """Of the sites of a neighbourhood, in units of the deviance."""
        ...

    def needless(self, near: Neighbourhood, land: Landscape) -> Tensor:
        """Looks (N,) bool of the fitted sites of a neighbourhood that are not needed."""
        ...


@dataclass(frozen=True)
class OverFrames:
    """Over frames: `price` for a molecule of one look, less for each further look.

    false_looks: share of false looks among the places without light;  scatter: (B,) by which chance gains are
    larger in each image.
    """

    price: float
    false_looks: float
    scatter: Tensor
    least: float = 1.0

    def cost(self, near: Neighbourhood, sites: Sites) -> float:
        """What sites and looks cost."""
        return self._dearer(near) * price_of(sites, self.price)

    def needless(self, near: Neighbourhood, land: Landscape) -> Tensor:
        """Sites and looks that bring too little."""
        free = torch.ones(len(land.sites), dtype=torch.bool)
        return unneeded(land, land.bound(), (self.false_looks, self._dearer(near) * self.price), free)

    def _dearer(self, near: Neighbourhood) -> float:
        return float(self.scatter[near.images].mean())


def price_of(sites: Sites, price: float) -> float:
    """What sites and looks cost, in units of the deviance;  price: of a molecule of one look."""
    count = int(((sites.looks > 0) & ~sites.known).sum())
    return (price - LOOK) * count + LOOK * len(sites.site)


@dataclass(frozen=True)
class Tried:
    """The sites after those arrangements that pay, the best ones first; these, and those in vain.

    An arrangement that pays beside a better one is in neither: it is to be tried again.
    """

    sites: Sites
    made: list[Arrangement]
    vain: list[Arrangement]


@dataclass(frozen=True)
class _Outcome:
    """A neighbourhood after a change, and the decrease of the cost by it."""

    near: Neighbourhood
    sites: Sites
    gain: float


def tried(
    movie: Movie, sites: Sites, images: list[Tensor], wanted: Sequence[Arrangement], rules: Rules
) -> Tried:
    """Try arrangements, each in its neighbourhood.

    images: expected photons of the images (`images_of`).
    """

    def of_one(number: int, watch: Watcher) -> _Outcome:
        advance(watch)
        return _tried(replace(movie, watch=watch), sites, images, wanted[number], rules)

    outcomes = side_by_side(of_one, len(wanted), movie.watch)
    taken = torch.zeros(len(sites), dtype=torch.bool)
    least = [max(rules.least, one.least) for one in wanted]
    pay = [number for number, outcome in enumerate(outcomes) if outcome.gain > least[number]]
    made: list[int] = []
    for number in sorted(pay, key=lambda k: -outcomes[k].gain):
        free = outcomes[number].near.free
        if not bool(taken[free].any()):
            taken[free] = True
            made.append(number)
    changed = _merged(sites, [outcomes[number] for number in made]) if made else sites
    vain = [one for number, one in enumerate(wanted) if number not in pay]
    return Tried(changed, [wanted[number] for number in made], vain)


def _tried(movie: Movie, sites: Sites, images: list[Tensor], wanted: Arrangement, rules: Rules) -> _Outcome:
    near = Neighbourhood(movie, sites, images, wanted.centre, *wanted.touched(sites))
    before = sum(
        near.movie.deviance(k, near.sites.of_image(k, rows, movie.dtype))
        for k, rows in enumerate(near.sites.slices())
    )
    before += float(near.sites.penalty()) + rules.cost(near, near.sites)
    charts = Charts(near.movie, ROUGH)
    fitted = climb_sites(near.movie, near.arranged(wanted), charts)
    best, least = near.sites, before
    for left in reversed(range(1 + _PRUNINGS)):
        cost = fitted.cost + rules.cost(near, fitted.sites)
        if cost < least:
            best, least = fitted.sites, cost
        if not left:
            break
        gone = rules.needless(near, Landscape(near.movie, fitted.sites, charts))
        new = fitted.sites.site >= len(near.free)
        # Without its new molecules a change is none.
        if not bool(gone.any()) or (len(wanted.new) and bool(gone[new].all())):
            break
        fitted = climb_sites(near.movie, fitted.sites.of_looks((~gone).nonzero()[:, 0]), charts)
    # The same list again, only fitted further, is no change.
    return _Outcome(near, best, 0.0 if _is_same(near.sites, best) else before - least)


def _is_same(before: Sites, after: Sites) -> bool:
    """Whether the looks are the same ones, and their sites where they were."""
    if not torch.equal(before.origin, after.origin):
        return False
    off = (after.place[after.site, :3] - before.place[before.site, :3]).abs()
    return not bool((off > SAME_UM).any())


def _merged(sites: Sites, outcomes: list[_Outcome]) -> Sites:
    """The sites with neighbourhoods, which share no site, as they were fitted."""
    place, photons, coefficients = sites.place.clone(), sites.photons.clone(), list(sites.coefficients)
    kept = torch.ones(len(sites.site), dtype=torch.bool)
    more, site, image, light = [place], [], [], []
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
        image.append(near.images[part.image[~old]])
        light.append(part.photons[~old])
        near.add_background(coefficients, part.coefficients)
    changed = replace(sites, photons=photons, coefficients=tuple(coefficients)).assigned(
        sites.site, torch.cat(more)
    )
    changed = changed.of_looks(kept.nonzero()[:, 0])
    return changed.with_looks(torch.cat(site), torch.cat(image), torch.cat(light)).compact()
