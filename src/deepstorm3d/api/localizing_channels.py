"""Two channels in memory: movies and models in, one list of the molecules of both out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Literal

from ..calibration.registration.registration import ChannelList
from ..camera import Camera
from ..channels import ChannelPair
from ..emitters import Localizations
from ..errors import InputError, Interrupted
from ..front_door import doubt, public
from ..io.movies import AnyMovie
from ..jobs.channel_inputs import (
    ChannelInput,
    GivenTransform,
    both_pipelines,
    checked_frames,
)
from ..jobs.channels_summary import ChannelsSummary
from ..jobs.localize_channels import transform_of
from ..jobs.localize_together import opened_together
from ..localizing.channel_pipelines import ChannelPipelines
from ..localizing.channels_over_frames import ChannelsPass
from ..localizing.excerpt import Excerpt
from ..localizing.fits import Method
from ..localizing.model import Model
from ..localizing.over_channels import ChannelMovie, OverChannels, found_in_blocks, refuse_unfit
from ..localizing.over_frames import decide
from ..localizing.run import Run
from ..watch import SILENT, Part, Watcher
from .channel_movies import AnyTransform, SecondChannel, channels_of, transform_given

__all__ = ["localize_channels"]


@public
def localize_channels(
    first: AnyMovie | Excerpt,
    second: SecondChannel,
    models: Model | Sequence[Model],
    *,
    transform: AnyTransform | None = None,
    camera: Camera | Mapping[str, object] | None = None,
    method: Method | Literal["proposals"] = "network",
    watch: Watcher = SILENT,
) -> Localizations:
    """Find every molecule of a recording in two channels, each frame fitted in both channels at once.

    A model that was trained for two channels finds candidates in both at once. With a model of each, each
    channel is localized by itself first, and which rows of the two lists are one molecule is decided by the
    likelihood. A molecule gets one position from both channels, and its own photons in each, or where the
    model's shares of the light are known (`Model.with_light_known`) one number of photons. The fit warps no
    images: derivatives go through the transform. Where the list shows that molecules last and rest, it is
    fitted again over frames (`channels_over_frames`; `Model.with_over_frames` says otherwise).

    Parameters
    ----------
    first : array (frames, height, width), tensor, movie, path or Excerpt
        Counts of the first channel's camera, or of one camera that shows both channels.
    second : the same, or "left-right" or "top-bottom"
        Of the second channel, frame by frame of the same recording; or how the channels lie in the frames of
        `first`, the first one named first.
    models : Model or sequence of two
        One that was trained for two channels, in their order; or of the first and of the second channel, or one
        for both alike. Depths of both are from the coverslip; what they differ by is the transform's depth
        offset.
    transform : Registration, ChannelPair or path
        Where the second channel shows what the first one does (`register`, `read_transform`); None: that of the
        model of two channels, else found from the molecules of both.
    camera, method
        As of `Model.localize`, for both channels. Another threshold: `Model.at_threshold`. "proposals", for one
        model of two channels: its network's list unchanged, without a joint fit, with photons and background of
        linear fits to both channels.
    watch : Watcher
        Told the frames done, in three passes with two models, and can stop the work.

    Returns
    -------
    Localizations
        One row for each molecule and frame: positions in the first channel, µm; σ from both channels; photons
        and background of both together; ``share`` of the photons in the second one and its ``sigma_share``.

    Raises
    ------
    InputError
        If movies, models and transform do not fit each other: other lengths, a dark channel without a
        transform, swapped or mirrored channels, a transform that the molecules contradict.
    Interrupted
        If the watcher stopped the work.

    Warns
    -----
    DoubtfulResult
        If a user of the list should know of a problem.
    """
    given_models = (models,) if isinstance(models, Model) else tuple(models)
    if len({model.over_frames for model in given_models}) > 1:
        raise InputError(
            "one model says that molecules are fitted over frames, the other one says something else",
            "give both the same (Model.with_over_frames)",
        )
    refine, source = method != "proposals", "network" if method == "proposals" else method
    loaded = [
        (model.pipeline(camera=camera, method=source, refine=refine), model.file) for model in given_models
    ]
    both = both_pipelines(loaded, camera)
    channels = channels_of(first, second, both.pipelines)
    given = both.transform(transform_given(transform, both.pipelines[0].experiment.microscope.pixel_um))
    if both.together is not None:
        found, told = _found_together(channels, both.together, given, watch, given_models[0].over_frames)
    else:
        found, told = _found(channels, given, watch, given_models[0].over_frames)
    doubt(dict.fromkeys([*both.notes, *told]))
    return found


def _found_together(
    channels: tuple[ChannelInput, ChannelInput],
    model: ChannelPipelines,
    given: GivenTransform,
    watch: Watcher,
    over_frames: bool | None,
) -> tuple[Localizations, list[str]]:
    """The list by a network that sees both channels, and what a user should know of it."""
    with opened_together(channels, model, given, watch) as together:
        rows, both = list[Localizations](), together.both
        for _, made in both.found(0, watch):
            rows.append(made.localizations)
            together.summary.add(made)
        listed = Localizations.concat(rows)
        found, notes = _over_frames(listed, both.movies, both.pair, together.summary, watch, over_frames)
        return found, [*together.summary.warnings, *together.doubts(), *notes]


def _found(
    channels: tuple[ChannelInput, ChannelInput],
    given: GivenTransform,
    watch: Watcher,
    over_frames: bool | None,
) -> tuple[Localizations, list[str]]:
    """The list of both channels, and what a user should know of it."""
    refuse_unfit(channels[0].pipeline, channels[1].pipeline)
    frames, told = checked_frames(channels), list[str]()
    lists, movies = list[ChannelList](), list[ChannelMovie]()
    with ExitStack() as stack:
        for number, channel in enumerate(channels):
            opened = stack.enter_context(channel.excerpt.open())
            run = Run(opened, channel.pipeline, watch=Part(watch, number * frames, frames, 3 * frames))
            parts = [found.localizations for found in run.blocks()]
            if watch.stopped:
                raise Interrupted
            told += [f"{channel.excerpt.name}: {text}" for text in run.finish(complete=True).warnings]
            table = channel.own(Localizations.concat(parts) if parts else Localizations.empty())
            shape = run.source.movie.shape
            lists.append(ChannelList(table, channel.field((shape[1], shape[2])), channel.excerpt.name))
            movies.append(ChannelMovie(run.source, channel.pipeline, channel.origin_um))
        pair, notes = transform_of(lists[0], lists[1], given)
        over, rows = OverChannels(movies, [pair]), list[Localizations]()
        summary = ChannelsSummary(ends=over.depth_ends())
        last = Part(watch, 2 * frames, frames, 3 * frames)
        localize = partial(over, [each.table for each in lists])
        for _, made in found_in_blocks(localize, over.blocks(), movies, last):
            rows.append(made.localizations)
            summary.add(made)
        found, refused = _over_frames(Localizations.concat(rows), movies, pair, summary, watch, over_frames)
    return found, [*told, *notes, *summary.doubts(), *refused]


def _over_frames(
    found: Localizations,
    movies: Sequence[ChannelMovie],
    pair: ChannelPair,
    summary: ChannelsSummary,
    watch: Watcher,
    wanted: bool | None,
) -> tuple[Localizations, list[str]]:
    """The list, fitted over frames where that is wanted or pays, and what a user should know of that.

    summary: of the list of single frames; it gets what is counted of the list over frames.
    """
    decision = decide(wanted, movies[0].pipeline, found)
    if decision.over_frames:
        over = ChannelsPass(movies, [pair], watch)
        found, summary.ends = Localizations.concat(list(over(found))), over.ends
    return found, [decision.reason] if decision.refused else []
