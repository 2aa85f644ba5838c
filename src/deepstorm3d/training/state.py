"""The state of a training, and how a checkpoint stores and restores it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..experiment.earlier import in_form_of_today
from ..experiment.training_settings import TrainingSpec
from ..localizer.localizer import NetworkLocalizer
from .sampler import FrameSampler

__all__ = [
    "TrainingState",
    "changed_settings",
    "other_settings",
    "refuse_another",
    "restore",
    "settings",
    "snapshot",
]


@dataclass
class TrainingState:
    """Quantities that change during training, except weights and optimiser.

    best_optics: parameters of the image model (a mask) at the best validation; None if it has none.
    """

    step: int = 0
    best_jaccard: float = -1.0
    best_weights: dict[str, Tensor] | None = None
    best_optics: dict[str, Tensor] | None = None
    since_best: int = 0
    threshold: float = 0.5
    smooth_loss: float = math.nan
    lowest_loss: float = math.inf
    seconds: float = 0.0


def snapshot(
    localizer: NetworkLocalizer,
    sampler: FrameSampler,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    state: TrainingState,
) -> dict[str, Any]:
    """Everything that is needed to continue with the same result as an uninterrupted run."""
    return {
        "weights": localizer.state_dict(),
        "optics": sampler.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        **vars(state),
    }


def settings(spec: TrainingSpec, experiment: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings that a checkpoint belongs to; those of training are separate, because some may change."""
    rest = None if experiment is None else {key: experiment[key] for key in experiment if key != "training"}
    return {"spec": spec.to_mapping(), "experiment": rest}


def refuse_another(
    saved: Mapping[str, Any], spec: TrainingSpec, experiment: Mapping[str, Any] | None, path: Path
) -> None:
    """Raise InputError if the checkpoint `path` belongs to another schedule or another experiment."""
    now = settings(spec, experiment)
    changed = {f"training.{name}" for name in _differing(saved.get("spec") or {}, now["spec"])}
    # These settings may change during a training, because the learning-rate schedule does not depend on them.
    changed -= {f"training.{name}" for name in ("validate_every", "checkpoint_every", "patience")}
    changed |= changed_settings(saved.get("experiment"), now["experiment"])
    if changed:
        raise other_settings(path, changed)


def changed_settings(begun: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> set[str]:
    """Parts of an experiment, but for its name, that differ from what a run was begun with; None: unknown."""
    if not begun or not now:
        return set()
    # What an earlier version of the program began may go on: the form of its settings is no change.
    return _differing(in_form_of_today(begun), in_form_of_today(now)) - {"name"}


def other_settings(path: Path, changed: set[str]) -> InputError:
    """The error for a checkpoint that was made with other settings, by their names."""
    return InputError(
        f"the checkpoint {path} was made with other settings ({', '.join(sorted(changed))}); "
        "resume with the same experiment, or start anew without `resume`"
    )


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def restore(
    saved: Mapping[str, Any],
    localizer: NetworkLocalizer,
    sampler: FrameSampler,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> TrainingState:
    """Restore a snapshot; raises InputError if it belongs to another network or another kind of device."""
    try:
        localizer.load_state_dict(saved["weights"])
        sampler.load_state_dict(saved.get("optics") or sampler.state_dict())
        optimiser.load_state_dict(saved["optimiser"])
        generator.set_state(saved["generator"])
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the checkpoint holds another network or mask, or was made on another kind of device: {error}; "
            "resume with the same experiment and `device`, or start anew without `resume`"
        ) from error
    known = vars(TrainingState())
    return TrainingState(**{name: saved[name] for name in known if name in saved})
