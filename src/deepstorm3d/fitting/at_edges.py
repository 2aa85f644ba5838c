"""Molecules at an edge of the field, of which a part of the spot is seen: the most likely of several places.

Such a part can look like a dimmer spot inside at another depth, so the likelihood has several maxima, and a fit
ends in that of its start. The highest is taken; where others are hardly lower, σ says how far away they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import UNKNOWN_SIGMA_UM, Localizations
from .changes import Changes
from .edge_starts import EdgeStarts, Places
from .likelihood import Likelihood
from .neighbourhoods import Neighbourhoods
from .refine import Refined
from .selection import Selector
from .state import JointState

__all__ = ["AtEdges", "widened"]

_ROUNDS = 12  # largest number of rounds of trials; in each, those far from one another are made together
_LEAST_GAIN = 0.05  # decrease of the deviance by which another place must be better


@dataclass(frozen=True)
class AtEdges:
    """Puts the molecules at the edges of frames to their most likely places.

    selector: with the model of the fit that is to be improved;  starts: finds other places.
    """

    selector: Selector
    starts: EdgeStarts

    @torch.no_grad()
    def __call__(self, now: Refined, likelihood: Likelihood) -> tuple[Refined, Tensor]:
        """The better fit, with its molecules in their order, and how far their other places are away.

        These are variances of x, y, z (µm²) and photons, (N, 4), about the place that is taken: of all places,
        each as likely as its deviance says. The cost of a frame never rises.
        """
        state = now.state
        others = self.starts(state, self.selector.model.image(state, likelihood), likelihood)
        if not len(others):
            return now, state.photons.new_zeros(len(state), 4)
        level, rows = now.deviance.new_zeros(len(state)), others.row.unique()
        known = Places.of(state, rows, rows, level[rows])
        numbers = torch.arange(len(state), device=state.frame.device)
        best = replace(now, state=replace(state, origin=numbers, refused=None, rank=None))
        for _ in range(_ROUNDS):
            if not len(others):
                break
            changes = _changes(best.state, others)
            chosen = changes.strongest()
            best, level, there = self._tried(best, likelihood, changes.select(chosen), level)
            known, others = known.joined(there), others.select(~chosen)
        known = replace(known, deviance=known.deviance - level[known.row])
        return replace(best, state=replace(best.state, origin=state.origin)), _spread(best.state, known)

    def _tried(
        self, now: Refined, likelihood: Likelihood, changes: Changes, level: Tensor
    ) -> tuple[Refined, Tensor, Places]:
        """The list with those changes that lower its cost, the new `level`, and the places that were tried.

        now: the origin of a molecule is its number;
        level: (N,), by how much each one's deviance differs from that at its first place.
        """
        model, row = self.selector.model, changes.gone
        near = Neighbourhoods(model, now.state, model.image(now.state, likelihood), likelihood, changes)
        fitted = near.model.fit(near.changed(), near.likelihood)
        gain = near.deviance - fitted.deviance
        after, accepted = self.selector.merged(now, likelihood, near, fitted.state, gain - _LEAST_GAIN)
        assert fitted.state.origin is not None and after.state.origin is not None
        after = replace(after, state=after.state.rows(after.state.origin.argsort()))
        moved = (fitted.state.origin == row[fitted.state.frame]).nonzero()[:, 0]
        there = Places.of(fitted.state, moved, row, level[row] - gain)
        return after, level.index_add(0, row, torch.where(accepted, -gain, 0.0)), there


def widened(table: Localizations, spread: Tensor) -> Localizations:
    """The table with the variances (N, 4) of `AtEdges` added to those of its places and photons."""
    assert table.sigma_xyz is not None and table.sigma_photons is not None
    xyz = (table.sigma_xyz.square() + spread[:, :3]).sqrt().clamp(max=UNKNOWN_SIGMA_UM)
    photons = (table.sigma_photons.square() + spread[:, 3]).sqrt()
    some = (spread > 0).any(1)
    return replace(
        table,
        sigma_xyz=torch.where(some[:, None], xyz, table.sigma_xyz),
        sigma_photons=torch.where(some, photons, table.sigma_photons),
    )


def _changes(state: JointState, places: Places) -> Changes:
    """Molecules of a list each put to another place, of its own."""
    each = torch.arange(len(places), device=places.row.device)
    level = places.photons.new_zeros(len(places), 1, 1)
    new = JointState(places.xyz, places.photons, each, level, blur_px=places.blur_px, origin=places.row)
    place = state.xyz[places.row, :2]
    return Changes(state.frame[places.row], place, places.promise, places.row, each, new)


def _spread(state: JointState, known: Places) -> Tensor:
    """Variances of x, y, z and photons about the places of a state, (N, 4), for other places as well."""
    others = known.distinct(state)
    share = (-0.5 * others.deviance.clamp(min=0)).exp()
    xyz, photons = others.xyz - state.xyz[others.row], others.photons - state.photons[others.row]
    square = share[:, None] * torch.cat([xyz, photons[:, None]], 1).square()
    total = share.new_ones(len(state)).index_add(0, others.row, share)
    sums = share.new_zeros(len(state), 4).index_add(0, others.row, square)
    return (sums / total[:, None]).to(state.xyz)
