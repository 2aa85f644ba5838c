"""Which looks are one molecule: a tie costs three unknowns less, and the deviance must not rise by more.

Both tests are made at the fitted state and need no trial fit. Whether some looks of a site have a place of
their own is a score test (Rao 1948); whether two sites have the same place is a Wald test. Both statistics are
the rise of the deviance by the tie to second order, χ² with three degrees of freedom where the looks are one
molecule.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .covariance import Landscape
from .frames import shares_of_sites

__all__ = [
    "Joining",
    "Moving",
    "SharedInformation",
    "Splitting",
    "chi_square_point",
    "joinings",
    "movings",
    "shared_information",
    "splittings",
]

_LONGEST_UM = 0.5  # largest distance of two sites that are compared, µm
# Gain of the deviance from which on a site is taken to move. Whatever the speed, one at rest exceeds it in at
# most 2.3 % of cases: the gain is normal with the mean −d² and the variance 4d², for a movement of d σ.
_MOVING = 4.0
# Information (1/µm²) of a place that is known to 0.3 µm anyway: a look with no light has no other.
_SURE = 10.0
_FURTHEST_UM = 0.3  # largest first guess of the distance of looks that are split off, µm


@dataclass(frozen=True)
class Splitting:
    """Looks (index) of a site that have a place of their own, and that place (q,)."""

    site: int
    looks: Tensor
    place: Tensor


@dataclass(frozen=True)
class Moving:
    """A site that moves, its looks (index), and the place of each, (n, q)."""

    site: int
    looks: Tensor
    place: Tensor


@dataclass(frozen=True)
class Joining:
    """Two sites that are one, kept < gone, and their common place (q,)."""

    kept: int
    gone: int
    place: Tensor


def chi_square_point(chance: float, degrees: int) -> float:
    """The value that χ² exceeds with this chance."""
    from scipy.special import chdtri

    return float(chdtri(degrees, chance))


def splittings(land: Landscape, shared: SharedInformation, chance: float) -> list[Splitting]:
    """For each site that is not one molecule, where it is best divided.

    All looks to a frame, and every single look, are compared with the others; the dearest tie is cut.
    chance: that a molecule at rest is divided.
    """
    sites = land.sites
    found: list[Splitting] = []
    by_site = torch.argsort(sites.site, stable=True)
    ends, known_before = sites.looks.cumsum(0).tolist(), land.sites.known.tolist()
    for site, known in enumerate(known_before):
        rows = by_site[ends[site - 1] if site else 0 : ends[site]]
        if len(rows) + known < 2:
            continue
        groups = _groups(len(rows), known)
        best, most = None, chi_square_point(chance / len(groups), 3)
        for group in groups:
            looks = rows[group]
            pull = torch.stack([shared.pull[look] for look in looks.tolist()]).sum(0)
            stiff = shared.released(looks.tolist())
            shift, singular = torch.linalg.solve_ex(stiff + _SURE * torch.eye(3).double(), pull)
            gain = float(pull @ shift)
            if gain > most and not bool(singular):
                most, best = gain, (looks, shift)
        if best is not None:
            place = sites.place[site].clone()
            place[:3] += best[1].clamp(-_FURTHEST_UM, _FURTHEST_UM)
            found.append(Splitting(site, best[0], place))
    return found


def movings(land: Landscape, shared: SharedInformation, dark: int) -> list[Moving]:
    """Sites that are likelier to move, with the speed by which a site after or before them would be the same
    molecule, than to rest.

    A molecule that moves less in a frame than its σ is not divided between two frames by `splittings`, but its
    parts follow one another on a line. The likelihood ratio to rest is of second order.
    """
    sites = land.sites
    both = _neighbours_in_time(land, dark)
    time = sites.place.new_zeros(len(sites)).index_add(0, sites.site, sites.frame.double())
    time = time / sites.looks.clamp(min=1)
    looks_of: dict[int, list[int]] = {}
    for look, site in enumerate(sites.site.tolist()):
        looks_of.setdefault(site, []).append(look)
    found: dict[int, Moving] = {}
    for one, other in (
        pair for pairs in (both, both[::-1]) for pair in zip(*map(Tensor.tolist, pairs), strict=True)
    ):
        looks = looks_of.get(one, [])
        if len(looks) < 2 or other not in looks_of or one in found:
            continue
        speed = (sites.place[other, :3] - sites.place[one, :3]) / (time[other] - time[one])
        shift = (sites.frame[looks].double() - time[one])[:, None] * speed
        gain = 2 * (shift * shared.pull[looks]).sum()
        for i, look in enumerate(looks):
            for j, also in enumerate(looks):
                gain = gain - shift[i] @ shared.of_two(look, also) @ shift[j]
        if float(gain) > _MOVING:
            place = sites.place[one].repeat(len(looks), 1)
            place[:, :3] += shift
            found[one] = Moving(one, torch.tensor(looks), place)
    return list(found.values())


def joinings(land: Landscape, chance: float, dark: int) -> list[Joining]:
    """Pairs of sites that follow each other in time and are one molecule, each site in one pair at most.

    chance: that two sites of one molecule are not joined;  dark: frames in which it may be missing.
    """
    sites, most = land.sites, chi_square_point(chance, 3)
    one, other = _neighbours_in_time(land, dark)
    rests = torch.ones(len(sites), dtype=torch.bool)
    rests[sites.site[sites.loose]] = False
    one, other = one[rests[one] & rests[other]], other[rests[one] & rests[other]]
    if not len(one):
        return []
    off = sites.place[one, :3] - sites.place[other, :3]
    cross = land.of_sites(one, other)
    variance = land.of_sites(one, one) + land.of_sites(other, other) - cross - cross.mT
    solved = torch.linalg.solve_ex(variance[:, :3, :3], off[:, :, None])[0]
    rise = (off[:, None] @ solved)[:, 0, 0]
    # The common place is the mean weighted with the inverse covariance of both.
    towards = ((land.of_sites(one, one) - cross)[:, :, :3] @ solved)[:, :, 0]
    place, taken, found = sites.place[one] - towards, set[int](), list[Joining]()
    for pair in torch.argsort(rise, stable=True).tolist():
        i, j = int(one[pair]), int(other[pair])
        if float(rise[pair]) < most and i not in taken and j not in taken:
            taken |= {i, j}
            found.append(Joining(i, j, place[pair]))
    return found


def _neighbours_in_time(land: Landscape, dark: int) -> tuple[Tensor, Tensor]:
    """Pairs of near sites, one < other, that share no frame and have looks at most dark + 1 frames apart."""
    sites = land.sites
    seen = sites.seen().double()
    near = torch.cdist(sites.place[:, :3], sites.place[:, :3]) < _LONGEST_UM
    near &= seen @ seen.mT == 0
    near &= sites.near_in_time(dark + 1).double() @ seen.mT > 0
    near &= ~(sites.known[:, None] & sites.known)
    one, other = torch.triu(near, 1).nonzero().unbind(1)
    return one, other


@dataclass(frozen=True)
class SharedInformation:
    """Of each look: its own information about x, y, z (N, 3, 3) and its gradient (N, 3).

    both: for two looks of one site, what the fit of all places takes off the information about shifts of them.
    """

    own: Tensor
    pull: Tensor
    both: dict[tuple[int, int], Tensor]

    def of_two(self, one: int, other: int) -> Tensor:
        """Information about shifts of two looks of a site, or of one, all other unknowns fitted: (3, 3)."""
        taken = self.both[min(one, other), max(one, other)]
        own = self.own[one] if one == other else torch.zeros_like(taken)
        return own - (taken if one <= other else taken.mT)

    def released(self, looks: list[int]) -> Tensor:
        """Information about a common shift of some looks of a site: (3, 3)."""
        return torch.stack([self.of_two(one, other) for one in looks for other in looks]).sum(0)


def shared_information(land: Landscape) -> SharedInformation:
    """What the frames say of the places of single looks, all else fitted."""
    sites, q = land.sites, land.sites.each
    own, pull = sites.place.new_zeros(len(sites.site), 3, 3), sites.place.new_zeros(len(sites.site), 3)
    index = [shares_of_sites(sites, rows) for rows in land.slices]
    looks_of: dict[int, list[int]] = {}
    known = land.sites.known.tolist()
    for look, site in enumerate(sites.site.tolist()):
        looks_of.setdefault(site, []).append(look)
    image, first = sites.image.tolist(), [rows.start for rows in land.slices]
    both: dict[tuple[int, int], Tensor] = {}
    for number, (rows, part) in enumerate(zip(land.slices, land.parts, strict=True)):
        count = rows.stop - rows.start
        if not count:
            continue
        blocks = part.schur.view(count, q, count, q)
        own[rows] = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)[:, :3, :3]
        pull[rows] = part.pull.view(count, q)[:, :3]
        through = part.schur @ land.covariance[index[number]]
        for look in range(rows.start, rows.stop):
            mine = through[(look - rows.start) * q : (look - rows.start) * q + 3]
            site = int(sites.site[look])
            others = looks_of[site]
            for other in others:
                if other >= look and (len(others) > 1 or known[site]):
                    there = image[other]
                    begin = (other - first[there]) * q
                    both[look, other] = mine[:, index[there]] @ land.parts[there].schur[:, begin : begin + 3]
    return SharedInformation(own, pull, both)


def _groups(looks: int, known: bool) -> list[Tensor]:
    """Looks that may have a place of their own: from one on, and single ones between others."""
    every = torch.arange(looks)
    later = [every[k:] for k in range(0 if known else 1, looks)]
    return later + [every[k : k + 1] for k in range(0 if known else 1, looks - 1)]
