"""What the images say of the places of single looks of a site, or of all those of a frame, all else fitted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .covariance import Landscape
from .frames import unknowns_of_looks

__all__ = ["AT_LEAST_KNOWN", "SharedInformation", "information_of_frames", "shared_information"]

AT_LEAST_KNOWN = 10.0
"""Information (1/µm²) of a place that is known to 0.3 µm anyway: a look with no light has no other."""


@dataclass(frozen=True)
class _Alike:
    """Sites (n,) with k looks each, of all of which something is known from before, or of none.

    looks: (n, k), in order of frame;  pull: (n, k, 3) gradient by x, y, z of each look;
    information: (n, k, k, 3, 3) about shifts of two looks, all other unknowns fitted.
    """

    sites: Tensor
    looks: Tensor
    pull: Tensor
    information: Tensor


@dataclass(frozen=True)
class SharedInformation:
    """What the frames say of the places of single looks, all else fitted, of sites with two looks or more, or
    one and knowledge from before.

    where: of a site, its group and its row there;  of_frames: whether a look stands for all looks of its site
    in its frame.
    """

    groups: tuple[_Alike, ...]
    where: dict[int, tuple[int, int]]
    of_frames: bool = False

    def of_site(self, site: int) -> tuple[Tensor, Tensor, Tensor]:
        """Looks (k,), their gradients (k, 3) and the information about their shifts (k, k, 3, 3)."""
        group, row = self.where[site]
        alike = self.groups[group]
        return alike.looks[row], alike.pull[row], alike.information[row]

    def every(self, land: Landscape, looks: Tensor) -> Tensor:
        """All that some looks (k,) of a site stand for, in their order."""
        sites = land.sites
        if not self.of_frames:
            return looks
        here = (sites.site == sites.site[looks[0]]) & torch.isin(sites.frame, sites.frame[looks])
        return here.nonzero()[:, 0]


def shared_information(land: Landscape) -> SharedInformation:
    """What the frames say of the places of single looks."""
    sites, known = land.sites, land.sites.known
    site, counts = sites.site, sites.looks
    by_site, begin = torch.argsort(site, stable=True), counts.cumsum(0) - counts
    slot = torch.empty_like(site)
    slot[by_site] = torch.arange(len(site)) - begin[site[by_site]]
    useful = (counts + known > 1) & (counts > 0)
    own, pull = _of_looks(land)
    one, other, taken = _taken(land, useful)
    row, groups, where = torch.full_like(counts, -1), list[_Alike](), dict[int, tuple[int, int]]()
    for count, before in torch.stack([counts, known.long()], 1)[useful].unique(dim=0).tolist():
        inside = useful & (counts == count) & (known == bool(before))
        chosen, every = inside.nonzero()[:, 0], torch.arange(count)
        row[chosen] = torch.arange(len(chosen))
        looks = by_site[begin[chosen, None] + every]
        information = own.new_zeros(len(chosen), count, count, 3, 3)
        information[:, every, every] = own[looks]
        mine = inside[site[one]].nonzero()[:, 0]
        a, b, block = one[mine], other[mine], taken[mine]
        information[row[site[a]], slot[a], slot[b]] -= block
        far = a != b
        a, b, block = a[far], b[far], block[far]
        information[row[site[a]], slot[b], slot[a]] -= block.mT
        where.update((number, (len(groups), k)) for k, number in enumerate(chosen.tolist()))
        groups.append(_Alike(chosen, looks, pull[looks], information))
    return SharedInformation(tuple(groups), where)


def information_of_frames(land: Landscape) -> SharedInformation:
    """The same of all looks of a site in one frame together: channels of one frame show one place."""
    sites, known = land.sites, land.sites.known
    shared = shared_information(land)
    parts: dict[tuple[int, bool], list[tuple[int, Tensor, Tensor, Tensor]]] = {}
    for site in shared.where:
        looks, pull, information = shared.of_site(site)
        frames, row = sites.frame[looks].unique(return_inverse=True)
        if len(frames) < 2 and not bool(known[site]):
            continue
        first = torch.full_like(frames, len(sites.site)).scatter_reduce(0, row, looks, "amin")
        in_frame = (row == torch.arange(len(frames))[:, None]).double()
        both = torch.einsum("mk,nl,klab->mnab", in_frame, in_frame, information)
        parts.setdefault((len(frames), bool(known[site])), []).append((site, first, in_frame @ pull, both))
    groups, where = list[_Alike](), dict[int, tuple[int, int]]()
    for _, alike in sorted(parts.items()):
        numbers = [site for site, *_ in alike]
        where.update((site, (len(groups), row)) for row, site in enumerate(numbers))
        looks, pull, information = (torch.stack([one[k] for one in alike]) for k in (1, 2, 3))  # pyright: ignore[reportArgumentType]
        groups.append(_Alike(torch.tensor(numbers), looks, pull, information))
    return SharedInformation(tuple(groups), where, of_frames=True)


def _of_looks(land: Landscape) -> tuple[Tensor, Tensor]:
    """Each look's own information about x, y, z, (N, 3, 3), and its gradient, (N, 3)."""
    q, place = land.sites.each, land.sites.place
    own, pull = [place.new_zeros(0, 3, 3)], [place.new_zeros(0, 3)]
    for rows, part in zip(land.slices, land.parts, strict=True):
        count = rows.stop - rows.start
        blocks = part.schur.view(count, q, count, q).diagonal(dim1=0, dim2=2)
        own.append(blocks.permute(2, 0, 1)[:, :3, :3])
        pull.append(part.pull.view(count, q)[:, :3])
    return torch.cat(own), torch.cat(pull)


def _taken(land: Landscape, useful: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the fit of all places takes off the information about shifts of two looks of one site, or of one.

    useful: (S,) bool, the sites.  Returns pairs of looks, the first one not after the second, (P,) each, and
    (P, 3, 3).
    """
    sites, q = land.sites, land.sites.each
    index = [unknowns_of_looks(sites, rows) for rows in land.slices]
    seen = (sites.seen() & useful[:, None]).double()
    together = torch.triu(seen.mT @ seen > 0)
    one, other, taken = [sites.site[:0]], [sites.site[:0]], [sites.place.new_zeros(0, 3, 3)]
    for number, (rows, part) in enumerate(zip(land.slices, land.parts, strict=True)):
        later = together[number].nonzero()[:, 0].tolist()
        if not later:
            continue
        through = part.schur @ land.covariance[index[number]]
        for there in later:
            same = sites.site[rows, None] == sites.site[land.slices[there]]
            a, b = (same & useful[sites.site[rows], None]).nonzero().unbind(1)
            count = len(same), same.shape[1]
            both = (through[:, index[there]] @ land.parts[there].schur).view(count[0], q, count[1], q)
            one.append(rows.start + a)
            other.append(land.slices[there].start + b)
            taken.append(both[a, :, b][:, :3, :3])
    return torch.cat(one), torch.cat(other), torch.cat(taken)
