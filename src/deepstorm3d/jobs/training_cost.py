"""What a training will cost, measured over its first steps."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import torch

from ..devices import of_image_model
from ..errors import Interrupted
from ..experiment.experiment import Experiment
from ..training.loop import Progress, train
from ..watch import SILENT, Part, Watcher
from .train import build_localizer, build_sampler

__all__ = ["TrainingCost", "training_cost"]

# Steps that are measured, after those that warm up.
_STEPS = 6
# First steps, which take longer: libraries choose their algorithms.
_WARM_UP = 2


@dataclass(frozen=True)
class TrainingCost:
    """Seconds of the parts of a training on one device.

    prepare_s: until the first step (the PSF is tabulated);  step_s: one step, the median of some;
    validation_s: one validation.
    """

    device: str
    prepare_s: float
    step_s: float
    validation_s: float

    def seconds(self, steps: int, validate_every: int) -> float:
        """A whole training of so many steps, without its pictures."""
        validations = -(-steps // validate_every) + 1
        return self.prepare_s + steps * self.step_s + validations * self.validation_s


def training_cost(experiment: Experiment, *, device: str = "cpu", watch: Watcher = SILENT) -> TrainingCost:
    """Train for a few steps in memory, with the clock at hand; nothing is written.

    watch: told the steps, asked whether to stop.
    Raises InputError as `train_model` does, and Interrupted where the watcher stops it.
    """
    place, began = torch.device(device), time.perf_counter()
    watch.message("preparing the network and the PSF")
    localizer = build_localizer(experiment).to(place)
    sampler = build_sampler(experiment).to(of_image_model(place))
    if watch.stopped:
        raise Interrupted
    clock = _Clock(experiment.training.batch, time.perf_counter())
    prepare = clock.last - began
    steps = _WARM_UP + _STEPS
    short = experiment.training.with_(steps=steps, validate_every=steps, checkpoint_every=steps, patience=0)
    watch.message("measuring the time of a step")
    counted = Part(watch, 0, steps, steps)
    done = train(localizer, sampler, short, seed=experiment.seed, watch=counted, after_step=clock.tell)
    if done is None:
        raise Interrupted
    return TrainingCost(device, prepare, statistics.median(clock.steps[_WARM_UP:]), clock.validation_s)


@dataclass
class _Clock:
    """Takes the time of steps and of the validation after the last one."""

    batch: int
    last: float
    steps: list[float] = field(default_factory=list)
    validation_s: float = 0.0

    def tell(self, progress: Progress) -> None:
        now, step = time.perf_counter(), self.batch / progress.crops_per_second
        self.steps.append(step)
        if progress.validation is not None:
            self.validation_s = max(0.0, now - self.last - step)
        self.last = now
