"""Commands that make masks: design-psf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .console import result, say
from .failures import INTERRUPTED
from .interrupt import StopRequest
from .making import Config, TrainingView
from .options import Assignments, Device, Overwrite, chosen_device
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..jobs.experiment import Experiment

__all__ = ["design_psf"]


def design_psf(
    config: Config,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="Mask to write (.npy, rad); log, pictures and network lie beside it."
        ),
    ],
    by: Annotated[
        Literal["network", "fisher"],
        typer.Option(
            "--by",
            help="Let the mask learn with a network, or minimise the Cramér-Rao bound: of one molecule, or "
            "of a crowd (--set design.fisher_density=0.8, per µm²).",
        ),
    ] = "network",
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="KIND|FILE",
            help="Mask to begin with: zero, astigmatic, tetrapod, double_helix, vortex, random, or a file. "
            "(default: the experiment's)",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a design that was stopped.")] = False,
    assignments: Assignments = None,
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Design the phase mask for an experiment's depth range, light and density; Ctrl-C keeps what is done."""
    from ..io.parts import claim_name
    from ..jobs.configure import find_experiment, with_mask
    from ..jobs.design import DesignRun

    experiment = find_experiment(config, assignments or ())
    if start is not None:
        experiment = with_mask(experiment, start)
    place = chosen_device(device)
    run = DesignRun(out)
    claim_name(out, overwrite=overwrite)
    if resume and not run.checkpoint.exists():
        say(f"there is no checkpoint {run.checkpoint} to go on from: starting at step 0")
    if overwrite and not resume:
        run.checkpoint.unlink(missing_ok=True)
    options = {"device": place, "resume": resume}
    complete = (
        _by_network(experiment, out, options) if by == "network" else _by_fisher(experiment, out, options)
    )
    if not complete:
        say("stopped; the same command with --resume goes on")
        raise typer.Exit(INTERRUPTED)


def _by_network(experiment: Experiment, out: Path, options: dict[str, Any]) -> bool:
    from ..jobs.design import DesignRun, design_mask

    with StopRequest() as stop, TrainingView() as view:
        validation = design_mask(
            experiment,
            out,
            **options,
            on_progress=lambda progress: view.update(progress, None, None),
            on_message=say,
            should_stop=stop,
        )
    if validation is None:
        return False
    run = DesignRun(out)
    result(
        f"{out}: Jaccard {validation.score.jaccard:.3f} on validation frames; its network: {run.model.name}, "
        f"its picture: {run.preview.name}, how it came about: {run.animation.name}"
    )
    return True


def _by_fisher(experiment: Experiment, out: Path, options: dict[str, Any]) -> bool:
    from ..jobs.fisher_design import design_by_fisher

    with StopRequest() as stop, ProgressLine("steps") as line:
        summary = design_by_fisher(
            experiment,
            out,
            **options,
            on_progress=lambda done, total, value: line.update(done, total, f"σx + σy + σz {value:.2f} nm"),
            should_stop=stop,
        )
    if summary.complete:
        result(f"{out}: σx + σy + σz from {summary.first_nm:.1f} to {summary.last_nm:.1f} nm")
    return summary.complete
