"""Localize: a movie in, a table of localizations out, block by block of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from ..emitters import Localizations
from ..errors import InputError
from ..io.tables import TableHeader, TableWriter, open_list_writer, read_table
from ..localizing.blocks import Found, Workers
from ..localizing.excerpt import Excerpt, OpenExcerpt
from ..localizing.over_frames import OverFrames, decide, obstacle
from ..localizing.pipeline import Pipeline
from ..localizing.run import LocalizeSummary, Run
from ..localizing.streaming import write_behind
from ..watch import SILENT, Watcher
from .given_up import GivenUp
from .second_list import SecondList

__all__ = ["ListFile", "localize_movie", "record_of_movie"]


@dataclass(frozen=True)
class ListFile:
    """File of the list that a run writes, block by block.

    path: .hdf5 or .csv; the list grows as ``PATH.part.*`` and takes its name when it is complete;
    resume: go on with such a part of an interrupted run;  overwrite: replace a file that exists;
    command: what the user typed, for the record in the file.
    """

    path: Path
    resume: bool = False
    overwrite: bool = False
    command: tuple[str, ...] = ()


def localize_movie(
    excerpt: Excerpt,
    pipeline: Pipeline,
    out: ListFile,
    *,
    over_frames: bool | None = None,
    workers: Workers | None = None,
    watch: Watcher = SILENT,
) -> LocalizeSummary:
    """Localize every molecule of a movie; the memory for its frames does not grow with their number.

    Reading, localizing and writing overlap. Positions refer to the whole frame also where a region is
    chosen; frames keep their numbers. Where molecules last, the finished list is fitted again over frames.
    over_frames: whether it is (None: as the list of single frames shows, see `decide`);
    workers: who localizes, if not this process;  watch: told the frames done and in all, within a block too;
    where it stops the run, the block that is under way is given up, and done again where the run goes on.
    Raises InputError where movie, model or output do not fit, and where frames of a recording that was followed
    lie behind a gap: those before it are kept, to be resumed.
    """
    if workers is not None and excerpt.follow_s is not None:
        raise InputError(
            "`follow_s` and `cluster` exclude each other: workers take the movie as it is at first"
        )
    with excerpt.open() as source:
        run = Run(source, pipeline, workers=workers, watch=watch)
        count, height, width = run.source.movie.shape
        pixel_um = pipeline.experiment.microscope.pixel_um
        provenance = record_of_movie(run.source, pipeline) | {
            "block_frames": run.block_frames,
            "command": list(out.command),
        }
        header = TableHeader(pixel_um, count, (height, width), provenance)
        like = replace(Localizations.empty(), sigma_source="none" if pipeline.fit is None else "fit")
        writer = open_list_writer(out.path, header, like, overwrite=out.overwrite, resume=out.resume)
        second = SecondList(out.path, header)
        if not writer.next_frame:
            second.discard()
        given_up = GivenUp(out.path, run.source, writer.next_frame)
        run.summary.go_on(run.source, writer.next_frame, writer.rows)

        def write(found: Found) -> None:
            with run.summary.times.of("writing"):
                given_up.keep()
                writer.append(found.localizations, frames_done=found.block[1])

        with writer.kept_once_begun():
            with write_behind(write) as hand_over:
                for found in run.blocks(writer.next_frame):
                    hand_over(found)
            complete = writer.next_frame >= run.source.last or not watch.stopped
            if complete:
                _refuse_rest(run.source, writer)
        summary = run.finish(complete=complete)
        if complete:
            summary.warnings += given_up.notes()
            _finish(writer, second, run, over_frames, watch, given_up.told())
        if summary.complete:
            given_up.discard()
            summary.warnings += summary.ends.warnings()
        return summary


def _finish(
    writer: TableWriter[Localizations],
    second: SecondList,
    run: Run,
    over_frames: bool | None,
    watch: Watcher,
    told: dict[str, object],
) -> None:
    """Give the complete list of single frames its name, or make that over frames;  told: for its record."""
    summary, frames = run.summary, run.source.movie.shape[0]
    looked_at = over_frames is not False and not obstacle(run.pipeline)
    found = read_table(writer.part) if looked_at else Localizations.empty()
    decision = decide(over_frames, run.pipeline, found)
    summary.over_frames = decision
    if decision.refused:
        summary.warnings.append(decision.reason)
    elif decision.lasting is not None or (over_frames is None and run.pipeline.fit is not None):
        watch.message(decision.reason)
    told = {**told, "over_frames": decision.to_mapping()}
    if not decision.over_frames:
        if summary.earlier_rows:
            summary.ends.count_anew(writer.written())
        writer.describe(told)
        writer.finish(frames)
        second.discard()
        return
    try:
        over = OverFrames(run.pipeline, run.source, watch)
        rows, summary.ends = second.write(found, over, told, frames), over.ends
    except InputError as error:
        kept = "the list of single frames is kept; `resume=True` with `over_frames=False` makes it the result"
        raise InputError(error.what, f"{error.remedy}; {kept}" if error.remedy else kept) from error
    summary.complete = rows is not None
    if rows is not None:
        summary.localizations, summary.frames = rows, run.source.last - run.source.span[0]
        writer.discard()


def _refuse_rest(source: OpenExcerpt, writer: TableWriter[Localizations]) -> None:
    """Raise InputError where a recording that was followed has frames that were not read."""
    left = source.left_behind()
    if left is None:
        return
    kept = f"what is done is kept in {writer.part.name}, and `resume=True` goes on from there"
    raise InputError(left.what, f"{left.remedy}; {kept}" if writer.next_frame else left.remedy)


def record_of_movie(source: OpenExcerpt, pipeline: Pipeline) -> dict[str, object]:
    """How the rows of a movie are made, for the table's header."""
    return {
        "program": f"deepstorm3d {__version__}",
        "movie": source.movie.path.name,
        "frames": list(source.span),
        "roi": list(source.roi),
        "prepared": source.excerpt.prepared.to_mapping(),
        "threshold": pipeline.localizer.threshold,
        "method": pipeline.method,
        "refined": pipeline.fit is not None,
        "defects": source.excerpt.defects_named,
        "pixels": None if source.excerpt.faults is None else source.excerpt.faults.to_mapping(),
        "camera": pipeline.camera.to_mapping(),
        "model_sha256": pipeline.model_sha256,
        "experiment": pipeline.experiment.to_mapping(),
    }
