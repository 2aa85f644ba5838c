"""The command that writes a list's report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import result
from .localizing_channels import Split, halves
from .movie_options import CameraValues
from .options import CameraPixel, MaskFile, Overwrite, camera_changes
from .progress import REMARKS
from .regenerating import BesideList

if TYPE_CHECKING:
    from ..jobs.report import SecondChannel

__all__ = ["report"]


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="List that localize wrote, or one derived from it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PAGE", help="Page to write (.html).")],
    movie: Annotated[
        list[Path] | None,
        typer.Option(
            "--movie",
            metavar="MOVIE",
            help="Also draw frames of this movie next to the images that the list predicts; needs --model. For "
            "a list of two channels give both movies, in their order.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|PATH",
            help="Model that localized the movie. Of two channels give two, in their order, or one for both.",
        ),
    ] = None,
    split: Split = None,
    transform: BesideList = None,
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

    overlays = None
    if movie or model:
        if not movie or not model:
            raise InputError(
                "frames beside their regenerated images need both the movie (--movie) and the model (--model)"
            )
        second = _second(movie, model, split, transform)
        overlays = Overlays(movie[0], find_model(model[0]), mask, camera_changes(camera), frames, second)
    else:
        given = {"--split": split, "--transform": transform, "--mask": mask, "--camera": camera}
        for name, value in given.items():
            if value:
                raise InputError(
                    f"{name} is for the frames that are drawn beside their regenerated images: there are none",
                    "give the movie and its model, too (--movie, --model), or leave it out",
                )
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


def _second(
    movies: list[Path], models: list[str], split: str | None, transform: Path | None
) -> SecondChannel | None:
    """The second channel, of two movies or of the halves of one; None for one channel."""
    from ..errors import InputError
    from ..jobs.report import SecondChannel
    from ..localizing.catalogue import find_model

    if len(movies) > 2 or len(models) > 2:
        raise InputError("a list has two channels at most (--movie, --model)")
    side, mirrored = halves(split)
    if len(movies) == 1 and side is None:
        if transform is not None or len(models) > 1:
            raise InputError(
                "--transform and a second --model are for two channels: give both movies, or --split"
            )
        return None
    if len(movies) == 2 and side is not None:
        raise InputError("--split is for one movie that has both channels; two are given (--movie)")
    model = find_model(models[1]) if len(models) > 1 else None
    return SecondChannel(side or movies[1], model, transform, mirrored)
