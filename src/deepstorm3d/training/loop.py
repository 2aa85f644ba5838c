"""The training loop: draw frames, update the weights, validate and save regularly."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..experiment.training_settings import TrainingSpec
from ..io.torch_file import save_tensors
from ..localizer.localizer import NetworkLocalizer
from ..localizer.precision import mixed_precision
from ..streams import stream
from ..watch import SILENT, Watcher
from .checkpoint import MetricsLog, RunFiles
from .distributed import is_main_process, rank, share_gradients, stop_together
from .sampler import Batch, FrameSampler
from .scene_check import refuse_without_labels, refuse_without_neighbours
from .state import TrainingState, refuse_another, restore, settings, snapshot
from .validation import Validation, validate

__all__ = ["Progress", "TrainingDiverged", "learning_rate", "train"]


# Steps at the beginning, in which the loss falls fastest and is logged every 10.
_OFTEN = 500


class TrainingDiverged(InputError):
    """The loss diverged; the message gives the step and possible remedies."""


@dataclass(frozen=True)
class Progress:
    """Figures of one step; smooth_loss: running mean of the loss;  validation: None if there was none."""

    step: int
    steps: int
    loss: float
    smooth_loss: float
    learning_rate: float
    crops_per_second: float
    validation: Validation | None = None


class _Objective(nn.Module):
    """Loss of a new batch as one module, so that gradients can be averaged between processes."""

    def __init__(self, localizer: NetworkLocalizer, sampler: FrameSampler, spec: TrainingSpec) -> None:
        super().__init__()
        self.localizer, self.sampler, self.spec = localizer, sampler, spec

    def forward(self, generator: torch.Generator) -> Tensor:
        batch = self.sampler.draw(self.spec.batch, generator).to(self.localizer.offset.device)
        with mixed_precision(batch.photons.device, self.spec.half_precision):
            raw = self.localizer(batch.seen)
        loss = self.localizer.network.loss(raw, batch.truth)
        mask = self.sampler.mask_learning
        return loss if mask is None else loss + mask.cost(generator)


def learning_rate(step: int, spec: TrainingSpec) -> float:
    """Learning rate of a step: linear warm-up, then half a cosine to zero (Loshchilov & Hutter 2017)."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    done = (step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(
    localizer: NetworkLocalizer,
    sampler: FrameSampler,
    spec: TrainingSpec,
    *,
    seed: int = 0,
    files: RunFiles | None = None,
    watch: Watcher = SILENT,
    after_step: Callable[[Progress], None] | None = None,
) -> Validation | None:
    """Train a localizer in place; it ends with the weights of its best validation, in evaluation mode.

    Frames are drawn on the sampler's device and learnt on the localizer's. If the sampler has a trainable mask
    (`FrameSampler.mask_learning`), the mask gets its gradient through image, noise and network (Nehme et al.
    2020), and ends with its values at the best validation; with those of the last step where the bound judges
    it too, of which the network's validation knows nothing (``patience`` never ends such a run).
    seed: of the frames (the caller seeds the weights);  files: checkpoint and log, and whether to continue from
    the checkpoint;  watch: is called after each step and can stop the run, which is saved and can be resumed;
    after_step: called with the figures of each step.
    Returns the validation of these weights; None if the run was stopped, and in all but the main process.
    Raises TrainingDiverged, and InputError if the checkpoint does not fit or there is nothing to find.
    """
    refuse_without_labels(sampler.scenes, sampler.field)
    refuse_without_neighbours(sampler.scenes, localizer.context)
    if sampler.context != localizer.context:
        raise ValueError(f"the network sees {localizer.context} frames on each side, not {sampler.context}")
    files = files or RunFiles()
    device = localizer.offset.device
    log = MetricsLog(files.metrics if is_main_process() else None)
    fixed = _validation_frames(sampler, spec, seed, device)
    localizer.measure_normalisation(fixed.seen)
    optimiser = _optimiser(localizer, sampler, spec)
    state, generator = _begin(localizer, sampler, optimiser, spec, files, seed=seed)
    log.rewind(state.step)
    objective = share_gradients(_Objective(localizer, sampler, spec))
    localizer.train()
    stopped = False
    while state.step < spec.steps:
        began = time.perf_counter()
        rate = learning_rate(state.step, spec)
        loss = _step(objective, optimiser, generator, rate / spec.learning_rate, spec.clip_norm)
        state.step += 1
        _check_divergence(loss, state, spec)
        taken = time.perf_counter() - began
        state.seconds += taken
        due = state.step % spec.validate_every == 0 or state.step == spec.steps
        validation = None
        if due and is_main_process():
            # The same emitters, but imaged with the present mask.
            fixed = fixed if sampler.mask_learning is None else _validation_frames(sampler, spec, seed, device)
            validation = _validate(localizer, sampler, fixed, spec, state)
        stopped = stop_together(watch.stopped or _out_of_patience(state, spec), device)
        if is_main_process():
            progress = Progress(
                state.step, spec.steps, loss, state.smooth_loss, rate, spec.batch / taken, validation
            )
            _record(log, progress, state)
            watch.progress(state.step, spec.steps, f"loss {state.smooth_loss:.4g}")
            if after_step is not None:
                after_step(progress)
            if files.checkpoint and (stopped or due or state.step % spec.checkpoint_every == 0):
                now = snapshot(localizer, sampler, optimiser, generator, state)
                about = {**settings(spec, files.experiment), "started_from": files.started_from}
                save_tensors({**now, **about}, files.checkpoint)
        if stopped:
            break
    if stopped and not _out_of_patience(state, spec):
        return None
    if state.best_weights is not None:
        localizer.load_state_dict(state.best_weights)
    if state.best_optics is not None:
        sampler.load_state_dict(state.best_optics)
        fixed = _validation_frames(sampler, spec, seed, device)
    localizer.threshold = state.threshold
    localizer.eval()
    if not is_main_process():
        return None
    pixel_um = sampler.simulator.field.pixel_um
    return validate(localizer, fixed, pixel_um, half_precision=spec.half_precision)


@torch.no_grad()
def _validation_frames(sampler: FrameSampler, spec: TrainingSpec, seed: int, device: torch.device) -> Batch:
    """Draw the validation frames: always the same emitters, background and noise."""
    return sampler.draw(spec.validation_crops, stream(seed, "validation", sampler.device)).to(device)


def _optimiser(localizer: NetworkLocalizer, sampler: FrameSampler, spec: TrainingSpec) -> torch.optim.Optimizer:
    """AdamW for the network and, with its own rate and no weight decay, for the image model's parameters."""
    groups = [{"params": list(localizer.parameters()), "highest": spec.learning_rate}]
    optics = list(sampler.parameters())
    if optics:
        mask = sampler.mask_learning
        if mask is None:
            raise ValueError("the image model has trainable parameters: give FrameSampler(mask_learning=...)")
        groups.append({"params": optics, "highest": mask.learning_rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, spec.learning_rate, weight_decay=spec.weight_decay)


def _begin(
    localizer: NetworkLocalizer,
    sampler: FrameSampler,
    optimiser: torch.optim.Optimizer,
    spec: TrainingSpec,
    files: RunFiles,
    *,
    seed: int,
) -> tuple[TrainingState, torch.Generator]:
    """Initial state and random generator: new ones, or those of the checkpoint."""
    device = sampler.device
    generator = stream(seed, "training", device, process=rank())
    saved = files.to_resume()
    if saved is None or files.checkpoint is None:
        return TrainingState(), generator
    refuse_another(saved, spec, files.experiment, files.checkpoint)
    state = restore(saved, localizer, sampler, optimiser, generator)
    # The checkpoint contains the main process's random stream; every other process starts a new one.
    if not is_main_process():
        generator = stream(seed, "training", device, process=rank(), step=state.step)
    return state, generator


def _step(
    objective: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    share: float,
    clip_norm: float,
) -> float:
    """Draw a batch and update the weights with `share` times the highest learning rates; returns the loss."""
    for group in optimiser.param_groups:
        group["lr"] = share * group["highest"]
    loss = objective(generator)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    # Only the network's gradient is clipped, because that of the mask has another scale.
    nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], clip_norm)
    optimiser.step()
    return float(loss.detach())


def _check_divergence(loss: float, state: TrainingState, spec: TrainingSpec) -> None:
    """Update the running mean of the loss, and stop a run that has diverged."""
    before = state.smooth_loss
    state.smooth_loss = loss if math.isnan(before) else 0.98 * before + 0.02 * loss
    state.lowest_loss = min(state.lowest_loss, state.smooth_loss)
    # A single bad batch can occur by chance, so the running mean is checked. The scale is at least 1, because
    # losses per emitter are of the order of 1 and a negative log-likelihood can be negative.
    bound = state.lowest_loss + 10 * max(1.0, abs(state.lowest_loss))
    runaway = state.step > spec.warmup_steps and state.smooth_loss > bound
    if not math.isfinite(loss) or runaway:
        raise TrainingDiverged(
            f"training diverged at step {state.step}: the loss is {loss:g} after a running mean of {before:g}, "
            f"at best {state.lowest_loss:g}. "
            f"The last checkpoint is whole. Lower training.learning_rate (now {spec.learning_rate:g}), "
            "lengthen training.warmup_steps, or set training.half_precision to false; "
            "if it happens in the first steps, look for impossible photons or backgrounds in the scenes"
        )


def _validate(
    localizer: NetworkLocalizer,
    sampler: FrameSampler,
    fixed: Batch,
    spec: TrainingSpec,
    state: TrainingState,
) -> Validation:
    """Validate, and store the weights if they are the best so far, or if the last ones count (`train`)."""
    pixel_um = sampler.simulator.field.pixel_um
    validation = validate(localizer, fixed, pixel_um, half_precision=spec.half_precision)
    if validation.jaccard is None:
        # Frames without emitters do not measure the quality of the weights.
        return validation
    state.since_best += 1
    mask = sampler.mask_learning
    last_counts = mask is not None and mask.bound is not None
    if validation.jaccard > state.best_jaccard or last_counts:
        state.best_jaccard, state.since_best = validation.jaccard, 0
        state.threshold = validation.threshold
        state.best_weights = copy.deepcopy(localizer.state_dict())
        if any(True for _ in sampler.parameters()):
            state.best_optics = copy.deepcopy(sampler.state_dict())
    return validation


def _out_of_patience(state: TrainingState, spec: TrainingSpec) -> bool:
    return spec.patience > 0 and state.since_best >= spec.patience


def _record(log: MetricsLog, progress: Progress, state: TrainingState) -> None:
    """Write a line to the log at each validation and every 50 steps, at first more often."""
    every = 10 if progress.step <= _OFTEN else 50
    if progress.validation is None and progress.step % every:
        return
    line: dict[str, Any] = {
        "step": progress.step,
        "loss": round(state.smooth_loss, 6),
        "learning_rate": progress.learning_rate,
        "seconds": round(state.seconds, 1),
    }
    if progress.validation is not None:
        line["validation_loss"] = progress.validation.loss
        line["threshold"] = progress.validation.threshold
        line.update(progress.validation.to_mapping())
    log.append(line)
