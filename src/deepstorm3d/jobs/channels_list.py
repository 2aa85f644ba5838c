"""The list of both channels together: written block by block, then fitted over frames where molecules last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import __version__
from ..channels import ChannelPair
from ..emitters import Localizations
from ..errors import Interrupted
from ..fitting.sites.channels import FoundInChannels
from ..io.tables import TableHeader, TableWriter, open_list_writer, read_table
from ..localizing.channels_over_frames import ChannelsPass
from ..localizing.over_channels import ChannelMovie, found_in_blocks
from ..localizing.over_frames import decide, obstacle
from ..localizing.streaming import Block
from ..watch import Watcher
from .channels_record import keep_transform, record_of
from .channels_summary import ChannelsSummary
from .localize import ListFile
from .second_list import SecondList

__all__ = ["BothChannels", "write_channels_list"]


@dataclass(frozen=True)
class BothChannels:
    """What finds the molecules of a block of frames in both channels, and where it begins.

    localize: of a block;  blocks: from a frame on;  movies: of both channels;
    pair: from the first to the second;  seen: is given what was found in each block, in order.
    """

    localize: Callable[[Block, Watcher], FoundInChannels]
    blocks: Callable[[int], Sequence[Block]]
    movies: Sequence[ChannelMovie]
    pair: ChannelPair
    seen: Callable[[FoundInChannels], None] = lambda _: None

    def found(self, begin: int, watch: Watcher) -> Iterator[tuple[Block, FoundInChannels]]:
        """Yield each block from frame `begin` with its molecules (`found_in_blocks`)."""
        for block, found in found_in_blocks(self.localize, self.blocks(begin), self.movies, watch):
            self.seen(found)
            yield block, found


def write_channels_list(
    both: BothChannels,
    out: ListFile,
    summary: ChannelsSummary,
    watch: Watcher,
    *,
    over_frames: bool | None = None,
) -> None:
    """Write the list block by block, and the transform beside it to ``OUT.transform.yaml``.

    summary: filled here;  watch: told the frames done; it can stop the work;  over_frames: whether the finished
    list is then fitted over frames (`ChannelsPass`), None: as it shows (`decide`).
    """
    source, pipeline = both.movies[0].source, both.movies[0].pipeline
    count, height, width = source.movie.shape
    nothing = torch.zeros(0)
    header = TableHeader(
        pipeline.experiment.microscope.pixel_um,
        count,
        (height, width),
        {
            "program": f"deepstorm3d {__version__}",
            **record_of(both.movies, both.pair),
            "command": list(out.command),
        },
    )
    source_of_sigma = "none" if pipeline.fit is None else "fit"
    like = replace(Localizations.empty(), share=nothing, sigma_share=nothing, sigma_source=source_of_sigma)
    writer = open_list_writer(out.path, header, like, overwrite=out.overwrite, resume=out.resume)
    second = SecondList(out.path, header)
    if not writer.next_frame:
        second.discard()
    summary.earlier = writer.next_frame - source.span[0] if writer.next_frame else 0
    summary.earlier_rows = writer.rows
    keep_transform(out.path, both.pair)
    try:
        with writer.kept_once_begun():
            for block, found in both.found(writer.next_frame, watch):
                writer.append(found.localizations, frames_done=block[1])
                summary.add(found)
    except Interrupted:
        return
    told, rows = _decided(over_frames, both, writer, summary, watch)
    assert summary.over_frames is not None
    if summary.over_frames.over_frames:
        over = ChannelsPass(both.movies, [both.pair], watch)
        summary.refitted, summary.ends = second.write(rows, over, told, count), over.ends
        if summary.refitted is None:
            return
        writer.discard()
    else:
        if summary.earlier_rows:
            summary.ends.count_anew(writer.written())
        writer.describe(told)
        writer.finish()
        second.discard()
    summary.complete = True


def _decided(
    wanted: bool | None,
    both: BothChannels,
    writer: TableWriter[Localizations],
    summary: ChannelsSummary,
    watch: Watcher,
) -> tuple[dict[str, Any], Localizations]:
    """Decide whether the complete list is fitted over frames: what its record says of it, and its rows."""
    pipeline = both.movies[0].pipeline
    looked_at = wanted is not False and not obstacle(pipeline)
    found = read_table(writer.part) if looked_at else Localizations.empty()
    decision = decide(wanted, pipeline, found)
    summary.over_frames = decision
    if decision.refused:
        summary.warnings.append(decision.reason)
    elif decision.lasting is not None:
        watch.message(decision.reason)
    return {"over_frames": decision.to_mapping()}, found
