"""The command that writes a list's report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import result
from .movie_options import CameraValues
from .options import CameraPixel, MaskFile, Overwrite, camera_changes
from .progress import REMARKS

__all__ = ["report"]


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="List that localize wrote, or one derived from it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PAGE", help="Page to write (.html).")],
    movie: Annotated[
        Path | None,
        typer.Option(
            "--movie",
            metavar="MOVIE",
            help="Also draw frames of this movie next to the images that the list predicts; needs --model.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME|PATH", help="Model that localized the movie.")
    ] = None,
    mask: MaskFile = None,
    camera: CameraValues = None,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="How many frames of the movie to draw.")
    ] = 3,
    resolution: Annotated[
        bool,
        typer.Option(
            "--resolution/--no-resolution",
            help="Measure the resolution of the list; takes seconds to a minute.",
        ),
    ] = True,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page about a list: conditions, picture, quality, drift, resolution, processing steps."""
    from ..errors import InputError
    from ..jobs.report import Overlays, write_report
    from ..localizing.catalogue import find_model

    if (movie is None) != (model is None):
        raise InputError(
            "frames beside their regenerated images need both the movie (--movie) and the model (--model)"
        )
    overlays = None
    if movie is not None and model is not None:
        overlays = Overlays(movie, find_model(model), mask, camera_changes(camera), frames)
    titles = write_report(
        run,
        out,
        overlays=overlays,
        resolution=resolution,
        pixel_nm=pixel_nm,
        overwrite=overwrite,
        watch=REMARKS,
    )
    result(f"{out}: {', '.join(titles)}")
