"""The command that says which mask fits a sample: recommend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import result, say, show_table, table
from .options import Assignments, Overwrite
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
        typer.Option("--depth", metavar="UM", help="Range of depths, µm. (default: the scene's)"),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            "--density", metavar="D", help="Molecules per µm² in a frame. (default: the scene's highest)"
        ),
    ] = None,
    photons: Annotated[
        float | None,
        typer.Option(
            "--photons", metavar="P", help="Photons of a molecule in a frame. (default: the scene's median)"
        ),
    ] = None,
    background: Annotated[
        float | None,
        typer.Option(
            "--background", metavar="B", help="Background, photons per pixel. (default: the scene's mean)"
        ),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option("--scene", metavar="NAME", help="Scene of the experiment to use. (default: the first)"),
    ] = None,
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
            help="Write the experiment with the best mask (or --mask) at its best focus.",
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

    The bound is computed for your microscope; what share of it is reached, and how many molecules are found,
    come from a table of simulated fits.
    """
    from ..experiment.configure import find_experiment
    from ..io.parts import claim_name
    from ..jobs import recommend as job

    experiment = find_experiment(config, assignments or ())
    files = (csv, json, plot, experiment_out)
    for path in files:
        if path is not None:
            claim_name(path, overwrite=overwrite)
    sample = job.sample_of(experiment, scene, job.SampleChanges(depth, density, photons, background))
    with ScreenWatcher("masks") as watch:
        report = job.recommend(experiment, sample, scene=scene, watch=watch)
    _print(report)
    if csv is not None:
        job.write_table(report, csv)
    if json is not None:
        job.write_record(report, json)
    if plot is not None:
        job.draw(report, plot)
    if experiment_out is not None:
        job.write_experiment_for(experiment, report, experiment_out, mask)
    for path in files:
        if path is not None:
            say(f"wrote {path}")


def _print(report: Recommendation) -> None:
    sample = report.sample
    low, high = sample.z_um
    shown = table(
        "mask",
        "Jaccard",
        "RMSE lateral",
        "axial (nm)",
        "bound lateral",
        "axial (nm)",
        "focus (µm)",
        "channels",
        title=f"{high - low:.3g} µm of depth, {sample.density:.3g} molecules per µm², {sample.photons:,.0f} "
        f"photons over {sample.background:g} per pixel",
    )
    for each in report.advice:
        lengths = each.rmse_lateral_nm, each.rmse_axial_nm, each.bound_lateral_nm, each.bound_axial_nm
        shown.add_row(
            each.mask,
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
    result(
        "a mask for exactly this: deepstorm3d design-psf EXPERIMENT --by fisher --set "
        f"design.fisher_density={sample.density:.3g} --out mask.npy, and from there with the network: "
        "deepstorm3d design-psf EXPERIMENT --start mask.npy --out learned.npy"
    )
