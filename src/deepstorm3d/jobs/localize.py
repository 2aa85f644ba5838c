"""Localize: a movie in, a table of localizations out, block by block of frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import InputError
from ..io.tables import open_table_writer
from ..localizing.blocks import Found, Workers
from ..localizing.excerpt import Excerpt
from ..localizing.pipeline import Pipeline
from ..localizing.run import LocalizeSummary, Run
from ..localizing.streaming import write_behind
from ..watch import SILENT, Watcher

__all__ = ["ListFile", "localize_movie"]


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
    workers: Workers | None = None,
    watch: Watcher = SILENT,
) -> LocalizeSummary:
    """Localize every molecule of a movie; memory does not grow with the number of frames.

    Reading, localizing and writing overlap. Positions refer to the whole frame also where a region is
    chosen; frames keep their numbers.
    workers: who localizes, if not this process;  watch: told the frames done and in all, within a block too;
    where it stops the run, the block that is under way is given up, and done again where the run goes on.
    Raises InputError where movie, model or output do not fit.
    """
    if workers is not None and excerpt.follow_s is not None:
        raise InputError(
            "`follow_s` and `cluster` exclude each other: workers take the movie as it is at first"
        )
    with excerpt.open() as source:
        run = Run(source, pipeline, workers=workers, watch=watch)
        count, height, width = run.source.movie.shape
        writer = open_table_writer(
            out.path,
            pixel_um=pipeline.experiment.microscope.pixel_um,
            frames=count,
            shape=(height, width),
            provenance=_provenance(run) | {"command": list(out.command)},
            overwrite=out.overwrite,
            resume=out.resume,
        )

        def write(found: Found) -> None:
            with run.summary.times.of("writing"):
                writer.append(found.localizations, frames_done=found.block[1])

        with write_behind(write) as hand_over:
            for found in run.blocks(writer.next_frame):
                hand_over(found)
        complete = writer.next_frame >= run.source.last or not watch.stopped
        if complete:
            writer.finish(run.source.movie.shape[0])
        return run.finish(complete=complete)


def _provenance(run: Run) -> dict[str, object]:
    """How the rows were made, for the table's header."""
    pipeline, source = run.pipeline, run.source
    return {
        "program": f"deepstorm3d {__version__}",
        "movie": source.movie.path.name,
        "frames": list(source.span),
        "roi": list(source.roi),
        "prepared": source.excerpt.prepared.to_mapping(),
        "block_frames": run.block_frames,
        "threshold": pipeline.localizer.threshold,
        "method": pipeline.method,
        "refined": pipeline.fit is not None,
        "pixels": None if source.excerpt.faults is None else source.excerpt.faults.to_mapping(),
        "camera": pipeline.camera.to_mapping(),
        "experiment": pipeline.experiment.to_mapping(),
    }
