"""Molecules that are missing and spots that may be two: which changes of the looks are tried, and how."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..refine import Bounds
from .arrangements import Arrangement, looks_beside, pairs_for_spots, without_site
from .covariance import Bound, Landscape
from .divisions import divisions
from .looks import brought, dark_neighbours, gain_of_looks, needed_gain, weak_sites
from .memory import Memory
from .movie import Movie
from .neighbourhood import images_of
from .score import score_over_frames
from .state import Sites
from .sums import ChannelSums
from .trials import LOOK, OverFrames, tried
from .unions import unions
from .unseen import Unseen, UnseenMolecules, scatter_of_frames

__all__ = ["Attempts"]

# Gain of a molecule by itself, in units of its price, from which on it is a candidate.
_PROMISING = 0.3
# Gain with all else fitted again, to second order, in the same units: from the first on a candidate is tried in
# its neighbourhood, from the second on it is simply added at first; what does not prove true goes afterwards.
_LIKELY = 1.2
_SURE = 1.8
# What a site brings to second order, in the same units, up to which the fit is tried without it.
_DOUBTFUL = 1.3
_REPLACEABLE = 6.0  # the same where sites beside it may have its light
# Gain of the deviance by the looks of a spot that may be two, each by itself beside the spot, from which on it
# is tried: noise gives 0.5 a look.
_MAY_BE_TWO = 6.0
# Gain to second order of a site as two, in units of the price, from which on it is divided on trial.
_DIVIDED = 0.2
_APART_UM = 2.0  # distance of candidates that are added at a time if they share frames, µm
_AGAIN_UM = 2.0  # distance from a change within which all is tried again, µm


class Attempts:
    """Spots read in another way, and molecules that were missing: what was tried in vain is tried again only
    where something near it has changed.

    price: penalty for one molecule;  false_splits, false_looks: see `SiteFit`;
    sums: of the matched filter for missing molecules, None: none are added;  memory: of looks removed.
    Where channels have images of their own, no spot of one of them is read in another way: sites are only
    added, and left out.
    """

    def __init__(
        self,
        price: float,
        false_splits: float,
        false_looks: float,
        sums: ChannelSums | None,
        memory: Memory,
    ) -> None:
        self._price, self._false_splits, self._false_looks = price, false_splits, false_looks
        self._memory = memory
        self._unseen = None if sums is None else UnseenMolecules(sums, _PROMISING * price)
        # What was tried, and where, (2,) µm.
        self._tried: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, land: Landscape, *, settled: bool) -> Sites | None:
        """The sites with molecules that are missing or, if there are none, after changes that pay; None if
        none does.

        settled: whether ties and looks stay; if not, light beside a molecule does not count.
        """
        sites, bounds = land.sites, land.movie.bounds
        if sites.channels > 1 and self._unseen is None:
            return None
        images = images_of(land.movie, sites)
        scatter = scatter_of_frames(land.movie, images)
        missing = self._missing(land, images, scatter, beside=settled)
        sure = _apart([one for one, gain in missing if gain > _SURE * self._price])
        # Once all else is settled they are tried with the other changes: a round costs more than the trials.
        if sure and not settled:
            return self._added(sites, sure, bounds)
        dark, bound = _dark(sites), land.bound()
        wanted = self._needless(land, bound, dark)
        if settled and sites.channels == 1:
            wanted += self._beside(land, dark) + self._united(land, bound) + self._divided(land)
        wanted += [one.arrangement(sites, bounds) for one, _ in missing]
        return self._after_trials(land, images, scatter, wanted)

    def _needless(self, land: Landscape, bound: Bound, dark: list[tuple[int, int]]) -> list[Arrangement]:
        """The list without one of the sites that seem to bring too little, or little if others may have their
        light, for each of them.

        dark: site and image of the looks that may be missing.
        """
        sites = land.sites
        rests = ~torch.isin(torch.arange(len(sites)), sites.site[sites.loose])
        weak, more = (
            weak_sites(sites, bound, share * self._price) & rests for share in (_DOUBTFUL, _REPLACEABLE)
        )
        without = [(site, without_site(sites, site, dark)) for site in more.nonzero()[:, 0].tolist()]
        found = [one for site, one in without if bool(weak[site]) or len(one.site)]
        return [one for one in found if one.key(sites) not in self._tried]

    def _united(self, land: Landscape, bound: Bound) -> list[Arrangement]:
        """Sites that may be pieces of one molecule."""
        sites = land.sites
        little, saved = _REPLACEABLE * self._price, self._price - LOOK
        found = unions(sites, brought(sites, bound), little, saved, self._false_splits)
        return [one for one in found if one.key(sites) not in self._tried]

    def _divided(self, land: Landscape) -> list[Arrangement]:
        """Sites at rest that may be two molecules in all their frames."""
        if self._unseen is None:
            return []
        sites = land.sites
        moves = torch.isin(torch.arange(len(sites)), sites.site[sites.loose])
        two = divisions(land.movie, sites, _DIVIDED * self._price, moves)
        ways = zip(two.site.tolist(), two.half, strict=True)
        found = [Arrangement.division(sites, site, half) for site, half in ways]
        return [one for one in found if one.key(sites) not in self._tried]

    def _missing(
        self, land: Landscape, images: list[Tensor], scatter: Tensor, *, beside: bool
    ) -> list[tuple[Unseen, float]]:
        """Molecules that no frame shows and that have not been tried, and what each should gain, best first.

        The gain is divided by that of chance.
        """
        if self._unseen is None:
            return []
        sites, bounds = land.sites, land.movie.bounds
        unseen = self._unseen(land.movie, images, scatter)
        new = [one for one in unseen if beside or not one.is_beside(sites)]
        new = [one for one in new if self._is_new(one.arrangement(sites, bounds), sites)]
        if not new:
            return []
        place = torch.cat([one.arrangement(sites, bounds).new for one in new])
        spans = [one.images(sites) for one in new]
        gain = score_over_frames(land, place, *torch.tensor(spans).unbind(1))
        dearer = _of_images(land.movie, scatter)
        gain = gain / torch.stack([dearer[first : last + 1].mean() for first, last in spans])
        order = gain.argsort(descending=True, stable=True).tolist()
        return [(new[k], float(gain[k])) for k in order if gain[k] > _LIKELY * self._price]

    def _is_new(self, one: Arrangement, sites: Sites) -> bool:
        """Whether a molecule was neither tried nor found and removed again."""
        there = self._memory.allows(one.new.expand(len(one.image), -1), one.image)
        return one.key(sites) not in self._tried and bool(there.any())

    def _added(self, sites: Sites, sure: list[Unseen], bounds: Bounds) -> Sites:
        """The sites with some more."""
        self._again_near([one.arrangement(sites, bounds) for one in sure])
        for one in sure:
            new = one.arrangement(sites, bounds)
            place = torch.cat([sites.place, new.new])
            sites = sites.assigned(sites.site, place).with_looks(new.site, new.image, new.photons)
        return sites

    def _beside(self, land: Landscape, dark: list[tuple[int, int]]) -> list[Arrangement]:
        """Spots beside a molecule, or between two, that other frames know; dark: as of `_needless`."""
        sites = land.sites
        others = looks_beside(sites, dark) + pairs_for_spots(sites, dark)
        others = [one for one in others if one.key(sites) not in self._tried]
        gain = sites.place.new_zeros(len(sites), sites.images)
        for one in others:
            gain[one.site, one.image] = 1.0
        tested = gain_of_looks(land, *gain.nonzero().unbind(1))
        gain[tested.site, tested.image] = tested.gain
        # What gains less would go again by the test of single looks.
        least = needed_gain(self._false_looks) - LOOK
        return [
            replace(one, least=least) for one in others if float(gain[one.site, one.image].sum()) > _MAY_BE_TWO
        ]

    def _after_trials(
        self, land: Landscape, images: list[Tensor], scatter: Tensor, wanted: list[Arrangement]
    ) -> Sites | None:
        """The sites after those changes that pay."""
        if not wanted:
            return None
        sites = land.sites
        rules = OverFrames(self._price, self._false_looks, _of_images(land.movie, scatter))
        after = tried(land.movie, sites, images, wanted, rules)
        self._tried.update((one.key(sites), one.centre) for one in after.vain)
        self._again_near(after.made)
        for one in after.made:
            self._memory.removes(sites, one.removed(sites))
        return after.sites if after.made else None

    def _again_near(self, made: list[Arrangement]) -> None:
        for one in made:
            for key in [key for key, at in self._tried.items() if (at - one.centre).norm() < _AGAIN_UM]:
                del self._tried[key]


def _of_images(movie: Movie, scatter: Tensor) -> Tensor:
    """What is said of each channel's frames, (B·C,), for each image."""
    return scatter.view(len(movie), -1).mean(1)


def _dark(sites: Sites) -> list[tuple[int, int]]:
    """Site and image of the looks that may be missing, of sites at rest."""
    moving = set(sites.site[sites.loose].tolist())
    pairs = zip(*map(Tensor.tolist, dark_neighbours(sites)), strict=True)
    return [(site, frame) for site, frame in pairs if site not in moving]


def _apart(found: list[Unseen]) -> list[Unseen]:
    """Those that are far from each better one, or in other frames;  found: the best one first."""
    kept: list[Unseen] = []
    for one in found:
        near = [other for other in kept if float((other.xyz[:2] - one.xyz[:2]).norm()) < _APART_UM]
        if not any(one.first <= other.last and other.first <= one.last for other in near):
            kept.append(one)
    return kept
