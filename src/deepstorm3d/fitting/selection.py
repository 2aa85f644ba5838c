"""Which molecules the likelihood wants: adds what the residual demands, removes what it does not mind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage
from .refine import Refined
from .search import MatchedFilter, gain_threshold
from .state import JointState

__all__ = ["Selector"]

# Of candidates nearer than this to a stronger one only the stronger is tried: px. Side lobes of a missing
# molecule's spot lie that far from it.
_APART_PX = 12
# Molecules whose light is this many prices significant are beyond doubt.
_DOUBT = 2.0
# What a dim molecule costs more: a hill of the background is one sooner than a molecule out of its range is.
_DIM_PRICES = 2.0
# Divisions to try, µm between the two: in depth, in x, in y.
_DIVISIONS_UM = ((0.0, 0.0, 0.4), (0.2, 0.0, 0.0), (0.0, 0.2, 0.0))
# A spot is suspect where its deviance is so many standard deviations above that of noise.
_SUSPECT = 3.0
# Molecules farther apart than this are removed in one trial: µm in the plane.
_APART_UM = 1.5


@dataclass(frozen=True)
class Selector:
    """Adds and removes molecules, each decided by the likelihood ratio at a stated rate of false alarms.

    fit: refines a state of frames jointly;  linearize: the image around a state;  search: matched filter;
    false_alarms: share of frames of noise in which one molecule would be added;
    dim_photons: molecules dimmer than this are improbable, and cost the price of three;
    at_once: molecules tried together in a frame.
    """

    fit: Callable[[JointState, Likelihood], Refined]
    linearize: Callable[[JointState, Likelihood], LinearImage]
    search: MatchedFilter
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    at_once: int = 8

    @property
    def price(self) -> float:
        """Decrease of the deviance that a molecule must bring to be worth its four unknowns."""
        return gain_threshold(self.search.positions, self.false_alarms)

    def cost(self, fitted: Refined) -> Tensor:
        """Deviance plus the price of the molecules, (B,): what a change must lower to be kept."""
        state = fitted.state
        dim = (state.photons < self.dim_photons).double()
        prices = torch.zeros_like(fitted.deviance).index_add_(0, state.frame, 1 + _DIM_PRICES * dim)
        return fitted.deviance + self.price * prices

    @torch.no_grad()
    def improve(self, start: Refined, likelihood: Likelihood, *, rounds: int = 8) -> Refined:
        """Remove what is not needed, then add what is missing, for at most so many rounds.

        A frame changes only where its `cost` falls, so no list ends worse by that measure than it began.
        """
        best = self._pruned(start, likelihood)
        active = torch.arange(len(likelihood), device=start.deviance.device)
        for _ in range(rounds):
            light, now = likelihood.select(active), best.select(active)
            trial, tried = self._with_candidates(now.state, light)
            if not len(tried):
                break
            active, light = active[tried], light.select(tried)
            before = self.cost(now.select(tried))
            fitted = self._pruned(self.fit(trial.select(tried), light), light)
            best = best.better(fitted, active, self.cost)
            active = active[self.cost(fitted) < before]
            if not len(active):
                break
        return self._divided(best, likelihood) if rounds else best

    def _divided(self, start: Refined, likelihood: Likelihood, *, rounds: int = 2) -> Refined:
        """With molecules that stand for two divided: tried where a spot is explained worse than noise allows.

        Two close molecules fitted as one leave a residual with as much light above as below zero, in which
        the matched filter sees little.
        """
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        for _ in range(rounds):
            light = likelihood.select(active)
            now = before = best.select(active)
            for apart in _DIVISIONS_UM:
                now = self._halved(now, light, apart)
            best = best.better(now, active, self.cost)
            active = active[self.cost(now) < self.cost(before)]
            if not len(active):
                break
        return best

    def _halved(self, now: Refined, likelihood: Likelihood, apart: tuple[float, float, float]) -> Refined:
        """The suspects of every frame as two of half the photons, where that pays; apart: in µm."""
        suspects = self._suspects(now.state, likelihood)
        frames = now.state.frame[suspects].unique()
        if not len(frames):
            return now
        light, state = likelihood.select(frames), now.state
        half = state.xyz.new_tensor(apart) / 2
        twins = torch.cat([state.xyz[suspects] - half, state.xyz[suspects] + half])
        divided = state.rows(~suspects).with_rows(
            twins, state.photons[suspects].repeat(2) / 2, state.frame[suspects].repeat(2)
        )
        trial = self._pruned(self.fit(divided.select(frames), light), light)
        return now.better(trial, frames, self.cost)

    def _suspects(self, state: JointState, likelihood: Likelihood) -> Tensor:
        """Molecules whose spot is explained worse than noise allows: (N,) bool, one of a neighbourhood."""
        suspects = torch.zeros_like(state.frame, dtype=torch.bool)
        if not len(state):
            return suspects
        linear = self.linearize(state, likelihood)
        spots = linear.jacobian[:, 3]
        weights = spots / spots.sum(1, keepdim=True).clamp(min=1e-9)
        excess = (weights * linear.assembly.cut(likelihood.deviance_image(linear.image) - 1).flatten(1)).sum(1)
        # The deviance of a pixel scatters by √2.
        score = excess / (2 * weights.square().sum(1)).sqrt().clamp(min=1e-9)
        rows = (score > _SUSPECT).nonzero()[:, 0]
        near = torch.cdist(state.xyz[rows, :2], state.xyz[rows, :2]) < _APART_UM
        worse = score[rows] > score[rows, None]
        same = state.frame[rows, None] == state.frame[rows]
        suspects[rows] = ~(near & worse & same).any(1)
        return suspects

    def _with_candidates(self, state: JointState, likelihood: Likelihood) -> tuple[JointState, Tensor]:
        """The state with the best candidates added, and the frames that have any."""
        linear = self.linearize(state, likelihood)
        found = self.search.search(
            likelihood.score(linear.image),
            likelihood.information(linear.image),
            self.price * _misfit(likelihood, linear.image),
            apart_px=_APART_PX,
            most=self.at_once,
        )
        return state.with_rows(found.xyz, found.photons, found.frame), found.frame.unique()

    def _pruned(self, start: Refined, likelihood: Likelihood, *, rounds: int = 6) -> Refined:
        """Without the molecules whose light is in doubt and not missed."""
        best, active = start, torch.arange(len(likelihood), device=start.deviance.device)
        together = torch.ones_like(active, dtype=torch.bool)
        for _ in range(rounds):
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
        rank = torch.where(state.photons < self.dim_photons, significance / 1e3, significance)
        doubted = (significance < _DOUBT * self.price) | (state.photons < self.dim_photons)
        rows = doubted.nonzero()[:, 0]
        same = state.frame[rows, None] == state.frame[rows]
        near = torch.cdist(state.xyz[rows, :2], state.xyz[rows, :2]) < _APART_UM
        rivals = same & (near | ~together[state.frame[rows]][:, None])
        weaker = rivals & (rank[rows] < rank[rows, None])
        doubted[rows] = ~weaker.any(1)
        return doubted


def _misfit(likelihood: Likelihood, image: Tensor) -> Tensor:
    """Factor on the price where the model misses the data everywhere: (B,), at least 1.

    Median of the squared residual of squares of 4×4 pixels over its variance, against that of noise: a missing
    molecule spoils few of them, a wrong gain or PSF all.
    """
    information = likelihood.information(image)
    variance = torch.where(information > 0, 1 / information.clamp(min=1e-12), 0.0)
    residual = torch.where(information > 0, likelihood.score(image) * variance, 0.0)
    total, spread = (functional.avg_pool2d(part[:, None], 4)[:, 0] * 16 for part in (residual, variance))
    square = (total.square() / spread.clamp(min=1e-12)).flatten(1)
    # The median of χ² of one degree of freedom is 0.455.
    return (square.median(1).values / 0.455).clamp(min=1.0)
