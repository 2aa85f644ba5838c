"""Commands that look at real frames: localize, regenerate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .console import result, say, say_warning
from .failures import INTERRUPTED
from .interrupt import StopRequest
from .options import (
    CameraValues,
    Device,
    MaskFile,
    ModelName,
    Overwrite,
    chosen_device,
    frame_range,
    region,
)
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..jobs.localize import LocalizeSummary

__all__ = ["localize", "regenerate"]

MovieFile = Annotated[
    Path, typer.Argument(metavar="MOVIE", help="TIFF file, or a folder of numbered single frames.")
]


def localize(
    movie: MovieFile,
    model: ModelName,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="List to write: .hdf5 (read by Picasso) or .csv (ThunderSTORM)."
        ),
    ],
    mask: MaskFile = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="P",
            min=0.0,
            max=1.0,
            help="Least probability of a proposal. (default: the model's, half of it if a fit follows)",
        ),
    ] = None,
    method: Annotated[
        Literal["network", "pursuit", "mle"],
        typer.Option(
            "--method",
            help="Who proposes molecules: network; pursuit (fit and subtract, slow); mle (one by one: beads).",
        ),
    ] = "network",
    refine: Annotated[
        bool,
        typer.Option(
            "--refine/--no-refine",
            help="Fit all molecules of a frame jointly to the likelihood, or give the network's list alone.",
        ),
    ] = True,
    camera: CameraValues = None,
    frames: Annotated[
        str | None,
        typer.Option(
            "--frames", metavar="A:B", help="From frame A to before frame B, counted from 0. (default: all)"
        ),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(
            "--roi",
            metavar="X0,Y0,X1,Y1",
            help="Part of the frame in camera pixels, X1 and Y1 excluded. (default: all)",
        ),
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(
            "--preview",
            metavar="N",
            min=1,
            help="Only look: overlays of N frames, and whether the model fits the data, in FILE.preview/.",
        ),
    ] = None,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Find every molecule of a movie. Ctrl-C keeps what is done: --resume goes on."""
    from ..jobs.localize import localize_movie
    from ..jobs.models import find_model
    from ..jobs.pipeline import load_pipeline
    from ..jobs.preview import preview_movie

    span, box = frame_range(frames), region(roi)
    pipeline = load_pipeline(
        find_model(model),
        mask=mask,
        camera=camera or (),
        threshold=threshold,
        method=method,
        refine=refine,
        device=chosen_device(device),
    )
    if preview is not None:
        folder = out.with_name(f"{out.name}.preview")
        for line in preview_movie(movie, pipeline, folder, frames=preview, selection=span, roi=box).lines:
            result(line)
        return
    with StopRequest() as stop, ProgressLine("frames") as progress:
        summary = localize_movie(
            movie,
            pipeline,
            out,
            frames=span,
            roi=box,
            resume=resume,
            overwrite=overwrite,
            on_progress=progress.update,
            should_stop=stop,
        )
    _report(summary, out)


def _report(summary: LocalizeSummary, out: Path) -> None:
    """What a run of `localize` found, and what the user should know of it."""
    for warning in summary.warnings:
        say_warning(warning)
    if not summary.complete:
        say(f"stopped after {summary.frames} frames; the same command with --resume goes on")
        raise typer.Exit(INTERRUPTED)
    result(
        f"{out}: {summary.localizations} localizations in {summary.frames} frames, "
        f"{summary.per_frame:.1f} a frame"
    )


def regenerate(
    locs: Annotated[Path, typer.Argument(metavar="LOCS", help="List of localizations of the movie.")],
    movie: MovieFile,
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", metavar="IMAGE", help="Picture to write (.png, .pdf, .svg).")],
    frame: Annotated[int, typer.Option("--frame", metavar="K", min=0, help="Which frame, counted from 0.")] = 0,
    mask: MaskFile = None,
    camera: CameraValues = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="FILE", help="True emitters (ThunderSTORM CSV) to draw as circles."),
    ] = None,
    equal_photons: Annotated[
        bool,
        typer.Option("--equal-photons", help="Draw all molecules with the median of their fitted photons."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw a frame beside the image that its list predicts, the residual, and how well the list explains it."""
    from ..io.parts import claim_name
    from ..jobs.models import find_model
    from ..jobs.pipeline import load_pipeline
    from ..jobs.regenerate import regenerate_frame

    claim_name(out, overwrite=overwrite)
    report = regenerate_frame(
        locs,
        movie,
        load_pipeline(find_model(model), mask=mask, camera=camera or (), refine=False),
        out,
        frame=frame,
        truth=truth,
        equal_photons=equal_photons,
    )
    result(
        f"{out}: frame {frame}, {report.localizations} localizations, correlation {report.correlation:.3f}, "
        f"deviance {report.deviance_per_pixel:.2f} per pixel (1: nothing left but noise)"
    )
