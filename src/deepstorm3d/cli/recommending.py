"""The command that says which mask fits a sample: recommend."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, show_table, table
from .options import Assignments, Background, Overwrite, Photons, SceneName
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..experiment.recommendation import Recommendation

__all__ = ["recommend"]


def recommend(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="Experiment file, or a preset's name: microscope, camera, and the sample where no option says "
            "otherwise.",
        ),
    ] = "telomeres",
    depth: Annotated[
        float | None,
        typer.Option(
            "--depth",
            metavar="UM",
            help="Length of the range of depths, µm, from where the scene's begins. (default: the scene's)",
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            "--density", metavar="D", help="Molecules per µm² in a frame. (default: the scene's highest)"
        ),
    ] = None,
    photons: Photons = None,
    background: Background = None,
    scene: SceneName = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the table to this file.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write table, sample and notes to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="IMAGE", help="Picture to write (.png, .pdf, .svg).")
    ] = None,
    experiment_out: Annotated[
        Path | None,
        typer.Option(
            "--experiment-out",
            metavar="FILE",
            help="Write the experiment with this sample in its scene, and the best mask (or --mask) at its "
            "best focus.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option("--mask", metavar="NAME", help="Known mask for --experiment-out. (default: the best)"),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Say which known mask fits a sample: expected Jaccard index, errors and bound of each, best first.

    The bound is computed for your microscope; what multiple of it the errors are, and how many molecules
    are found, come from a table of simulated fits.
    """
    from ..experiment.configure import find_experiment
    from ..io.parts import claim_name, refuse_same_names
    from ..jobs import recommend as job
    from ..jobs import recommended_files as files
    from ..plot.panels import claim_picture

    if mask is not None and experiment_out is None:
        raise InputError("--mask is for the experiment that is written: give --experiment-out too")
    experiment = find_experiment(config, assignments or ())
    paths = (csv, json, plot, experiment_out)
    refuse_same_names(paths)
    for path in paths:
        if path is not None:
            (claim_picture if path is plot else claim_name)(path, overwrite=overwrite)
    sample = job.sample_of(experiment, scene, job.SampleChanges(depth, density, photons, background))
    if mask is not None:
        job.refuse_mask(experiment, sample, mask)
    with ScreenWatcher("masks") as watch:
        report = job.recommend(experiment, sample, scene=scene, watch=watch)
    _print(report)
    if csv is not None:
        files.write_masks(report, csv)
    if json is not None:
        files.write_record(report, json)
    if plot is not None:
        files.draw(report, plot)
    if experiment_out is not None:
        files.write_experiment_for(experiment, report, experiment_out, mask, scene)
    for path in paths:
        if path is not None:
            say(f"wrote {path}")
    if experiment_out is None:
        _say_design(config, assignments or (), sample.density, written=False)
    else:
        _say_design(str(experiment_out), (), sample.density, written=True)


def _print(report: Recommendation) -> None:
    shown = table(
        "mask",
        "efficiency (%)",
        "Jaccard",
        "RMSE lateral (nm)",
        "RMSE axial (nm)",
        "bound lateral (nm)",
        "bound axial (nm)",
        "focus (µm)",
        "channels",
        title=report.sample.describe(),
    )
    for each in report.advice:
        lengths = each.rmse_lateral_nm, each.rmse_axial_nm, each.bound_lateral_nm, each.bound_axial_nm
        shown.add_row(
            each.mask,
            f"{each.efficiency:.0f}",
            f"{each.jaccard:.2f}",
            *(f"{value:.1f}" for value in lengths),
            f"{each.focus:.2f}",
            str(len(each.masks)),
        )
    show_table(shown)
    for each in report.advice:
        result(f"{each.mask} ({each.about}): {each.reason}")
    for note in report.notes:
        say(note)


def _say_design(config: str, assignments: Sequence[str], density: float, *, written: bool) -> None:
    """How to have a mask made: from the experiment that was written, or from the one that was given."""
    typed = " ".join([shlex.quote(config), *(f"--set {shlex.quote(each)}" for each in assignments)])
    what = "this sample" if written else "this density, with depth and light as in the experiment"
    result(
        f"a mask for {what}: deepstorm3d design-psf {typed} --by fisher --set "
        f"design.fisher_density={density:.3g} --out mask.npy, and from there with the network: "
        f"deepstorm3d design-psf {typed} --start mask.npy --out learned.npy"
    )
