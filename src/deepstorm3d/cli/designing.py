"""Commands that make and compare masks: design-psf, compare-psf."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .channel_choice import ChannelName, one_channel
from .console import result, say, show_table, table
from .failures import INTERRUPTED
from .making import Config, TrainingView, begin_run, hint_at_failure, jaccard_of
from .options import Assignments, Device, FromModel, Overwrite, chosen_device
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment
    from ..jobs.compare_psf import Row
    from ..jobs.start_of_training import Start

__all__ = ["compare_psf", "design_psf"]


def design_psf(
    config: Config,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Mask to write (.npy, rad); log, pictures and network are written next to it.",
        ),
    ],
    by: Annotated[
        Literal["network", "fisher"],
        typer.Option(
            "--by",
            help="network: train the mask together with a network; fisher: minimise the Cramér-Rao bound, of "
            "one molecule or of many at a density (--set design.fisher_density=0.8, per µm²).",
        ),
    ] = "network",
    start: Annotated[
        list[str] | None,
        typer.Option(
            "--start",
            metavar="KIND|FILE",
            help="Mask to start from: zero, astigmatic, tetrapod, learned, double_helix, vortex, random, or a "
            "file; of a further channel NAME=KIND or NAME=FILE. (default: the experiment's)",
        ),
    ] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(
            "--hold",
            metavar="NAME",
            help="Channel whose mask stays as it is: 'first', or its name. (default: all masks learn)",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a design that was stopped.")] = False,
    from_model: FromModel = None,
    assignments: Assignments = None,
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Design the phase mask for a depth range, light and density. After Ctrl-C, --resume continues.

    The masks of several channels are designed at once, FILE and FILE.NAME.npy, the light divided as the
    experiment says.
    """
    from ..experiment.configure import find_experiment, with_masks
    from ..io.parts import claim_name
    from ..jobs.design_channels import mask_files
    from ..jobs.fisher_design import refuse_model
    from ..jobs.start_of_training import Start
    from ..training.runs import DesignRun

    experiment = with_masks(find_experiment(config, assignments or ()), start or ())
    if hold:
        experiment = experiment.with_(design=experiment.design.with_(hold=tuple(hold)))
    if by == "fisher":
        refuse_model(from_model)
    place = chosen_device(device)
    run = DesignRun(out)
    run.claim(resume=resume, overwrite=overwrite, network=by == "network")
    for path in mask_files(experiment, out)[1:]:
        claim_name(path, overwrite=overwrite or resume)
    begin_run(run, resume=resume, overwrite=overwrite)
    complete = (
        _by_network(experiment, out, place, Start(resume, from_model))
        if by == "network"
        else _by_fisher(experiment, out, place, resume=resume)
    )
    if not complete:
        say("stopped; the same command with --resume goes on")
        raise typer.Exit(INTERRUPTED)


def _by_network(experiment: Experiment, out: Path, device: str, start: Start) -> bool:
    from ..jobs.design_channels import mask_files
    from ..jobs.design_psf import design_mask
    from ..training.runs import DesignRun

    with TrainingView() as view:
        validation = design_mask(
            experiment,
            out,
            device=device,
            start=start,
            watch=view,
            after_step=view.after_step,
        )
    if validation is None:
        return False
    run = DesignRun(out)
    result(
        f"{', '.join(map(str, mask_files(experiment, out)))}: {jaccard_of(validation)} on validation frames; "
        f"network: {run.model.name}, picture: {run.preview.name}, how it came about: {run.animation.name}"
    )
    hint_at_failure(validation)
    return True


def _by_fisher(experiment: Experiment, out: Path, device: str, *, resume: bool) -> bool:
    from ..jobs.design_channels import mask_files
    from ..jobs.fisher_design import design_by_fisher

    with ScreenWatcher("steps", stoppable=True) as watch:
        summary = design_by_fisher(
            experiment,
            out,
            device=device,
            resume=resume,
            watch=watch,
        )
    if summary.complete:
        result(
            f"{', '.join(map(str, mask_files(experiment, out)))}: "
            f"σx + σy + σz from {summary.first_nm:.1f} to {summary.last_nm:.1f} nm"
        )
    return summary.complete


def compare_psf(
    config: Config,
    masks: Annotated[
        list[str],
        typer.Argument(metavar="MASK...", help="Masks to compare: files, or kinds (zero, tetrapod, ...)."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for models, table and picture.")],
    densities: Annotated[
        str, typer.Option("--densities", metavar="D,D,...", help="Emitters per µm².")
    ] = "0.2,0.4,0.8,1.2",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Number of trainings for each mask.")
    ] = 1,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine/--no-refine", help="Evaluate the list after the joint fit, or that of the network."
        ),
    ] = False,
    channel: ChannelName = None,
    assignments: Assignments = None,
    device: Device = None,
) -> None:
    """Train the same network for each mask and compare. After Ctrl-C, the same command continues."""
    from ..experiment.configure import find_experiment
    from ..jobs.compare_psf import MaskTest, compare_masks, contenders_of

    experiment = one_channel(find_experiment(config, assignments or ()), channel)
    try:
        levels = tuple(float(part) for part in densities.split(","))
    except ValueError:
        raise InputError(
            f"--densities {densities}: write numbers (per µm²) with commas, e.g. 0.2,0.8"
        ) from None
    place = chosen_device(device)
    with ScreenWatcher("steps", stoppable=True) as watch:
        rows = compare_masks(
            experiment,
            contenders_of(experiment, masks),
            out,
            MaskTest(levels, seeds, refine),
            device=place,
            watch=watch,
        )
    if rows is None:
        say("stopped; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    _show_comparison(rows, levels)
    result(f"{out}: comparison.csv, comparison.png and the trained models")


def _show_comparison(rows: list[Row], densities: tuple[float, ...]) -> None:
    """Means over trainings: Jaccard index, lateral and axial RMSE."""
    shown = table("mask", *(f"{density:g} per µm²: Jaccard · lateral · axial nm" for density in densities))
    for name in dict.fromkeys(row.mask for row in rows):
        cells = []
        for density in densities:
            mine = [row for row in rows if row.mask == name and row.density == density]
            jaccard = sum(row.jaccard for row in mine) / len(mine)
            cells.append(
                f"{jaccard:.3f} · {_mean(row.rmse_lateral_nm for row in mine)} · "
                f"{_mean(row.rmse_axial_nm for row in mine)}"
            )
        shown.add_row(name, *cells)
    show_table(shown)


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else "–"
