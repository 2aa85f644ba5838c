"""Localize two channels of one recording: each by itself, then every frame in both channels at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from .. import __version__
from ..calibration.registration.agreement import doubts_of_transform
from ..calibration.registration.registration import (
    ChannelList,
    RegistrationRule,
    register_lists,
)
from ..channels import ChannelPair
from ..emitters import Localizations
from ..errors import InputError, Interrupted
from ..fitting.sites.channels import FoundInChannels
from ..io.parts import claim_name
from ..io.tables import TableHeader, open_list_writer, read_list
from ..io.transforms import write_transform
from ..localizing.over_channels import ChannelMovie, OverChannels
from ..watch import SILENT, Part, Watcher
from .channel_inputs import ChannelInput, checked_frames
from .localize import ListFile, localize_movie

__all__ = [
    "ChannelsSummary",
    "GivenTransform",
    "localize_channels",
    "transform_of",
]

# Share of the molecules of both channels that do not fit one position from which on it is told …
_SPLIT_SHARE = 0.2
_SPLIT_LEAST = 10  # … and their number
# Mean deviance of a channel's pixels from which on it is told.
_MISFIT = 1.3


@dataclass(frozen=True)
class GivenTransform:
    """The transform to use, and the name of its file; None: it is found from the lists of both channels.

    mirrored: whether the second channel shows the first as a mirror does; None: found out.
    """

    pair: ChannelPair | None = None
    name: str = "the transform"
    mirrored: bool | None = None


@dataclass
class ChannelsSummary:
    """Figures of a run over two channels; complete: whether it reached the last frame (else it can be resumed).

    alone: rows of each channel alone;  rows: of both;  together, filled, split, removed: see `FoundInChannels`;
    earlier: frames done before the run was resumed, which the figures of both leave out;
    misfit: mean deviance of the pixels of each channel;  transform: file that the transform was written to,
    None: it was given.
    """

    frames: int = 0
    earlier: int = 0
    alone: tuple[int, ...] = ()
    rows: int = 0
    together: int = 0
    filled: int = 0
    split: int = 0
    removed: int = 0
    misfit: tuple[float, float] = (0.0, 0.0)
    complete: bool = False
    transform: Path | None = None
    warnings: list[str] = field(default_factory=list)

    def add(self, found: FoundInChannels) -> None:
        """Add the figures of one more block."""
        frames, (one, other) = len(found.misfit), found.misfit.double().sum(0).tolist()
        before, after = self.frames, self.frames + frames
        self.misfit = (
            (self.misfit[0] * before + one) / after,
            (self.misfit[1] * before + other) / after,
        )
        self.frames = after
        self.rows += len(found.localizations)
        self.together += found.together
        self.filled += found.filled
        self.split += found.split
        self.removed += found.removed

    def doubts(self) -> list[str]:
        """What a user of the list should know."""
        told = []
        both = self.together + self.split
        if self.split >= _SPLIT_LEAST and self.split > _SPLIT_SHARE * both:
            told.append(
                f"{self.split} of {both} molecules that both channels show within 3 σ do not fit one position: "
                "the transform is less exact than the molecules, or a model's PSF is not that of its channel; "
                "register on this recording (leave the transform out), and look at single frames (`preview`)"
            )
        for name, misfit in zip(("first", "second"), self.misfit, strict=True):
            if misfit > _MISFIT:
                told.append(
                    f"the {name} channel is not explained by the molecules of both: its pixels have a mean "
                    f"deviance of {misfit:.2f} (noise alone: 1)"
                )
        return told


def localize_channels(
    channels: tuple[ChannelInput, ChannelInput],
    given: GivenTransform,
    out: ListFile,
    *,
    watch: Watcher = SILENT,
) -> ChannelsSummary:
    """Localize each channel (lists ``OUT.first``, ``OUT.second``), then all frames in both at once (``OUT``).

    A transform that is not given is found from the two lists and written to ``OUT.transform.yaml``. Memory
    holds the two lists and a block of frames.
    watch: told the frames done, of three passes; where it stops the run, `ListFile.resume` goes on.
    Raises InputError where movies, models, transform or output do not fit.
    """
    frames = checked_frames(channels)
    claim_name(out.path, overwrite=out.overwrite)
    found_transform = _beside(out.path, ".transform.yaml")
    if given.pair is None:
        claim_name(found_transform, overwrite=out.overwrite or out.resume)
    summary, lists = ChannelsSummary(), list[Localizations]()
    for number, (channel, name) in enumerate(zip(channels, ("first", "second"), strict=True)):
        part = Part(watch, number * frames, frames, 3 * frames)
        found = _alone(channel, _beside(out.path, f".{name}{out.path.suffix}"), out, summary, part)
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
            summary.transform = found_transform
            write_transform(found_transform, pair, overwrite=True)
        movies = [
            ChannelMovie(
                source.judged(channel.pipeline.camera, channel.pipeline.experiment.microscope),
                channel.pipeline,
                channel.origin_um,
            )
            for source, channel in zip(sources, channels, strict=True)
        ]
        last = Part(watch, 2 * frames, frames, 3 * frames)
        _together(OverChannels(movies, [pair]), lists, movies, out, (summary, last))
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
        if given.mirrored is not None and given.mirrored != given.pair.transform.mirrored:
            seen = "mirrored" if given.pair.transform.mirrored else "not mirrored"
            raise InputError(f"{given.name} says that the second channel is {seen}", "leave one of the two out")
        return given.pair, dark or doubts_of_transform(first, second, given.pair, given.name)
    if dark:
        raise InputError(
            f"no transform can be found: {dark[0]}",
            "look at its frames (`preview`), or give the transform (`register` on beads)",
        )
    found = register_lists(first, second, RegistrationRule(mirrored=given.mirrored))
    return found.channels, found.warnings


def _alone(
    channel: ChannelInput, path: Path, out: ListFile, summary: ChannelsSummary, watch: Watcher
) -> Localizations | None:
    """The list of one channel alone; None where the work was stopped."""
    if out.overwrite and not out.resume:
        # So that `resume` after this run never takes the list of an earlier one for this one's.
        for earlier in (path, path.with_suffix(".yaml")):
            earlier.unlink(missing_ok=True)
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
    """Refuse a list of another movie, of other frames of it, or by another model's experiment."""
    with channel.excerpt.open() as source:
        frames = list(source.span)
    ours = {
        "movie": channel.excerpt.name,
        "frames": frames,
        "experiment": channel.pipeline.experiment.to_mapping(),
    }
    for name, value in ours.items():
        if (there := header.provenance.get(name, value)) != value:
            told = "another model's" if name == "experiment" else f"of {name} {there}, not {value}"
            raise InputError(f"{path} is a list {told}", "start again (`overwrite=True`)")


def _together(
    over: OverChannels,
    lists: Sequence[Localizations],
    movies: Sequence[ChannelMovie],
    out: ListFile,
    told: tuple[ChannelsSummary, Watcher],
) -> None:
    """The pass over both channels, written block by block;  told: the summary, filled here, and the watcher."""
    summary, watch = told
    source, pipeline = movies[0].source, movies[0].pipeline
    count, height, width = source.movie.shape
    nothing = torch.zeros(0)
    header = TableHeader(
        pipeline.experiment.microscope.pixel_um,
        count,
        (height, width),
        {
            "program": f"deepstorm3d {__version__}",
            "movie": source.excerpt.name,
            "channels": [movie.source.excerpt.name for movie in movies],
            "frames": list(source.span),
            "experiments": [movie.pipeline.experiment.to_mapping() for movie in movies],
            "command": list(out.command),
        },
    )
    like = replace(Localizations.empty(), share=nothing, sigma_share=nothing, sigma_source="fit")
    writer = open_list_writer(out.path, header, like, overwrite=out.overwrite, resume=out.resume)
    summary.earlier = writer.next_frame - source.span[0] if writer.next_frame else 0
    try:
        for block in over.blocks(writer.next_frame):
            found = over(lists, block, watch)
            writer.append(found.localizations, frames_done=block[1])
            summary.add(found)
    except Interrupted:
        return
    writer.finish()
    summary.complete = True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.stem + ending)
