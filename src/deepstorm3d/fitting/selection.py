"""Which molecules the likelihood wants: adds what the residual demands, removes what it does not mind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .information import joint_bounds
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

# Molecules whose light is this many of their prices significant are beyond doubt.
_DOUBT = 2.0
# What a dim molecule costs more: a hill of the background is one sooner than a molecule out of its range is.
_DIM_PRICES = 2.0
# Molecules farther apart than this are removed in one trial: µm in the plane.
_APART_UM = 1.5
# Divisions bring at most so many generations.
_DIVIDING_ROUNDS = 2
# Rounds of removing, at most: in each the molecules that the last one left are looked at again.
_PRUNING_ROUNDS = 6


@dataclass(frozen=True)
class Selector:
    """Adds and removes molecules, each decided by the likelihood ratio at a stated rate of false alarms.

    fit: refines a state of frames jointly;  linearize: the image around a state;
    propose: molecules that may be missing;
    false_alarms: share of frames of noise in which one molecule would be added;
    dim_photons: molecules dimmer than this are improbable, and cost the price of three;
    most: molecules in a frame at most: nothing is added beyond.
    """

    fit: Callable[[JointState, Likelihood], Refined]
    linearize: Callable[[JointState, Likelihood], LinearImage]
    propose: Proposer
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    most: float = float("inf")

    @property
    def price(self) -> float:
        """Decrease of the deviance that a molecule must bring to be worth its four unknowns."""
        return gain_threshold(self.propose.search.positions, self.false_alarms)

    def cost(self, fitted: Refined) -> Tensor:
        """Deviance plus the price of the molecules, (B,): what a change must lower to be kept."""
        state = fitted.state
        dim = (state.photons < self.dim_photons).double()
        prices = torch.zeros_like(fitted.deviance).index_add_(0, state.frame, 1 + _DIM_PRICES * dim)
        return fitted.deviance + self.price * prices

    @torch.no_grad()
    def improve(self, start: Refined, likelihood: Likelihood, *, rounds: int = 8) -> Refined:
        """Remove what is not needed, then add what is missing, for at most so many rounds, then divide.

        A frame changes only where its `cost` falls, so no list ends worse by that measure than it began;
        but where the model misses a frame all over, molecules that are not sure go first (`SureMolecules`).
        """
        best = self.sure(start, likelihood, self._missed_everywhere(start, likelihood))
        best = self.pruned(best, likelihood)
        best = self._extended(best, likelihood, self.propose.missing, rounds)
        return self._extended(best, likelihood, self.propose.divided, min(rounds, _DIVIDING_ROUNDS))

    def _extended(self, start: Refined, likelihood: Likelihood, propose: _Proposal, rounds: int) -> Refined:
        """With what is proposed, frame by frame as long as it pays."""
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
        """With only the molecules that are sure in frames that are not explained, `far` (B,) bool."""
        return SureMolecules(self.fit, self.linearize, self.price)(start, likelihood, far)

    def _missed_everywhere(self, start: Refined, likelihood: Likelihood) -> Tensor:
        """Frames in which more is wrong than molecules that are missing: (B,) bool."""
        far = misfit_of_frames(likelihood, start.deviance) > FAR
        frames = far.nonzero()[:, 0]
        if len(frames):
            light = likelihood.select(frames)
            image = self.linearize(start.state.select(frames), light).image
            far[frames] = misfit_everywhere(light, image) > FAR
        return far

    def pruned(self, start: Refined, likelihood: Likelihood) -> Refined:
        """Without the molecules whose light is in doubt and not missed."""
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        together = torch.ones_like(active, dtype=torch.bool)
        for _ in range(_PRUNING_ROUNDS):
            light, now = likelihood.select(active), best.select(active)
            doubtful = self._doubtful(now.state, light, together[active])
            frames = now.state.frame[doubtful].unique()
            if not len(frames):
                break
            trial = self.fit(now.state.rows(~doubtful).select(frames), light.select(frames))
            active = active[frames]
            better = self.cost(trial) < self.cost(now.select(frames))
            best = best.better(trial, active, self.cost)
            # Where several at once were too many, the least significant is tried by itself.
            again = better | together[active]
            together[active] = better & together[active]
            active = active[again]
            if not len(active):
                break
        return best

    def _doubtful(self, state: JointState, likelihood: Likelihood, together: Tensor) -> Tensor:
        """Molecules to try without: (N,) bool, the least significant of each neighbourhood or frame.

        together: (B,), whether several of a frame may go in one trial.
        """
        if not len(state):
            return torch.zeros_like(state.frame, dtype=torch.bool)
        linear = self.linearize(state, likelihood)
        sigma, _ = joint_bounds(linear, likelihood.information(linear.image))
        significance = (state.photons / sigma[:, 3].clamp(min=1e-9)).square()
        # In units of what each must bring.
        prices = self.price * (1 + _DIM_PRICES * (state.photons < self.dim_photons))
        rank = significance / prices
        doubted = rank < _DOUBT
        rows = doubted.nonzero()[:, 0]
        frame = state.frame[rows]
        reach = torch.where(together[frame], _APART_UM, torch.inf).to(rank)
        doubted[rows] = ~outdone(state.xyz[rows, :2], frame, -rank[rows], reach)
        return doubted
