"""More passes of the network over crowded frames and doubtful molecules, and exchange between their lists."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .doubt import doubtful, pairs_overlap
from .exchange import exchanged
from .likelihood import Likelihood
from .refine import Refined
from .second_pass import SecondPass, crowded, half
from .selection import DIVIDING_ROUNDS, Selector
from .unexplained import FAR, misfit_of_frames

__all__ = ["Passes"]

_PASSES = 10  # largest number of passes over a crowded frame
# After so many passes in vain in succession a frame gets no more, …
_IN_VAIN = 4
# … or after so many, if none has gained yet.
_AT_FIRST = 2
_LEAST_GAIN = 0.1  # decrease of the cost by less than this many penalties: the pass was in vain


@dataclass(frozen=True)
class Passes:
    """Frees the search from wrong arrangements by other lists of the same frame.

    In each pass the network sees the frame without a part of the molecules (`SecondPass`); what it finds is
    fitted with the rest as a second list of the whole frame. Of the two lists the better one is kept, and
    takes over from the other whatever lowers its cost (`exchanged`). So the cost of a frame never rises.

    First the doubtful molecules alone stay in the frame (`doubtful`), wherever spots overlap. Of crowded frames
    with such molecules the network then sees one half of the list after another: its candidates join the list
    in one pass and replace the half in the next.
    """

    selector: Selector
    network: SecondPass

    @torch.no_grad()
    def __call__(self, start: Refined, likelihood: Likelihood, *, rounds: int = 8) -> Refined:
        """The fit of all frames; those that the model does not explain stay as they are."""
        explained = misfit_of_frames(likelihood, start.deviance) <= FAR
        other = torch.zeros_like(explained)
        overlapping = (pairs_overlap(start.state) & explained).nonzero()[:, 0]
        best, doubted, gained = self._without_doubt(start, likelihood, overlapping)
        other[gained] = True
        active = doubted[crowded(best.state)[doubted]]
        vain = torch.full_like(active, _IN_VAIN - _AT_FIRST)
        for number in range(_PASSES):
            if not len(active):
                break
            light, now = likelihood.select(active), best.select(active)
            shown = half(now.state, number)
            after, fruit = self._pass(now, active, light, shown, replaced=number % 2 == 1)
            best = best.replaced(active, after)
            other[active[fruit]] = True
            vain = torch.where(fruit, 0, vain + 1)
            active, vain = active[vain < _IN_VAIN], vain[vain < _IN_VAIN]
        return self._searched_again(best, likelihood, other.nonzero()[:, 0], rounds)

    def _without_doubt(
        self, start: Refined, likelihood: Likelihood, frames: Tensor
    ) -> tuple[Refined, Tensor, Tensor]:
        """The fit after a pass over doubtful molecules of `frames`, (K,); those with any; those that gained."""
        light, now = likelihood.select(frames), start.select(frames)
        shown = doubtful(self.selector, now, light)
        some = now.state.frame[shown].unique()
        if not len(some):
            return start, frames[:0], frames[:0]
        frames, light = frames[some], light.select(some)
        shown = shown[torch.isin(now.state.frame, some)]
        after, fruit = self._pass(now.select(some), frames, light, shown, replaced=False)
        return start.replaced(frames, after), frames, frames[fruit]

    def _pass(
        self, now: Refined, frames: Tensor, likelihood: Likelihood, shown: Tensor, *, replaced: bool
    ) -> tuple[Refined, Tensor]:
        """The better list of each frame after one pass, and which frames have gained: (B,) bool.

        frames: (B,) their numbers among all.
        """
        select, gained = self.selector, torch.zeros_like(now.settled)
        known = now.state, frames
        seen, new = self.network.seen(known, select.model, likelihood, shown, replaced=replaced)
        some = ((new > 0) & (seen.counts <= select.most)).nonzero()[:, 0]
        if not len(some):
            return now, gained
        light, part = likelihood.select(some), now.select(some)
        other = select.pruned(select.model.fit(seen.select(some), light, photon_sigma=True), light)
        worse = (select.cost(other) >= select.cost(part)).nonzero()[:, 0]
        base, rest = other.replaced(worse, part.select(worse)), part.replaced(worse, other.select(worse))
        mixed = exchanged(select, base, rest, light)
        fruit = (select.cost(mixed) < select.cost(part) - _LEAST_GAIN * select.price).nonzero()[:, 0]
        light, mixed = light.select(fruit), mixed.select(fruit)
        gained[some[fruit]] = True
        return now.replaced(some[fruit], select.pruned(select.settled(mixed, light), light)), gained

    def _searched_again(self, start: Refined, likelihood: Likelihood, frames: Tensor, rounds: int) -> Refined:
        """The fit after one more search for missing and for double molecules in frames that have changed."""
        if not len(frames):
            return start
        select, light, part = self.selector, likelihood.select(frames), start.select(frames)
        part = select.extended(part, light, select.missing, rounds)
        part = select.extended(part, light, select.divided, min(rounds, DIVIDING_ROUNDS))
        return start.replaced(frames, part)
