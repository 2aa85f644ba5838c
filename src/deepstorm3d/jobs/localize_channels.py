"""Localize two channels of one recording: each by itself, then every frame in both channels at once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..calibration.registration.agreement import doubts_of_transform
from ..calibration.registration.registration import (
    ChannelList,
    RegistrationRule,
    register_lists,
)
from ..channels import ChannelPair
from ..emitters import Localizations
from ..errors import InputError
from ..io.parts import beside, claim_name, part_path
from ..io.tables import TableHeader, claim_list, discard_growing, read_list, refuse_other_settings
from ..localizing.over_channels import ChannelMovie, OverChannels, refuse_unfit
from ..watch import SILENT, Part, Watcher
from .channel_inputs import ChannelInput, GivenTransform, checked_frames
from .channels_list import BothChannels, write_channels_list
from .channels_record import claim_transform_file, keep_transform
from .channels_summary import ChannelsSummary
from .localize import ListFile, localize_movie, record_of_movie

__all__ = ["localize_channels", "transform_of"]


def localize_channels(
    channels: tuple[ChannelInput, ChannelInput],
    given: GivenTransform,
    out: ListFile,
    *,
    over_frames: bool | None = None,
    watch: Watcher = SILENT,
) -> ChannelsSummary:
    """Localize each channel, then all frames in both at once (``OUT``).

    The lists of each are ``OUT.first.hdf5`` and ``OUT.second.hdf5``, which say how they were made, so that
    `ListFile.resume` takes none of another run for this one's. A transform that is not given is found from the
    two lists; the one that was used is written to ``OUT.transform.yaml``. Memory holds the two lists and a
    block of frames.
    over_frames: whether the list of both is then fitted over frames (`ChannelsPass`), None: as it shows;
    watch: told the frames done, of three passes; where it stops the run, `ListFile.resume` goes on.
    Raises InputError where movies, models, transform or output do not fit.
    """
    refuse_unfit(channels[0].pipeline, channels[1].pipeline)
    frames = checked_frames(channels)
    claim_list(out.path, overwrite=out.overwrite)
    claim_transform_file(out, given.pair)
    summary, lists, paths = ChannelsSummary(), list[Localizations](), _lists_of_each(out)
    for number, (channel, path) in enumerate(zip(channels, paths, strict=True)):
        part = Part(watch, number * frames, frames, 3 * frames)
        found = _alone(channel, path, out, summary, part)
        if found is None:
            return summary
        lists.append(channel.own(found))
    summary.alone = tuple(map(len, lists))
    with ExitStack() as stack:
        sources = [stack.enter_context(channel.excerpt.open()) for channel in channels]
        shapes = [(source.movie.shape[1], source.movie.shape[2]) for source in sources]
        told = [
            ChannelList(rows, channel.field(shape), channel.excerpt.name)
            for rows, channel, shape in zip(lists, channels, shapes, strict=True)
        ]
        pair, notes = transform_of(told[0], told[1], given)
        summary.warnings += notes
        if given.pair is None:
            summary.transform = keep_transform(out.path, pair)
        movies = [
            ChannelMovie(
                source.judged(channel.pipeline.camera, channel.pipeline.experiment.microscope),
                channel.pipeline,
                channel.origin_um,
            )
            for source, channel in zip(sources, channels, strict=True)
        ]
        last = Part(watch, 2 * frames, frames, 3 * frames)
        over = OverChannels(movies, [pair])
        summary.ends = over.depth_ends()
        both = BothChannels(partial(over, lists), over.blocks, movies, pair)
        write_channels_list(both, out, summary, last, over_frames=over_frames)
    summary.warnings += summary.doubts()
    return summary


def transform_of(
    first: ChannelList, second: ChannelList, given: GivenTransform
) -> tuple[ChannelPair, list[str]]:
    """The transform to use, and what a user should know of it.

    Raises InputError where a channel is dark and none is given, where none can be found, and where the lists
    say that the given one is wrong.
    """
    dark = [
        f"{one.name or 'one channel'} shows no molecule, the other channel {len(other.table)}: is it dark, or "
        "are its camera's baseline and gain wrong?"
        for one, other in ((first, second), (second, first))
        if not len(one.table)
    ]
    if given.pair is not None:
        given.check_mirror(given.pair)
        return given.pair, dark or doubts_of_transform(first, second, given.pair, given.name)
    if dark:
        raise InputError(
            f"no transform can be found: {dark[0]}",
            "look at its frames (`preview`), or give the transform (`register` on beads)",
        )
    found = register_lists(first, second, RegistrationRule(mirrored=given.mirrored))
    return found.channels, found.warnings


def _lists_of_each(out: ListFile) -> tuple[Path, Path]:
    """The files of the lists of each channel alone.

    Where nothing is to be gone on with, those of an earlier run are deleted before any work, with all that it
    left unfinished: `resume` after this run would take them for this one's.
    Raises InputError where they are there and may not be replaced, and where another run is writing one.
    """
    first, second = (beside(out.path, f".{name}.hdf5") for name in ("first", "second"))
    if not out.resume:
        for path in (first, second):
            claim_name(path, overwrite=out.overwrite)
    if out.overwrite and not out.resume:
        for path in (first, second, out.path):
            discard_growing(part_path(path))
        for path in (first, second):
            for earlier in (path, path.with_suffix(".yaml")):
                earlier.unlink(missing_ok=True)
    return first, second


def _alone(
    channel: ChannelInput, path: Path, out: ListFile, summary: ChannelsSummary, watch: Watcher
) -> Localizations | None:
    """The list of one channel alone; None where the work was stopped."""
    if not (out.resume and path.exists()):
        alone = replace(out, path=path)
        found = localize_movie(channel.excerpt, channel.pipeline, alone, over_frames=False, watch=watch)
        summary.warnings += [f"{channel.excerpt.name}: {text}" for text in found.warnings]
        if not found.complete:
            return None
    table, header = read_list(path)
    _refuse_another(path, header, channel)
    return table


def _refuse_another(path: Path, header: TableHeader, channel: ChannelInput) -> None:
    """Refuse a list that was made otherwise than this channel's would be, or of other frames of its movie."""
    with channel.excerpt.open() as source:
        ours = replace(header, provenance=record_of_movie(source, channel.pipeline))
        frames = list(source.span)
    refuse_other_settings(path, header.settings, ours)
    if (there := header.provenance.get("frames", frames)) != frames:
        raise InputError(f"{path} is a list of frames {there}, not {frames}", "start again (`overwrite=True`)")
