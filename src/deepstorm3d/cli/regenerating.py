"""The command that draws frames beside the images that a list predicts: regenerate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning
from .localizing_channels import Models, Split, halves
from .movie_options import CameraValues, Defects, Flip, MovieFile, Subtract, Transpose, Window
from .options import MaskFile, MoviePixel, Overwrite, camera_changes, defect_choice, micrometres

if TYPE_CHECKING:
    from ..jobs.channel_inputs import BothPipelines
    from ..localizing.excerpt import Excerpt

__all__ = ["BesideList", "regenerate"]

BesideList = Annotated[
    Path | None,
    typer.Option(
        "--transform",
        metavar="FILE",
        help="Where the second channel shows what the first does. (default: as the list says, else "
        "LIST.transform.yaml beside it)",
    ),
]


def regenerate(
    locs: Annotated[Path, typer.Argument(metavar="LOCS", help="List of localizations of the movie.")],
    movie: MovieFile,
    model: Models,
    out: Annotated[Path, typer.Option("--out", metavar="IMAGE", help="Picture to write (.png, .pdf, .svg).")],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SECOND]",
            help="Movie of the second channel, for a list of both: they are drawn beside each other.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    transform: BesideList = None,
    frame: Annotated[int, typer.Option("--frame", metavar="K", min=0, help="Which frame, counted from 0.")] = 0,
    mask: MaskFile = None,
    camera: CameraValues = None,
    flip: Flip = "none",
    transpose: Transpose = False,
    subtract: Subtract = "none",
    window: Window = 500,
    pixel_nm: MoviePixel = None,
    defects: Defects = "auto",
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
    """Draw a frame, the image that the list predicts, and the residual: how well does the list explain it?"""
    from ..io.movies.preparation import Prepared
    from ..jobs.channel_inputs import both_pipelines
    from ..jobs.regenerate import regenerate_frame
    from ..localizing.catalogue import find_model
    from ..localizing.excerpt import Excerpt
    from ..localizing.pipeline import load_pipeline
    from ..plot.panels import claim_picture

    claim_picture(out, overwrite=overwrite)
    prepared = Prepared(flip=flip, transpose=transpose, subtract=subtract, window=window)
    changes = camera_changes(camera)
    loaded = [
        (load_pipeline(file, mask=mask, camera=changes, refine=False), file) for file in map(find_model, model)
    ]
    excerpt = Excerpt(movie, prepared=prepared, pixel_um=micrometres(pixel_nm), defects=defect_choice(defects))
    if second is not None or split is not None:
        if equal_photons:
            raise InputError("--equal-photons is for one channel")
        pipelines = both_pipelines(loaded, changes)
        for sentence in pipelines.notes:
            say(sentence)
        both = _Both(excerpt, second, split, pipelines, transform)
        _regenerate_both(locs, both, out, frame=frame, truth=truth)
        return
    if transform is not None or len(model) > 1:
        raise InputError("--transform and a second --model are for two channels: give the movie of the second")
    pipeline = loaded[0][0]
    for sentence in pipeline.notes:
        say(sentence)
    report = regenerate_frame(
        locs, excerpt, pipeline, out, frame=frame, truth=truth, equal_photons=equal_photons
    )
    result(
        f"{out}: frame {frame}, {report.localizations} localizations, correlation {report.correlation:.3f}, "
        f"deviance {report.deviance_per_pixel:.2f} per pixel (1: nothing left but noise)"
    )
    if report.assessment.text and not equal_photons:
        say_warning(report.assessment.text)
    for sentence in report.notes:
        say_warning(sentence)


@dataclass(frozen=True)
class _Both:
    """What is said of two channels: the first movie, the second or how the halves lie, models, transform."""

    excerpt: Excerpt
    second: Path | None
    split: str | None
    both: BothPipelines
    transform: Path | None


def _regenerate_both(locs: Path, both: _Both, out: Path, *, frame: int, truth: Path | None) -> None:
    from ..io.tables import read_header
    from ..jobs.channel_inputs import ChannelInput, GivenTransform, halves_as_channels, second_movie
    from ..jobs.regenerate_channels import regenerate_channels, transform_beside

    pipelines = both.both.pipelines
    side, mirrored = halves(both.split)
    if (both.second is None) == (side is None):
        raise InputError("give the movie of the second channel, or --split if one movie has both: one of these")
    if side is not None:
        channels = halves_as_channels(both.excerpt, pipelines, side)
    else:
        assert both.second is not None
        channels = (
            ChannelInput(both.excerpt, pipelines[0]),
            second_movie(both.excerpt, both.second, pipelines[1]),
        )
    own = None if both.both.model is None else both.both.model.pair
    pixel_um = pipelines[0].experiment.microscope.pixel_um
    header = read_header(locs, pixel_um=pixel_um)
    pair = transform_beside(locs, both.transform, header, own)
    name = "the transform of the list" if both.transform is None else both.transform.name
    GivenTransform(name=name, mirrored=mirrored).check_mirror(pair)
    made = regenerate_channels(locs, channels, [pair], out, frame=frame, truth=truth)
    result(f"{out}: frame {frame}")
    for line in made.lines():
        result(line)
    for name, verdict in made.assessments:
        say_warning(f"{name}: {verdict.text}")
    for each in made.frames:
        for sentence in each.report.notes:
            say_warning(f"{each.name}: {sentence}")
