"""Where a training begins: with random weights, with those of a model, or where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..experiment.experiment import Experiment
from ..localizer.localizer import NetworkLocalizer
from ..localizer.modelfile import ModelFile
from ..localizer.taking_over import TakenOver, take_over
from ..localizing.catalogue import find_model
from ..localizing.pipeline import experiment_of
from ..training.checkpoint import load_checkpoint
from ..watch import Watcher

__all__ = ["NEW", "Start", "prepare_start"]

# Smallest share of a network's weights that another must have the shape of, to be worth starting from: one of
# another width shares a few thin layers, one of another depth range more than nine tenths.
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    resume: at its checkpoint, if there is one;  model: with the weights of this built-in model or model file,
    where they fit;  neither: with random weights.
    """

    resume: bool = False
    model: str | Path | None = None


NEW = Start()
"""With random weights, not resumed."""


def prepare_start(
    localizer: NetworkLocalizer, experiment: Experiment, start: Start, checkpoint: Path, watch: Watcher
) -> Mapping[str, Any] | None:
    """Give an untrained localizer its first weights; what the checkpoint holds is left to the training loop.

    watch: told what was taken over and what not.
    Returns the model that the training starts from, as its card names it (name, SHA-256 of its file, share of
    the weights), also where it is resumed; None if it starts from none.
    Raises InputError if there is no such model (needed to begin, not to go on), if fewer than half of the
    weights fit, and if the checkpoint began from another model.
    """
    begun = load_checkpoint(checkpoint).get("started_from") if start.resume and checkpoint.exists() else None
    if start.model is None:
        return begun
    name = Path(start.model).name
    try:
        model = find_model(start.model)
    except InputError:
        if begun is not None and begun["model"] == name:
            return begun  # the checkpoint has gone on from its weights: they are not needed any more
        raise
    if start.resume and checkpoint.exists():
        if begun is None or begun["sha256"] != model.sha256:
            before = "random weights" if begun is None else f"the model {begun['model']}"
            raise InputError(
                f"the checkpoint {checkpoint} began from {before}, not from {name}",
                "resume without `from_model`, or start anew without `resume`",
            )
        return begun
    taken = take_over(localizer, model.weights)
    if taken.share < _LEAST_SHARE:
        raise _another_network(experiment, model, name, taken)
    rest = f"; new are {taken.describe()}" if taken.left else ""
    watch.message(f"starts from {name}: {100 * taken.share:.3g} % of its weights are taken over{rest}")
    return {"model": name, "sha256": model.sha256, "share": round(taken.share, 4)}


def _another_network(experiment: Experiment, model: ModelFile, name: str, taken: TakenOver) -> InputError:
    """The error for a network that is built differently, with the settings that make it alike."""
    here = experiment.network.to_mapping()
    there = experiment_of(model).network.to_mapping()
    differing = [f"`network.{key}={_short(value)}`" for key, value in there.items() if here.get(key) != value]
    return InputError(
        f"only {100 * taken.share:.2g} % of the network's weights have the shape of those of {name}",
        f"build the network like that one ({', '.join(differing)})"
        if differing
        else "leave `from_model` out, or start from another model",
    )


def _short(value: object) -> str:
    return str(value).replace(" ", "")
