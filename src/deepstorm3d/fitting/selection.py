"""Model selection by likelihood: adds molecules that the residual requires, removes those it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .information import photon_bounds
from .likelihood import Likelihood
from .linear import LinearImage
from .proposals import Proposer
from .refine import Refined
from .rivals import outdone
from .search import gain_threshold
from .state import JointState
from .unexplained import FAR, SureMolecules, misfit_everywhere, misfit_of_frames

__all__ = ["Selector"]

_Proposal = Callable[[JointState, LinearImage, Likelihood, float], tuple[JointState, Tensor]]

# Molecules with (photons/σ)² of at least this multiple of their penalty are kept without a trial removal.
_TRIED_BELOW = 2.0
# Extra penalty for molecules dimmer than the prior, in multiples of the penalty: structured background is
# easily mistaken for one.
_DIM_PENALTIES = 2.0
_APART_UM = 1.5  # smallest lateral distance between molecules removed in the same trial, µm
_DIVIDING_ROUNDS = 2  # largest number of rounds in which molecules are divided
_PRUNING_ROUNDS = 6  # largest number of rounds in which molecules are removed


@dataclass(frozen=True)
class Selector:
    """Adds and removes molecules by a likelihood-ratio test at a given rate of false alarms.

    fit: refines a state of frames jointly;  linearize: the image linearized around a state;
    propose: finds molecules that may be missing;
    false_alarms: fraction of frames of pure noise in which one molecule would be added;
    dim_photons: molecules dimmer than this are improbable, and have three times the penalty;
    most: largest number of molecules in a frame.
    """

    fit: Callable[[JointState, Likelihood], Refined]
    linearize: Callable[[JointState, Likelihood], LinearImage]
    propose: Proposer
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    most: float = float("inf")

    @property
    def price(self) -> float:
        """Penalty for one molecule: the decrease of the deviance that justifies its four unknowns."""
        return gain_threshold(self.propose.search.positions, self.false_alarms)

    def cost(self, fitted: Refined) -> Tensor:
        """Deviance plus the penalties of the molecules, (B,): a change is accepted if it lowers this."""
        state = fitted.state
        dim = (state.photons < self.dim_photons).double()
        prices = torch.zeros_like(fitted.deviance).index_add_(0, state.frame, 1 + _DIM_PENALTIES * dim)
        return fitted.deviance + self.price * prices

    @torch.no_grad()
    def improve(self, start: Refined, likelihood: Likelihood, *, rounds: int = 8) -> Refined:
        """Remove unneeded molecules, add missing ones in at most `rounds` rounds, then divide.

        A frame changes only if its `cost` falls. The exception is a frame that the model does not explain
        anywhere: its uncertain molecules are removed first (`SureMolecules`).
        """
        best = self.sure(start, likelihood, self._missed_everywhere(start, likelihood))
        best = self.pruned(best, likelihood)
        best = self._extended(best, likelihood, self.propose.missing, rounds)
        return self._extended(best, likelihood, self.propose.divided, min(rounds, _DIVIDING_ROUNDS))

    def _extended(self, start: Refined, likelihood: Likelihood, propose: _Proposal, rounds: int) -> Refined:
        """Add the proposed molecules, in each frame as long as its cost falls."""
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        for _ in range(rounds):
            light, now = likelihood.select(active), best.select(active)
            trial, tried = propose(now.state, self.linearize(now.state, light), light, self.price)
            tried = tried[trial.counts[tried] <= self.most]
            if not len(tried):
                break
            active, light = active[tried], light.select(tried)
            before = self.cost(now.select(tried))
            fitted = self.pruned(self.fit(trial.select(tried), light), light)
            best = best.better(fitted, active, self.cost)
            active = active[self.cost(fitted) < before]
            if not len(active):
                break
        return best

    def sure(self, start: Refined, likelihood: Likelihood, far: Tensor) -> Refined:
        """Keep only the certain molecules in the frames `far`, (B,) bool, which the model does not explain."""
        return SureMolecules(self.fit, self.linearize, self.price)(start, likelihood, far)

    def _missed_everywhere(self, start: Refined, likelihood: Likelihood) -> Tensor:
        """Frames whose misfit is too widespread for missing molecules to be its cause: (B,) bool."""
        far = misfit_of_frames(likelihood, start.deviance) > FAR
        frames = far.nonzero()[:, 0]
        if len(frames):
            light = likelihood.select(frames)
            image = self.linearize(start.state.select(frames), light).image
            far[frames] = misfit_everywhere(light, image) > FAR
        return far

    def pruned(self, start: Refined, likelihood: Likelihood) -> Refined:
        """Remove molecules of low significance where the cost falls without them."""
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        together = torch.ones_like(active, dtype=torch.bool)
        for _ in range(_PRUNING_ROUNDS):
            light, now = likelihood.select(active), best.select(active)
            removed = self._removal_candidates(now.state, light, together[active])
            frames = now.state.frame[removed].unique()
            if not len(frames):
                break
            trial = self.fit(now.state.rows(~removed).select(frames), light.select(frames))
            active = active[frames]
            better = self.cost(trial) < self.cost(now.select(frames))
            best = best.better(trial, active, self.cost)
            # If removing several at once failed, the least significant molecule is tried alone.
            again = better | together[active]
            together[active] = better & together[active]
            active = active[again]
            if not len(active):
                break
        return best

    def _removal_candidates(self, state: JointState, likelihood: Likelihood, together: Tensor) -> Tensor:
        """Molecules for a trial removal: (N,) bool, the least significant of each neighbourhood or frame.

        together: (B,) bool, whether several molecules of a frame may be removed in one trial.
        """
        if not len(state):
            return torch.zeros_like(state.frame, dtype=torch.bool)
        linear = self.linearize(state, likelihood)
        sigma = photon_bounds(linear, likelihood.information(linear.image))
        significance = (state.photons / sigma.clamp(min=1e-9)).square()
        # In units of each molecule's penalty.
        prices = self.price * (1 + _DIM_PENALTIES * (state.photons < self.dim_photons))
        rank = significance / prices
        removable = rank < _TRIED_BELOW
        rows = removable.nonzero()[:, 0]
        frame = state.frame[rows]
        reach = torch.where(together[frame], _APART_UM, torch.inf).to(rank)
        removable[rows] = ~outdone(state.xyz[rows, :2], frame, -rank[rows], reach)
        return removable
