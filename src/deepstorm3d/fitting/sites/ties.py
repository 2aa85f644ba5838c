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
from .shared_information import AT_LEAST_KNOWN, SharedInformation

__all__ = [
    "Joining",
    "Moving",
    "Splitting",
    "chi_square_point",
    "joinings",
    "movings",
    "splittings",
]

_LONGEST_UM = 0.5  # largest distance of two sites that are compared, µm
# Gain of the deviance from which on a site is taken to move. Whatever the speed, one at rest exceeds it in at
# most 2.3 % of cases: the gain is normal with the mean −d² and the variance 4d², for a movement of d σ.
_MOVING = 4.0
_FURTHEST_UM = 0.3  # largest first guess of the distance of looks that are split off, µm


@dataclass(frozen=True)
class Splitting:
    """Looks (index) of a site that have a place of their own, and that place (q,)."""

    site: int
    looks: Tensor
    place: Tensor


@dataclass(frozen=True)
class Moving:
    """A site that moves, its looks (index), the places (n, q) that it has one after the other, and of each look
    which of them is its own."""

    site: int
    looks: Tensor
    place: Tensor
    which: Tensor


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


def splittings(
    land: Landscape, shared: SharedInformation, chance: float, slack: Tensor | None = None
) -> list[Splitting]:
    """For each site that is not one molecule, where it is best divided.

    All looks to a frame, and every single look, are compared with the others; the dearest tie is cut.
    chance: that a molecule at rest is divided;  slack: (3,) µm², variance of the distance of two looks of one
    molecule that the images do not know of, None: there is none.
    """
    place, known = land.sites.place, land.sites.known
    found: list[Splitting] = []
    for few in shared.groups:
        # Sites with this number of looks, all of them known from before or none.
        count, before = few.looks.shape[1], bool(known[few.sites[0]])
        groups = _groups(count, before)
        chosen = torch.zeros(len(groups), count, dtype=torch.float64)
        for number, group in enumerate(groups):
            chosen[number, group] = 1.0
        pull = torch.einsum("gk,ska->sga", chosen, few.pull)
        stiff = torch.einsum("gi,gj,sijab->sgab", chosen, chosen, few.information)
        shift, wrong = torch.linalg.solve_ex(stiff + AT_LEAST_KNOWN * torch.eye(3).double(), pull)
        if slack is None:
            gain = torch.where(wrong == 0, (pull * shift).sum(2), 0.0)
        else:
            variance = torch.linalg.inv_ex(stiff + AT_LEAST_KNOWN * torch.eye(3).double())[0] + slack.diag()
            far = torch.linalg.solve_ex(variance, shift)[0]
            gain = torch.where(wrong == 0, (shift * far).sum(2), 0.0)
        best, which = gain.max(1)
        most = chi_square_point(chance / len(groups), 3)
        for row in (best > most).nonzero()[:, 0].tolist():
            site, number = int(few.sites[row]), int(which[row])
            to = place[site].clone()
            to[:3] += shift[row, number].clamp(-_FURTHEST_UM, _FURTHEST_UM)
            found.append(Splitting(site, shared.every(land, few.looks[row, groups[number]]), to))
    return sorted(found, key=lambda each: each.site)


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
    some, found = sites.looks > 0, dict[int, Moving]()
    for one, other in (
        pair for pairs in (both, both[::-1]) for pair in zip(*map(Tensor.tolist, pairs), strict=True)
    ):
        if one not in shared.where or not bool(some[other]) or one in found:
            continue
        looks, pull, information = shared.of_site(one)
        if len(looks) < 2:
            continue
        speed = (sites.place[other, :3] - sites.place[one, :3]) / (time[other] - time[one])
        shift = (sites.frame[looks].double() - time[one])[:, None] * speed
        gain = 2 * (shift * pull).sum() - torch.einsum("ia,ijab,jb->", shift, information, shift)
        if float(gain) > _MOVING:
            place = sites.place[one].repeat(len(looks), 1)
            place[:, :3] += shift
            every = shared.every(land, looks)
            which = torch.searchsorted(sites.frame[looks], sites.frame[every])
            found[one] = Moving(one, every, place, which)
    return list(found.values())


def joinings(land: Landscape, chance: float, dark: int, slack: Tensor | None = None) -> list[Joining]:
    """Pairs of sites that follow each other in time and are one molecule, each site in one pair at most.

    chance: that two sites of one molecule are not joined;  dark: frames in which it may be missing;
    slack: as of `splittings`.
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
    if slack is not None:
        variance[:, :3, :3] += slack.diag()
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


def _groups(looks: int, known: bool) -> list[Tensor]:
    """Looks that may have a place of their own: from one on, and single ones between others."""
    every = torch.arange(looks)
    later = [every[k:] for k in range(0 if known else 1, looks)]
    return later + [every[k : k + 1] for k in range(0 if known else 1, looks - 1)]
