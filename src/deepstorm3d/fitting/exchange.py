"""Exchange between two fitted lists of the same frames: wherever they differ, the better of the two stays."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .changes import Changes
from .likelihood import Likelihood
from .refine import Refined
from .selection import Selector
from .state import JointState

__all__ = ["differences", "exchanged"]

_ROUNDS = 6  # largest number of rounds; each tries differences that are far from one another
# Two molecules of different lists nearer than this are the same one, µm; a distance in depth counts half.
_SAME_UM = 0.12
_LINKED_UM = 0.8  # molecules in only one of the lists that are nearer than this, laterally, are one difference
_BESIDE_UM = 1.0  # molecules of both lists nearer than this to a difference begin where the other list has them
_TRIED_UM = 0.05  # a difference nearer than this to one that was tried before is not tried again


def exchanged(selector: Selector, base: Refined, other: Refined, likelihood: Likelihood) -> Refined:
    """The lists of `base` with those parts of `other` that lower their cost (`Selector.cost`).

    Two local minima often differ in several places that have little to do with one another, and each list can
    be right where the other is wrong. Each difference is tried for itself in its neighbourhood, as in the
    partition crossover of Whitley, Hains & Howe (2009), so the result costs at most as much as `base`.
    """
    best = base
    tried = base.state.xyz.new_zeros(0, 2), base.state.frame[:0]
    for _ in range(_ROUNDS):
        changes = selector.few_enough(differences(best.state, other.state), best.state)
        again = torch.cdist(changes.place, tried[0], compute_mode="donot_use_mm_for_euclid_dist") < _TRIED_UM
        again &= changes.frame[:, None] == tried[1]
        changes = changes.select(~again.any(1))
        changes = changes.select(changes.strongest())
        if not len(changes):
            break
        tried = torch.cat([tried[0], changes.place]), torch.cat([tried[1], changes.frame])
        best, _ = selector.tried(best, likelihood, changes)
    return best


def differences(state: JointState, other: JointState) -> Changes:
    """What makes places of a list as they are in another: changes of the first, one for each difference.

    A difference is a group of molecules, linked by their distances, that only one of the lists has.
    """
    partner = _partners(state, other)
    lost, matched = (partner < 0).nonzero()[:, 0], (partner >= 0).nonzero()[:, 0]
    found = torch.ones_like(other.frame, dtype=torch.bool)
    found[partner[matched]] = False
    found = found.nonzero()[:, 0]
    place = torch.cat([state.xyz[lost, :2], other.xyz[found, :2]])
    frame = torch.cat([state.frame[lost], other.frame[found]])
    group, groups = _groups(place, frame)
    # Their neighbours come with them, because they were fitted together.
    far = _distances(state.xyz[matched, :2], state.frame[matched], place, frame)
    beside = torch.full_like(matched, -1)
    if len(place):
        least, nearest = far.min(1)
        beside = torch.where(least < _BESIDE_UM, group[nearest], beside)
    neighbours, of = matched[beside >= 0], beside[beside >= 0]
    rows = torch.cat([found, partner[neighbours]])
    change = torch.cat([group[len(lost) :], of])
    order = torch.argsort(change, stable=True)
    new = replace(
        other.rows(rows[order]),
        frame=change[order],
        coefficients=place.new_zeros(groups, 1, 1),
        begin_px=None,
        refused=None,
        rank=None,
    )
    count = torch.bincount(group, minlength=groups).to(place)
    first = torch.full_like(count, len(place)).scatter_reduce(
        0, group, torch.arange(len(place), device=group.device).to(count), "amin"
    )
    return Changes(
        frame=frame[first.long()],
        place=place.new_zeros(groups, 2).index_add(0, group, place) / count[:, None],
        gain=-first,
        gone=torch.cat([lost, neighbours]),
        gone_of=torch.cat([group[: len(lost)], of]),
        new=new,
    )


def _partners(state: JointState, other: JointState) -> Tensor:
    """The molecule of another list that each molecule is, −1: none.  (N,) int64."""
    if not len(state) or not len(other):
        return torch.full_like(state.frame, -1)
    scale = state.xyz.new_tensor([1.0, 1.0, 0.5])
    far = _distances(state.xyz * scale, state.frame, other.xyz * scale, other.frame)
    least, nearest = far.min(1)
    mutual = far.min(0).indices[nearest] == torch.arange(len(state), device=nearest.device)
    return torch.where(mutual & (least < _SAME_UM), nearest, -1)


def _groups(place: Tensor, frame: Tensor) -> tuple[Tensor, int]:
    """Group of each place, linked by distances within a frame, (n,) int64, and the number of groups."""
    near = _distances(place, frame, place, frame) < _LINKED_UM
    group = torch.arange(len(place), device=place.device)
    while len(place):
        least = torch.where(near, group, len(place)).min(1).values
        if torch.equal(least, group):
            break
        group = least
    names, group = group.unique(return_inverse=True)
    return group, len(names)


def _distances(place: Tensor, frame: Tensor, other: Tensor, other_frame: Tensor) -> Tensor:
    """Distances (n, m), µm, infinite between different frames."""
    far = torch.cdist(place, other, compute_mode="donot_use_mm_for_euclid_dist")
    return far.masked_fill(frame[:, None] != other_frame, torch.inf)
