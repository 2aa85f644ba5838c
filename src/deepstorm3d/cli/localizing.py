"""The command that finds the molecules of a movie: localize."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning
from .failures import INTERRUPTED
from .localizing_channels import (
    ChannelOptions,
    LightKnown,
    Models,
    SecondMovie,
    Split,
    TransformFile,
    localize_both,
    opened_both,
    preview_both,
)
from .movie_options import (
    CameraValues,
    Cluster,
    Defects,
    Flip,
    Follow,
    Frames,
    MovieFile,
    NewList,
    OverFrames,
    Partial,
    Preview,
    Proposer,
    Refine,
    Region,
    Subtract,
    Threshold,
    Transpose,
    Window,
)
from .options import (
    Device,
    MaskFile,
    MoviePixel,
    Overwrite,
    camera_changes,
    chosen_device,
    defect_choice,
    frame_range,
    micrometres,
    region,
)
from .progress import REMARKS, ScreenWatcher

if TYPE_CHECKING:
    from ..localizing.run import LocalizeSummary

__all__ = ["localize"]


def localize(
    movie: MovieFile,
    model: Models,
    out: NewList,
    second: SecondMovie = None,
    split: Split = None,
    transform: TransformFile = None,
    light_known: LightKnown = None,
    mask: MaskFile = None,
    threshold: Threshold = None,
    method: Proposer = "network",
    refine: Refine = True,
    over_frames: OverFrames = None,
    camera: CameraValues = None,
    frames: Frames = None,
    roi: Region = None,
    flip: Flip = "none",
    transpose: Transpose = False,
    subtract: Subtract = "none",
    window: Window = 500,
    partial: Partial = False,
    defects: Defects = "auto",
    follow: Follow = None,
    pixel_nm: MoviePixel = None,
    preview: Preview = None,
    device: Device = None,
    cluster: Cluster = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Find every molecule of a movie, or of two channels together. After Ctrl-C, --resume continues."""
    from ..io.movies.preparation import Prepared
    from ..io.parts import part_path
    from ..jobs.localize import ListFile, localize_movie
    from ..jobs.preview import preview_movie
    from ..localizing.cluster import cluster_workers
    from ..localizing.excerpt import Excerpt
    from ..localizing.recipe import Recipe

    prepared = Prepared(flip=flip, transpose=transpose, subtract=subtract, window=window)
    said, choice = micrometres(pixel_nm), defect_choice(defects)
    excerpt = Excerpt(
        movie, frame_range(frames), region(roi), prepared, partial, follow, pixel_um=said, defects=choice
    )
    channels = ChannelOptions(second, split, model, transform, light_known)
    # Channels are fitted together on the processor, whatever else there is.
    where = chosen_device("cpu" if channels.wanted and device is None else device)
    recipe = Recipe(model[0], mask, camera_changes(camera), threshold, method, refine, where)
    if channels.wanted:
        if cluster is not None or follow is not None:
            raise InputError("--cluster and --follow are for one channel")
        both = opened_both(excerpt, recipe, channels)
        if preview is not None:
            preview_both(both, preview_folder(out), preview)
            return
        file = ListFile(out, resume=resume, overwrite=overwrite, command=tuple(sys.argv))
        localize_both(both, file, over_frames=over_frames)
        return
    if resume and preview is None and not part_path(out).exists():
        say(f"there is no unfinished list {part_path(out).name} to go on with: starting at the first frame")
    pipeline = recipe.load()
    for sentence in pipeline.notes:
        say(sentence)
    if preview is not None:
        for line in preview_movie(excerpt, pipeline, preview_folder(out), frames=preview, watch=REMARKS).lines:
            result(line)
        return
    with ExitStack() as stack:
        workers = None
        if cluster is not None:
            workers = stack.enter_context(cluster_workers(cluster, recipe, watch=REMARKS))
        watch = stack.enter_context(ScreenWatcher("frames", stoppable=True))
        summary = localize_movie(
            excerpt,
            pipeline,
            ListFile(out, resume=resume, overwrite=overwrite, command=tuple(sys.argv)),
            over_frames=over_frames,
            workers=workers,
            watch=watch,
        )
    _report(summary, out)


def preview_folder(out: Path) -> Path:
    """Where the pictures of a preview are written, for a list of this name."""
    return out.parent / f"{out.name}.preview"


def _report(summary: LocalizeSummary, out: Path) -> None:
    """What a run of `localize` found, and what the user should know of it."""
    for warning in summary.warnings:
        say_warning(warning)
    decision = summary.over_frames
    if not summary.complete:
        where = f"after {summary.frames} frames" if decision is None else "while fitting over frames"
        more = "" if decision is None else "; with --separate too it writes the list of single frames"
        say(f"stopped {where}; the same command with --resume goes on{more}")
        raise typer.Exit(INTERRUPTED)
    before = f" ({summary.earlier} of them before it went on)" if summary.earlier else ""
    result(
        f"{out}: {summary.localizations} localizations in {summary.frames} frames{before}, "
        f"{summary.per_frame:.1f} a frame"
    )
