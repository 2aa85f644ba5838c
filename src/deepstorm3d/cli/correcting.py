"""Commands that correct a list and judge it without a truth: drift, resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .options import CameraPixel, ListFile, Overwrite
from .progress import REMARKS, ScreenWatcher

if TYPE_CHECKING:
    from ..analysis.fourier import Correlation
    from ..analysis.resolution import ResolutionReport

__all__ = ["drift", "resolution"]


def drift(
    locs: ListFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="List to write (.hdf5, .csv, .h5). An estimated curve is written next to it: "
            "NAME.drift.csv (frame, "
            "dx, dy, dz, nm) and NAME.drift.png.",
        ),
    ],
    method: Annotated[
        Literal["overlap", "comet"],
        typer.Option(
            "--method",
            hidden=True,
            help="Kept for older scripts; the only method is overlap.",
        ),
    ] = "overlap",
    segments: Annotated[
        int | None,
        typer.Option(
            "--segments",
            metavar="N",
            min=1,
            help="Number of segments of the drift curve. (default: as many as the list supports)",
        ),
    ] = None,
    frames_per_segment: Annotated[
        int | None,
        typer.Option(
            "--frames-per-segment",
            metavar="N",
            min=1,
            help="Length of a segment in frames, instead of --segments.",
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option("--apply", metavar="CURVE.csv", help="Subtract this curve; nothing is estimated."),
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option("--undo", metavar="CURVE.csv", help="Add this curve back; nothing is estimated."),
    ] = None,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate the drift in x, y and z from the list itself and subtract it; or apply or undo a given curve."""
    from ..jobs.drift import correct_drift, move_by_curve

    if method == "comet":
        raise InputError(
            "--method comet is gone: on simulated lists with a known drift COMET left 2 to 560 nm of it, the "
            "method of this program 0.4 to 1.5 nm; leave --method out"
        )
    if apply is not None and undo is not None:
        raise InputError("give --apply or --undo, not both")
    given = apply or undo
    if given is not None:
        if segments is not None or frames_per_segment is not None:
            raise InputError("--segments belong to an estimate; leave them out with --apply and --undo")
        rows = move_by_curve(
            locs,
            out,
            given,
            undo=undo is not None,
            pixel_nm=pixel_nm,
            overwrite=overwrite,
            watch=REMARKS,
        )
        result(f"{out}: {rows} localizations, {given} {'added back' if undo else 'subtracted'}")
        return
    with ScreenWatcher("steps") as watch:
        done = correct_drift(
            locs,
            out,
            segments=segments,
            frames_per_segment=frames_per_segment,
            pixel_nm=pixel_nm,
            overwrite=overwrite,
            watch=watch,
        )
    shown = table("drift (nm)", "x", "y", "z")
    shown.add_row("least to greatest", *(f"{value:.1f}" for value in done.drift.reach_nm))
    shown.add_row("σ of the curve", *(f"{value:.1f}" for value in done.drift.sigma_nm))
    show_table(shown)
    result(f"{out}: {done.rows} localizations, drift in {done.drift.segments} segments subtracted")
    for path in (done.curve_csv, done.picture):
        say(f"wrote {path}")
    for note in done.notes:
        say_warning(note)


def resolution(
    locs: ListFile,
    block_frames: Annotated[
        int | None,
        typer.Option(
            "--block-frames",
            metavar="N",
            min=1,
            help="Frames that stay together when the list is divided into halves; much longer than a blink. "
            "(default: a fiftieth of the movie, at least 20)",
        ),
    ] = None,
    splits: Annotated[
        int,
        typer.Option(
            "--splits", metavar="N", min=1, max=100, help="Number of random halvings to average over."
        ),
    ] = 5,
    pixel_nm: CameraPixel = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the correlations and fits (.png, .pdf, .svg)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure the resolution of a list: Fourier ring and shell correlation, and precision from neighbours."""
    from ..jobs.figure_files import FigureFiles
    from ..jobs.resolution import measure_resolution

    with ScreenWatcher("correlations") as watch:
        report = measure_resolution(
            locs,
            block_frames=block_frames,
            splits=splits,
            pixel_nm=pixel_nm,
            files=FigureFiles(json, plot, overwrite),
            watch=watch,
        )
    _print_report(report)
    for path in (json, plot):
        if path is not None:
            say(f"wrote {path}")
    for note in report.notes:
        say_warning(note)


def _print_report(report: ResolutionReport) -> None:
    shown = table("correlation of halves, threshold 1/7", "resolution (nm)", "spread (nm)")
    for name, each in report.correlations.items():
        shown.add_row(name, *_told(each))
    show_table(shown)
    shown = table("σ of a localization (nm)", "x", "y", "z")
    if report.precision is not None:
        shown.add_row(
            "neighbours in adjacent frames (NeNA)", *(f"{1000 * fit.sigma_um:.1f}" for fit in report.precision)
        )
    if report.stated_of_pairs_nm is not None:
        shown.add_row(
            "median that the same rows state", *(f"{value:.1f}" for value in report.stated_of_pairs_nm)
        )
    if report.stated_nm is not None:
        shown.add_row("median that all rows state", *(f"{value:.1f}" for value in report.stated_nm))
    if shown.row_count:
        show_table(shown)
    result(
        f"{report.rows} localizations, halved {report.splits} times by blocks of {report.block_frames} frames "
        "(not one by one: a molecule that shines over several frames would correlate with itself)"
    )


def _told(each: Correlation) -> tuple[str, str]:
    if each.resolution_um is not None:
        return (
            f"{1000 * each.resolution_um:.1f}",
            "" if each.spread_um is None else f"{1000 * each.spread_um:.1f}",
        )
    reason = {
        "never above": "none: the halves never agree",
        "beyond the pixels": f"below {1000 / each.nyquist:.0f}: never falls to 1/7 within the pixels",
        "unsettled": "none: the halvings disagree",
    }
    return reason[each.status], ""
