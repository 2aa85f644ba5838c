"""The command that tells how well anyone could do: limit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import result, say, show_table, table
from .making import Config
from .options import Assignments, Background, Overwrite, Photons, SceneName
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..experiment.limits import LimitReport

__all__ = ["limit"]


def limit(
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="IMAGE", help="Plot to write (.png, .pdf, .svg).")],
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask",
            metavar="FILE|KIND",
            help="Phase mask to compare with the experiment's own: a file in radians (.npy, .mat, .tif), or "
            "zero, astigmatic, tetrapod, learned, double_helix, vortex; repeatable. "
            "(default: the experiment's alone)",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all bounds to this file.")
    ] = None,
    photons: Photons = None,
    background: Background = None,
    scene: SceneName = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="S", min=0, help="Seed of the random positions. (default: the experiment's)"
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Compute the best possible precision: the Cramér-Rao bound against depth, photons, background, density.

    Of several channels: all of them together, then each channel (and --mask) alone with all of the light.
    """
    from ..experiment.configure import find_experiment
    from ..io.parts import claim_name, refuse_same_names
    from ..jobs import limit as job
    from ..jobs.limit_report import draw_report, write_report
    from ..plot.panels import claim_picture

    experiment = find_experiment(config, assignments or ())
    refuse_same_names([out, csv])
    claim_picture(out, overwrite=overwrite)
    if csv is not None:
        claim_name(csv, overwrite=overwrite)
    masks = job.masks_to_compare(experiment, mask or ())
    with ScreenWatcher("points") as watch:
        report = job.limit(
            experiment,
            masks,
            scene=scene,
            photons=photons,
            background=background,
            sweep=job.Sweep(seed=seed),
            watch=watch,
        )
    _print_report(report)
    if csv is not None:
        write_report(report, csv)
        say(f"wrote {csv}")
    draw_report(report, out)
    say(f"wrote {out}")


def _print_report(report: LimitReport) -> None:
    shown = table("σ of x · y · z (nm)", *(mask.name for mask in report.masks))
    # One molecule at one depth, and at all: one part of the table.
    parts = {"all depths": "depth"}
    before = "depth"
    for line in report.summary():
        part = parts.get(line.against, line.against)
        if part != before:
            shown.add_section()
        before = part
        cells = [_sigmas(sigma) for sigma in line.sigma_nm]
        if line.rms_nm is None:
            shown.add_row(line.label, *cells)
        else:
            cells = [f"{cell}  ({_sigmas(rms)})" for cell, rms in zip(cells, line.rms_nm, strict=True)]
            shown.add_row(f"{line.label}: median (rms)", *cells)
    show_table(shown)
    height, width = report.frame_px
    result(
        f"where not varied: {report.photons:,.0f} photons, background {report.background:g} per pixel, "
        f"blur {report.blur_px:g} px; {report.noise}"
    )
    result(
        f"many molecules: at random places in a frame of {width} × {height} px with a border of "
        f"{report.margin_px:g} px, all estimated together with one level of background"
    )


def _sigmas(sigma_nm: Iterable[float]) -> str:
    return " · ".join(f"{value:.1f}" for value in sigma_nm)
