"""Sites that may be one molecule which was found in pieces: each few of them are tried as one.

The light of a missing molecule is held by pieces of it, and by its neighbours, each where its own frames draw
it. The test of two sites for one place (`ties.joinings`) sees the pieces where they are; only a fit of them as
one shows where the molecule is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .arrangements import AXIAL, Arrangement
from .state import Sites
from .ties import chi_square_point

__all__ = ["unions"]

# Distance up to which two sites, and all pieces around one, are tried as one, µm.
_NEAR_UM = 0.4
_PIECES_UM = 0.2
# The same of two that both bring little, laterally and in depth: they are drawn to light that is not theirs.
_WEAK_UM = 0.8
_WEAK_Z_UM = 3.2
_DARK = 1  # frames between two pieces in which nothing shines


def unions(sites: Sites, brings: Tensor, little: float, saved: float, false_splits: float) -> list[Arrangement]:
    """Pairs of sites at rest, and all pieces around one, as one site from their first frame to the last.

    brings: (S,) decrease of the deviance by each site, to second order;  little: what brings less may be a
    piece of a molecule farther away;  saved: price of a molecule that is no more;  false_splits: chance
    that a molecule at rest is not tied: a tie may raise the deviance by no more than χ² of this chance allows
    (more would tie molecules that move).
    """
    rests = (sites.looks > 0) & ~sites.known
    rests[sites.site[sites.loose]] = False
    off = (sites.place[:, None, :3] - sites.place[:, :3]).abs()
    lateral, axial = off[..., :2].norm(dim=2), off[..., 2]
    far = torch.hypot(lateral, AXIAL * axial)
    weak = brings < little
    near = (far < _NEAR_UM) | ((lateral < _WEAK_UM) & (axial < _WEAK_Z_UM) & weak[:, None] & weak)
    both, follow, seen = rests[:, None] & rests, _follow(sites), sites.seen()
    near &= both & follow
    few = {(one, other) for one, other in torch.triu(near, 1).nonzero().tolist()}
    few |= _pieces(sites, far.masked_fill(~both, torch.inf), follow)
    found = []
    for members in sorted(few):
        ties = len(members) - 1
        shares = bool((seen[list(members)].sum(0) > 1).any())
        least = 0.0 if shares else ties * saved - chi_square_point(false_splits, 3 * ties)
        found.append(replace(_as_one(sites, list(members), brings), least=least))
    return found


def _follow(sites: Sites) -> Tensor:
    """Whether two sites share a frame, or few frames lie between theirs: (S, S) bool."""
    return sites.near_in_time(_DARK + 1).double() @ sites.seen().double().mT > 0


def _pieces(sites: Sites, far: Tensor, follow: Tensor) -> set[tuple[int, ...]]:
    """Three and more sites of different frames around one of them; far: (S, S) µm, infinite between others."""
    seen, near, found = sites.seen(), far < _PIECES_UM, set[tuple[int, ...]]()
    for site in (near.sum(1) > 2).nonzero()[:, 0].tolist():
        members, lit = [site], seen[site].clone()
        for other in far[site].argsort(stable=True)[: int(near[site].sum())].tolist():
            if other != site and not bool((lit & seen[other]).any()) and bool(follow[members, other].any()):
                members, lit = [*members, other], lit | seen[other]
        if len(members) > 2:
            found.add(tuple(sorted(members)))
    return found


def _as_one(sites: Sites, members: list[int], brings: Tensor) -> Arrangement:
    """The one that brings most, at the mean place of all, in their frames and those between; others go."""
    # Those that bring nothing have their places too.
    share = brings[members].clamp(min=1e-9)
    share = share / share.sum()
    place, kept = share @ sites.place[members], members[int(share.argmax())]
    mine = torch.isin(sites.site, torch.tensor(members))
    light = sites.photons.new_zeros(sites.images).index_add(0, sites.image[mine], sites.photons[mine])
    lit = (light > 0).nonzero()[:, 0]
    frames = torch.arange(int(lit.min()), int(lit.max()) + 1)
    frames = frames[~torch.isin(frames, sites.image[sites.site == kept])]
    # Where nothing shines it is given half as much as elsewhere.
    photons = torch.where(light > 0, light, light[lit].mean() / 2)[frames]
    return Arrangement(
        centre=place[:2],
        gone=(mine & (sites.site != kept)).nonzero()[:, 0],
        moved=torch.tensor([kept]),
        moved_to=place[None],
        new=sites.place[:0],
        site=torch.full_like(frames, kept),
        image=frames,
        photons=photons,
    )
