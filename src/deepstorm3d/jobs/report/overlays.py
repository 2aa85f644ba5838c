"""Some frames of a movie beside the images that a list predicts, as a section of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...camera import Camera
from ...channels import ChannelPair
from ...channels.camera_halves import Side
from ...emitters import Localizations
from ...errors import InputError
from ...io.movies import Movie
from ...io.tables.header import TableHeader
from ...localizer.modelfile import ModelFile
from ...localizing.excerpt import Excerpt, OpenExcerpt
from ...localizing.pipeline import Pipeline, load_pipeline
from ...plot.frames_beside import channel_overlays
from ...plot.panels import figure_png
from ..channel_inputs import ChannelInput, GivenTransform, both_pipelines, halves_as_channels, second_movie
from ..channels_record import prepared_of, with_recorded_cameras
from ..movie_of_list import doubts_of_movie
from ..regenerate import explain_frame
from ..regenerate_channels import regenerated_channels, transform_beside
from .parts import Figure, Section

__all__ = ["TITLE", "Overlays", "SecondChannel", "overlay_section"]

TITLE = "Frames beside their regenerated images"
# Steps after which the rows of a frame still lie where that frame shows the molecules.
_IN_PLACE = ("filter", "convert", "dyes")


@dataclass(frozen=True)
class SecondChannel:
    """The second channel of a list of both.

    movie: its movie, or how the channels lie in the frames of the first one;  model: that localized it, None:
    the first channel's;  transform: from the first channel to it, None: as the list records, or the file
    beside it, or the model's own;  mirrored: whether it is said to show the first as a mirror does, None: not
    said.
    """

    movie: Path | Side
    model: ModelFile | None = None
    transform: Path | None = None
    mirrored: bool | None = None


@dataclass(frozen=True)
class Overlays:
    """Frames to draw beside the images that a list predicts.

    movie, model: that the list was localized with;  mask, camera: as in `load_pipeline`, the camera is
    otherwise the one that the list records;  count: how many frames, spread over those that have rows;
    second: the second channel of a list of both.
    """

    movie: Path
    model: ModelFile
    mask: Path | None = None
    camera: Camera | Mapping[str, object] | None = None
    count: int = 3
    second: SecondChannel | None = None


def overlay_section(table: Localizations, header: TableHeader, overlays: Overlays, source: Path) -> Section:
    """Each frame, the image of its rows, and what is left; of two channels both beside each other.

    source: file of the list.
    Raises InputError where model or movie do not fit the list.
    """
    steps = [str(step.get("step")) for step in header.provenance.get("steps", [])]
    moved = [step for step in steps if step not in _IN_PLACE]
    if moved:
        words = (
            f"The rows no longer lie where the frames show the molecules ({', '.join(moved)}); a report of the "
            "list that localize wrote can draw them."
        )
        return Section(TITLE, paragraphs=[words])
    words = ["Left over should be noise: whole spots are missed molecules, rims another PSF than the model's."]
    if "filter" in steps:
        words.append("Molecules that were filtered away are missing from the regenerated images.")
    roi = header.provenance.get("roi")
    box = (roi[0], roi[1], roi[2], roi[3]) if isinstance(roi, list | tuple) and len(roi) == 4 else None
    prepared = prepared_of(header.provenance)
    # The list is of this movie: its pixel is known, also where the file's header is wrong.
    excerpt = Excerpt(overlays.movie, roi=box, prepared=prepared[0], partial=True, pixel_um=header.pixel_um)
    words += [f"{doubt}." for doubt in doubts_of_movie(header, excerpt)]
    with excerpt.open() as opened:
        _require_same_recording(opened.movie, header)
        numbers = _frames(table, opened.movie, overlays.count)
    if overlays.second is not None:
        channels, own = _channels(excerpt, overlays, overlays.second, header)
        pair = transform_beside(source, overlays.second.transform, header, own)
        name = (
            "the transform of the list" if overlays.second.transform is None else overlays.second.transform.name
        )
        GivenTransform(name=name, mirrored=overlays.second.mirrored).check_mirror(pair)
        for channel in channels:
            words += [f"Assumed for {channel.excerpt.name}: {note}." for note in channel.pipeline.notes]
        made = [_both(table, channels, pair, number) for number in numbers]
        return Section(TITLE, paragraphs=words, figures=made)
    return _of_one_channel(table, excerpt, overlays, (words, numbers), header)


def _of_one_channel(
    table: Localizations,
    excerpt: Excerpt,
    overlays: Overlays,
    told: tuple[list[str], list[int]],
    header: TableHeader,
) -> Section:
    """told: words before the pictures, and the frames to draw."""
    words, numbers = told
    with excerpt.open() as source:
        camera = overlays.camera or header.provenance.get("camera")
        pipeline = load_pipeline(overlays.model, mask=overlays.mask, camera=camera, refine=False)
        words += [f"Assumed: {sentence}." for sentence in pipeline.notes]
        source.check_against(pipeline)
        source = source.judged(pipeline.camera, pipeline.experiment.microscope)
        words += [f"{sentence}." for sentence in source.pixel_notes()]
        pipeline = source.at_work(pipeline)
        figures = [_overlay(pipeline, table, source, k) for k in numbers]
    return Section(TITLE, paragraphs=words, figures=figures)


def _require_same_recording(movie: Movie, header: TableHeader) -> None:
    frames, height, width = movie.shape
    if frames < header.frames or height < header.shape[0] or width < header.shape[1]:
        raise InputError(
            f"{movie.path} has {frames} frames of {width} × {height} px, the list is of {header.frames} of "
            f"{header.shape[1]} × {header.shape[0]} px",
            "give the movie that was localized",
        )


def _frames(table: Localizations, movie: Movie, count: int) -> list[int]:
    """Frames with rows, spread evenly over those; of an empty list, over the movie."""
    there = table.frame.unique().cpu().numpy()
    there = there[there < movie.shape[0]] if len(there) else np.arange(movie.shape[0])
    places = (np.arange(count) + 0.5) / count * len(there)
    return np.unique(there[places.astype(np.int64)]).tolist()


def _overlay(pipeline: Pipeline, table: Localizations, source: OpenExcerpt, number: int) -> Figure:
    counts = source.read(number, number + 1)
    seen = pipeline.light(torch.from_numpy(counts.astype(np.float32)))
    pixel_um = pipeline.experiment.microscope.pixel_um
    corner = (-source.roi[0] * pixel_um, -source.roi[1] * pixel_um, 0.0)
    found = table.select(table.frame == number).shift(xyz=corner, frames=-number).to(pipeline.device)
    report, figure = explain_frame(pipeline, found, seen, title=f"Frame {number}")
    caption = (
        f"Frame {number}: {report.localizations} localizations; correlation {report.correlation:.3f}, squared "
        f"residual over the expected variance {report.deviance_per_pixel:.2f} per pixel (1: noise alone)."
    )
    if report.assessment.kind == "too quiet":
        caption += f" Warning: {report.assessment.text}."
    return Figure(caption, figure_png(figure))


def _channels(
    excerpt: Excerpt, overlays: Overlays, second: SecondChannel, header: TableHeader
) -> tuple[tuple[ChannelInput, ChannelInput], ChannelPair | None]:
    """Movie and image model of both channels, and the transform of a model of both."""
    models = [model for model in (overlays.model, second.model) if model is not None]
    loaded = [
        (load_pipeline(model, mask=overlays.mask, camera=overlays.camera, refine=False), model)
        for model in models
    ]
    both = both_pipelines(loaded, overlays.camera)
    one, other = both.pipelines
    if not overlays.camera:
        one, other = with_recorded_cameras((one, other), header.provenance)
    own = None if both.model is None else both.model.pair
    if not isinstance(second.movie, Path):
        return halves_as_channels(replace(excerpt, roi=None), (one, other), second.movie), own
    there = second_movie(excerpt, second.movie, other)
    prepared = prepared_of(header.provenance)[1]
    return (ChannelInput(excerpt, one), replace(there, excerpt=replace(there.excerpt, prepared=prepared))), own


def _both(
    table: Localizations, channels: tuple[ChannelInput, ChannelInput], pair: ChannelPair, number: int
) -> Figure:
    """A frame of both channels beside each other."""
    made = regenerated_channels(table, channels, [pair], frame=number)
    figure = channel_overlays(made.frames, title=f"Frame {number}")
    warnings = [f" Warning: {name}: {verdict.text}." for name, verdict in made.assessments]
    return Figure(f"Frame {number}. {'; '.join(made.lines())}.{''.join(warnings)}", figure_png(figure))
