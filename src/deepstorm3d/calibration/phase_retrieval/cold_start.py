"""Phase retrieval without an initial guess: many starts, compared on a coarse pupil; the best are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...watch import SILENT, Watcher, advance
from ..beads.images import BeadImages
from .coarse_model import CoarseModel, explained_share, pixel_weights
from .first_check import Glance, glance
from .image_selection import evenly
from .starting_phases import Start

__all__ = ["Candidate", "cold_start"]

# Number of images used in the search.
_SEARCH = 14
# Most starts of one family that are fitted.
_OF_FAMILY = 2
# Starts that are fitted for the first iterations.
_TRIED = 6
# Starts that are fitted for the second iterations.
_FINALISTS = 2
# Iterations of Adam in the three stages.
_ITERATIONS = (20, 45, 60)
# Initial step of Adam for the phase, rad.
_RATE_RAD = 0.25
# Initial step of Adam for the shifts of the beads, µm.
_RATE_UM = 0.01
# Weight of the penalty on roughness (`CoarseModel.roughness`), as a fraction of the variance of the images.
_ROUGHNESS = 0.05
# A start is worse only if its residual is larger by this factor; otherwise the order of the starts decides.
_AS_GOOD = 1.03


@dataclass(frozen=True)
class Candidate:
    """A phase (K, K) rad on the coarse samples and its residual.

    shift_um: (N, 2) position of each bead from the middle;  unexplained: mean fraction of the images' variance.
    """

    name: str
    phase: Tensor
    shift_um: Tensor
    unexplained: float


def cold_start(
    model: CoarseModel, images: BeadImages, starts: Sequence[Start], *, watch: Watcher = SILENT
) -> Candidate:
    """The phase that explains the images best, from many starts.

    All starts are compared with a few slices. The best, and always the first two, are fitted for some
    iterations (Adam, Kingma & Ba 2015, over the phase of every sample, as Ferdman et al. 2020), the better of
    these for more, and the best of all to the end.  starts: the first two are the preferred ones;  watch:
    receives the name of each start.
    """
    first = []
    for number, start in enumerate(starts, 1):
        advance(watch, 0, 1, f"glance at start {number} of {len(starts)}")
        first.append(glance(model, images, start.phase))
    few = images.select(evenly(images, list(range(images.beads)), _SEARCH))
    runs = [_begun(model, few, starts[k], first[k]) for k in _chosen(starts, first)]
    for number, run in enumerate(runs):
        advance(watch, 0, 1, f"a little from {run.name}")
        runs[number] = _fitted(model, few, run, _ITERATIONS[0])
    better = sorted(runs[2:], key=lambda run: run.unexplained)[:_FINALISTS]
    longer = []
    for run in (*runs[:2], *better):
        advance(watch, 0, 1, f"longer from {run.name}")
        longer.append(_fitted(model, few, run, _ITERATIONS[1]))
    least = min(run.unexplained for run in longer)
    best = next(run for run in longer if run.unexplained <= _AS_GOOD * least)
    advance(watch, 0, 1, f"to the end from {best.name}")
    spread = best.shift_um.mean(0).expand(len(images), -1)
    return _fitted(model, images, replace(best, shift_um=spread), _ITERATIONS[2])


def _chosen(starts: Sequence[Start], first: Sequence[Glance]) -> list[int]:
    """The first two, and the most promising of the others, few of each family."""
    order = sorted(range(2, len(starts)), key=lambda k: -first[k].correlation)
    kept: list[int] = []
    for k in order:
        if sum(starts[k].family == starts[other].family for other in kept) < _OF_FAMILY:
            kept.append(k)
    return [0, 1, *kept[: _TRIED - 2]]


def _begun(model: CoarseModel, images: BeadImages, start: Start, first: Glance) -> Candidate:
    phase = start.phase + first.offset_um * model.per_position
    return Candidate(start.name, phase, first.shift_um.expand(len(images), -1), 1.0)


def _fitted(model: CoarseModel, images: BeadImages, run: Candidate, iterations: int) -> Candidate:
    """This number of steps of Adam; the step length falls to a tenth."""
    frames, weight = images.likelihood.frames, pixel_weights(images)
    phase, shift = (torch.nn.Parameter(each.clone()) for each in (run.phase, run.shift_um))
    optimiser = torch.optim.Adam([{"params": [phase], "lr": _RATE_RAD}, {"params": [shift], "lr": _RATE_UM}])
    falling = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.1 ** (1 / iterations))
    unexplained = run.unexplained
    for _ in range(iterations):
        optimiser.zero_grad()
        loss = 1 - explained_share(model(phase, shift, images.position_um), frames, weight).mean()
        (loss + _ROUGHNESS * model.roughness(phase)).backward()
        optimiser.step()
        falling.step()
        unexplained = float(loss.detach())
    return Candidate(run.name, phase.detach(), shift.detach(), unexplained)
