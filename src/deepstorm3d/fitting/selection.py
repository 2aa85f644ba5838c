"""Model selection by likelihood: adds molecules that the residual requires, removes those it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .changes import Changes
from .frame_model import FrameModel
from .likelihood import Likelihood
from .neighbourhoods import Neighbourhoods
from .proposals import Proposer
from .refine import Refined
from .search import gain_threshold
from .second_pass import crowded
from .state import REMOVAL, JointState
from .unexplained import FAR, SureMolecules, misfit_everywhere, misfit_of_frames

__all__ = ["Selector"]

_Proposal = Callable[[JointState, Likelihood], Changes]

# Molecules with (photons/σ)² of at least this multiple of their penalty are kept without a trial removal …
_TRIED_BELOW = 2.0
# … and in frames that are not crowded of this one: there the likelihood is the parabola by which a removal
# costs so much more than it brings. Among many neighbours a removal frees wrong arrangements.
_TRIED_BELOW_APART = 1.3
# Extra penalty for molecules dimmer than the prior, in multiples of the penalty: structured background is
# easily mistaken for one.
_DIM_PENALTIES = 2.0
DIVIDING_ROUNDS = 2  # largest number of rounds in which molecules are divided
# Largest number of steps of the first fit of a list that is completed next: doubles that lose their light step
# by step are removed sooner than they are fitted.
_FIRST_STEPS = 5
# Share of a list that is few to be added in a round: of up to 33 molecules, none.
_FEW_ADDED = 0.03
_PRUNING_ROUNDS = 12  # largest number of rounds in which molecules are removed
_THINNING_ROUNDS = 4  # largest number of molecules that are tried to go for an added one


@dataclass(frozen=True)
class Selector:
    """Adds and removes molecules by a likelihood-ratio test at a given rate of false alarms.

    Each change is tried in its neighbourhood (`Neighbourhoods`) and accepted if it lowers the `cost`.

    model: of the frames;  propose: finds molecules that may be missing;
    false_alarms: fraction of frames of pure noise in which one molecule would be added;
    dim_photons: molecules dimmer than this are improbable, and have three times the penalty;
    most: largest number of molecules in a frame;
    expected: number of molecules that are known to be in each frame (`gain_threshold`).
    """

    model: FrameModel
    propose: Proposer
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    most: float = float("inf")
    expected: float = 1.0

    @property
    def price(self) -> float:
        """Penalty for one molecule: the decrease of the deviance that justifies its four unknowns."""
        return gain_threshold(self.propose.search.positions, self.false_alarms, self.expected)

    def cost(self, fitted: Refined) -> Tensor:
        """Deviance plus the penalties of the molecules, (B,): a change is accepted if it lowers this."""
        state = fitted.state
        dim = (state.photons < self.dim_photons).double()
        prices = torch.zeros_like(fitted.deviance).index_add_(0, state.frame, 1 + _DIM_PENALTIES * dim)
        return fitted.deviance + self.price * prices

    def completed(self, start: JointState, likelihood: Likelihood, rounds: int) -> Refined:
        """The fitted list; completed (`improve`) in so many rounds, if any."""
        fitted = self.model.fit(start, likelihood, _FIRST_STEPS if rounds else None, photon_sigma=rounds > 0)
        return self.improve(fitted, likelihood, rounds=rounds) if rounds else fitted

    @torch.no_grad()
    def improve(self, start: Refined, likelihood: Likelihood, *, rounds: int = 8) -> Refined:
        """Remove unneeded molecules, add missing ones in at most `rounds` rounds, then divide.

        A frame changes only if its `cost` falls. The exception is a frame that the model does not explain
        anywhere: its uncertain molecules are removed first (`SureMolecules`).
        """
        best = self.sure(start, likelihood, self._missed_everywhere(start, likelihood))
        best = self.pruned(best, likelihood)
        best = self.extended(best, likelihood, self.missing, rounds)
        return self.extended(best, likelihood, self.divided, min(rounds, DIVIDING_ROUNDS))

    def missing(self, state: JointState, likelihood: Likelihood) -> Changes:
        """Molecules to add to a list (`Proposer.missing`)."""
        return self.propose.missing(state, self.model.image(state, likelihood), likelihood, self.price)

    def divided(self, state: JointState, likelihood: Likelihood) -> Changes:
        """Molecules of a list to divide (`Proposer.divided`)."""
        return self.propose.divided(state, self.model.linear(state, likelihood), likelihood, self.price)

    def extended(self, start: Refined, likelihood: Likelihood, propose: _Proposal, rounds: int) -> Refined:
        """Add the proposed molecules, as long as the cost of a frame falls.

        In a frame that is not crowded the round is the last one that adds few: each costs a fit of the frame.
        """
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        apart = ~crowded(start.state)
        for _ in range(rounds):
            light, now = likelihood.select(active), best.select(active)
            changes = self.few_enough(propose(now.state, light), now.state)
            if not len(changes):
                break
            tried, changed = self._changed(now, light, changes)
            best = best.replaced(active, tried)
            added = torch.bincount(changes.frame, minlength=len(active))
            few = apart[active] & (added < _FEW_ADDED * now.state.counts)
            active = active[changed][~few[changed]]
            if not len(active):
                break
        return best

    def _changed(self, now: Refined, likelihood: Likelihood, changes: Changes) -> tuple[Refined, Tensor]:
        """The fit of whole frames with those changes that lower their cost, and the frames that have any."""
        tried, changed = self.tried(now, likelihood, changes)
        part, light = tried.select(changed), likelihood.select(changed)
        return tried.replaced(changed, self.pruned(self.settled(part, light), light)), changed

    def settled(self, now: Refined, likelihood: Likelihood) -> Refined:
        """The fit of whole frames after changes in their neighbourhoods."""
        everywhere = torch.arange(len(likelihood), device=now.deviance.device)
        return now.better(self.model.fit(now.state, likelihood, photon_sigma=True), everywhere, self.cost)

    def pruned(self, start: Refined, likelihood: Likelihood) -> Refined:
        """Remove molecules of low significance where the cost falls without them."""
        best, active = self._remembering(start), torch.arange(len(likelihood), device=start.deviance.device)
        below = torch.where(crowded(best.state), _TRIED_BELOW, _TRIED_BELOW_APART)
        for _ in range(_PRUNING_ROUNDS):
            light, now = likelihood.select(active), best.select(active)
            rank = self.ranks(self.model, now.state, light)
            ranked = replace(now.state, rank=rank)
            self.model.same_image(ranked, now.state, light)
            now = replace(now, state=ranked)
            assert now.state.refused is not None
            worth = rank < below[active][now.state.frame]
            rows = (worth & (now.state.refused & REMOVAL == 0)).nonzero()[:, 0]
            if not len(rows):
                break
            changes = Changes.removals(now.state, rows, -rank[rows])
            changes = changes.select(changes.strongest())
            tried, _ = self.tried(now, light, changes)
            best = best.replaced(active, tried)
            active = active[changes.frame.unique()]
        return best

    def sure(self, start: Refined, likelihood: Likelihood, far: Tensor) -> Refined:
        """Keep only the certain molecules in the frames `far`, (B,) bool, which the model does not explain."""
        return SureMolecules(self.model, self.price)(start, likelihood, far)

    def _missed_everywhere(self, start: Refined, likelihood: Likelihood) -> Tensor:
        """Frames whose misfit is too widespread for missing molecules to be its cause: (B,) bool."""
        far = misfit_of_frames(likelihood, start.deviance) > FAR
        frames = far.nonzero()[:, 0]
        if len(frames):
            light = likelihood.select(frames)
            image = self.model.image(start.state.select(frames), light)
            far[frames] = misfit_everywhere(light, image) > FAR
        return far

    def few_enough(self, changes: Changes, state: JointState) -> Changes:
        """The changes of the frames that they do not fill beyond the largest number of molecules."""
        count = state.counts.index_add(0, changes.frame, changes.more)
        return changes.select(count[changes.frame] <= self.most)

    def tried(self, now: Refined, likelihood: Likelihood, changes: Changes) -> tuple[Refined, Tensor]:
        """The list with those changes that lower its cost, and the frames (increasing) that have any."""
        image = self.model.image(now.state, likelihood)
        near = Neighbourhoods(self.model, now.state, image, likelihood, changes)
        before = self.cost(Refined(near.before, near.deviance, near.deviance > 0))
        fitted = near.model.fit(near.changed(), near.likelihood)
        if len(changes.new):
            fitted = self._thinned(near, fitted, before)
        gain = before - self.cost(fitted)
        after, accepted = self.merged(now, likelihood, near, fitted.state, gain)
        return after, near.frame[accepted].unique()

    def merged(
        self, now: Refined, likelihood: Likelihood, near: Neighbourhoods, fitted: JointState, gain: Tensor
    ) -> tuple[Refined, Tensor]:
        """The list with those windows, as they were fitted, that lower its cost; which those are, (M,) bool.

        near: the windows of the list `now`;  fitted: a state of them;
        gain: (M,), by how much each lowers the cost.
        """
        accepted, refused = gain > 0, gain <= 0

        def made() -> tuple[Refined, Tensor]:
            state = near.merged(fitted, accepted, refused)
            if not bool(accepted.any()):
                self.model.same_image(state, now.state, likelihood)
                return replace(now, state=state), accepted
            deviance = self.model.deviance(self.model.image(state, likelihood), likelihood)
            after = Refined(state, deviance, now.settled)
            return after, accepted & (self.cost(after) >= self.cost(now))[near.frame]

        after, worse = made()
        if bool(worse.any()):
            # The light of two neighbourhoods can overlap: where a frame is not better with all changes, only
            # the best one is made.
            accepted &= ~worse | (gain == _largest(gain, near.frame, len(likelihood))[near.frame])
            after, worse = made()
        if bool(worse.any()):
            # Nor is it with that one alone: a spot exceeds its window.
            accepted, refused = accepted & ~worse, refused | worse
            after, _ = made()
        return after, accepted

    def _thinned(self, near: Neighbourhoods, fitted: Refined, before: Tensor) -> Refined:
        """The fit of windows without the least significant molecules, where it costs no less than `before`."""
        for _ in range(_THINNING_ROUNDS):
            window = (self.cost(fitted) >= before).nonzero()[:, 0]
            if not len(window):
                break
            part, light = fitted.select(window), near.likelihood.select(window)
            model = near.model.of_frames(window)
            rank = self.ranks(model, part.state, light)
            assert part.state.refused is not None
            open_to = (rank < _TRIED_BELOW) & (part.state.refused & REMOVAL == 0)
            rank = torch.where(open_to, rank, torch.inf)
            weakest = -_largest(-rank, part.state.frame, len(window))
            weak = open_to & (rank == weakest[part.state.frame])
            some = part.state.frame[weak].unique()
            if not len(some):
                break
            trial = model.of_frames(some).fit(part.state.rows(~weak).select(some), light.select(some))
            # Where it does not help, the next weakest is tried in the next round.
            fitted = fitted.replaced(window, replace(part, state=part.state.refusing(weak, REMOVAL)))
            fitted = fitted.better(trial, window[some], self.cost)
        return fitted

    def ranks(self, model: FrameModel, state: JointState, likelihood: Likelihood) -> Tensor:
        """(photons/σ)² of each molecule in units of its penalty, (N,); what the state remembers is used."""
        known = torch.full_like(state.photons, torch.nan) if state.rank is None else state.rank
        rows = known.isnan().nonzero()[:, 0]
        if not len(rows):
            return known
        sigma = model.photon_bounds(state, likelihood, rows if len(rows) < len(state) else None)
        return known.index_put((rows,), self._ranked(state.photons[rows], sigma))

    def _ranked(self, photons: Tensor, sigma: Tensor) -> Tensor:
        """See `ranks`."""
        price = self.price * (1 + _DIM_PENALTIES * (photons < self.dim_photons))
        return (photons / sigma.clamp(min=1e-9)).square() / price

    def _remembering(self, fitted: Refined) -> Refined:
        """The same, with a list that remembers what was tried in vain, and the ranks that its fit has given."""
        state = fitted.state if fitted.state.refused is not None else fitted.state.anew()
        if fitted.photon_sigma is not None:
            assert state.rank is not None
            rank = torch.where(state.rank.isnan(), self._ranked(state.photons, fitted.photon_sigma), state.rank)
            state = replace(state, rank=rank)
        return replace(fitted, state=state)


def _largest(value: Tensor, group: Tensor, groups: int) -> Tensor:
    """The largest value of each group: (groups,)."""
    return value.new_full((groups,), -torch.inf).scatter_reduce(0, group, value, "amax")
