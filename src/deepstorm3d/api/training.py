"""Training in memory: an experiment in, a model at hand out."""

from __future__ import annotations

import tempfile
from os import PathLike
from pathlib import Path

from ..devices import chosen_device
from ..errors import Interrupted
from ..front_door import public
from ..jobs.start_of_training import Start
from ..jobs.train import train_model
from ..localizing.model import Model, load_model
from ..training.runs import Run
from ..watch import SILENT, Watcher
from .movies import AnExperiment, as_experiment
from .running import claim_run

__all__ = ["train"]


@public
def train(
    experiment: AnExperiment,
    out: str | PathLike[str] | None = None,
    *,
    steps: int | None = None,
    resume: bool = False,
    device: str | None = None,
    from_model: str | PathLike[str] | None = None,
    watch: Watcher = SILENT,
) -> Model:
    """Train the experiment's network on frames simulated on the fly.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
    out : path
        Model file (.pt) to write; its checkpoint and log lie beside it, so that a run that was stopped can go
        on. Without it the model is only in memory, and a run that is stopped is lost.
    steps : int
        In place of the experiment's ``training.steps``.
    resume : bool
        Go on with a run that was stopped.
    device : "cpu", "cuda" or "mps"
        None: a GPU where there is one.
    from_model : name of a built-in model, or path
        Begin with its weights where they fit, instead of random ones: of a network that is built alike.
    watch : Watcher
        Told what was taken over and the steps done, asked whether to stop.

    Returns
    -------
    Model
        At work: ``model.localize(movie)``.

    Raises
    ------
    InputError
        Where `out` is there already or cannot be written, a scene has nothing to find, there is nothing to
        resume, or `from_model` is another network.
    Interrupted
        Where the watcher stopped the run before its end.
    """
    setup = as_experiment(experiment)
    if steps is not None:
        setup = setup.with_(training=setup.training.with_(steps=steps))
    place = chosen_device(device)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.pt" if out is None else Path(out)
        run = Run(path)
        claim_run(run, named=out is not None, resume=resume)
        start = Start(resume, None if from_model is None else str(from_model))
        if train_model(setup, path, device=place, start=start, watch=watch) is None:
            raise Interrupted
        return load_model(path, device=device)
