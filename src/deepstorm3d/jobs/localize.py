"""Localize: a movie in, a table of localizations out, block by block of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import __version__
from ..analysis.fit_quality import QualitySample
from ..errors import InputError, Interrupted
from ..io.tables import open_table_writer
from ..localizing.blocks import Found, Workers, localize_block
from ..localizing.excerpt import Excerpt, OpenExcerpt
from ..localizing.first_look import FirstLook
from ..localizing.memory import WithinMemory
from ..localizing.pipeline import Pipeline
from ..localizing.streaming import Block, StageTimes, block_frames, read_ahead, write_behind
from ..localizing.unexplained import Unexplained
from ..localizing.watching import BlockWatcher
from ..optics.field_aberrations import FieldSpec
from ..watch import SILENT, Watcher

__all__ = ["LocalizeSummary", "localize_movie"]


@dataclass
class LocalizeSummary:
    """What a run did. complete: whether it reached the last frame (else it can be resumed)."""

    frames: int = 0
    localizations: int = 0
    saturated_frames: int = 0
    outliers: int = 0
    outlier_frames: int = 0
    complete: bool = True
    times: StageTimes = field(default_factory=StageTimes)
    warnings: list[str] = field(default_factory=list)
    quality: QualitySample = field(default_factory=QualitySample)

    @property
    def per_frame(self) -> float:
        """Mean localizations in a frame."""
        return self.localizations / self.frames if self.frames else 0.0

    def add(self, found: Found) -> None:
        """Count one more block."""
        self.frames += found.block[1] - found.block[0]
        self.localizations += len(found.localizations)
        self.saturated_frames += found.saturated_frames
        self.quality.add(found.localizations)
        self.outliers += found.outliers
        self.outlier_frames += found.outlier_frames


def localize_movie(
    excerpt: Excerpt,
    pipeline: Pipeline,
    out: Path,
    *,
    workers: Workers | None = None,
    command: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> LocalizeSummary:
    """Localize every molecule of a movie; memory does not grow with the number of frames.

    Reading, localizing and writing overlap. Positions refer to the whole frame also where a region is
    chosen; frames keep their numbers.
    out: .hdf5 or .csv; grows as ``OUT.part.*``, from which `resume` goes on, and takes its name when complete;
    workers: who localizes, if not this process;  command: what the user typed, for the record;
    watch: told the frames done and in all, within a block too; where it stops the run, the block that is under
    way is given up, and done again where the run goes on.
    Raises InputError where movie, model or output do not fit.
    """
    if workers is not None and excerpt.follow_s is not None:
        raise InputError("--follow and --cluster exclude each other: workers take the movie as it is at first")
    summary = LocalizeSummary()
    with excerpt.open() as source:
        source.check_against(pipeline)
        source = source.judged(pipeline.camera, pipeline.experiment.microscope, watch=watch)
        frames = block_frames(source.size, pipeline.device, fitted=pipeline.fit is not None)
        count, height, width = source.movie.shape
        writer = open_table_writer(
            out,
            pixel_um=pipeline.experiment.microscope.pixel_um,
            frames=count,
            shape=(height, width),
            provenance=_provenance(pipeline, source, frames) | {"command": list(command)},
            overwrite=overwrite,
            resume=resume,
        )
        begin = max(source.span[0], writer.next_frame)
        look = FirstLook(source, pipeline, watch)
        blocks = look.over(source.blocks(frames, begin, watch=watch))
        unexplained = Unexplained(watch)
        within = BlockWatcher(watch, source, begin)
        results = (
            _here(source, pipeline, blocks, summary.times, within)
            if workers is None
            else workers(source.excerpt, blocks, within)
        )

        def write(found: Found) -> None:
            with summary.times.of("writing"):
                writer.append(found.localizations, frames_done=found.block[1])

        with write_behind(write) as hand_over:
            try:
                for found in results:
                    hand_over(found)
                    unexplained.add(found.block, found.misfit)
                    summary.add(found)
                    within.block_done(found.block[1])
                    if found.block[1] < source.last and watch.stopped:
                        break
            except Interrupted:
                pass
        summary.warnings += unexplained.warnings(summary.frames)
        summary.complete = writer.next_frame >= source.last or not watch.stopped
        summary.warnings += look.warnings
        if not summary.complete:
            return summary
        writer.finish(source.movie.shape[0])
        summary.warnings += [
            *source.told(),
            *source.movie.notes,
            *_field_notes(pipeline.experiment.psf.field, (height, width)),
        ]
    summary.warnings += _warnings(summary, joint=pipeline.fit is not None and pipeline.method != "mle")
    return summary


def _here(
    source: OpenExcerpt,
    pipeline: Pipeline,
    blocks: Iterable[Block],
    times: StageTimes,
    watch: Watcher,
) -> Iterator[Found]:
    """Localize the blocks in this process, the next ones read meanwhile."""
    localize = WithinMemory(source.at_work(pipeline), watch)

    def read(block: Block) -> NDArray[Any]:
        with times.of("reading"):
            return source.read(*block)

    for block, counts in read_ahead(blocks, read):
        with times.of("localizing"):
            found = localize_block(source, localize, block, counts, watch)
        yield found


def _field_notes(field: FieldSpec, shape: tuple[int, int]) -> list[str]:
    if not field.changes or field.size_px == shape:
        return []
    return [
        f"the model's aberrations change over a field of {field.size_px[1]} x {field.size_px[0]} px, the "
        f"movie's frames are {shape[1]} x {shape[0]} px: both were taken to begin at the same camera pixel"
    ]


def _warnings(summary: LocalizeSummary, *, joint: bool) -> list[str]:
    """joint: whether all molecules were fitted together; else neighbours leave residuals of their own."""
    warnings = []
    verdict = summary.quality.verdict
    if verdict.kind == "too quiet" or (verdict.kind == "misfit" and joint):
        warnings.append(f"around the molecules found {verdict.text}; look with --preview 3")
    if summary.saturated_frames:
        warnings.append(
            f"{summary.saturated_frames} of {summary.frames} frames have saturated pixels, left out of the "
            "fit, which knows the brightest molecules by what is around them, less exactly (without a fit "
            "they are wrong); lower the exposure or the gain"
        )
    if summary.outliers:
        warnings.append(
            f"{summary.outliers} pixels in {summary.outlier_frames} of {summary.frames} frames stand out as no "
            "light through this objective can (cosmic rays, flickering pixels); given no weight there"
        )
    if summary.frames and not summary.localizations:
        warnings.append(
            "no molecule was found: check the camera's baseline and gain (--camera), and look with --preview 3"
        )
    return warnings


def _provenance(pipeline: Pipeline, source: OpenExcerpt, frames: int) -> dict[str, object]:
    """How the rows were made, for the table's header."""
    return {
        "program": f"deepstorm3d {__version__}",
        "movie": source.movie.path.name,
        "frames": list(source.span),
        "roi": list(source.roi),
        "prepared": source.excerpt.prepared.to_mapping(),
        "block_frames": frames,
        "threshold": pipeline.localizer.threshold,
        "method": pipeline.method,
        "refined": pipeline.fit is not None,
        "pixels": None if source.excerpt.faults is None else source.excerpt.faults.to_mapping(),
        "camera": pipeline.camera.to_mapping(),
        "experiment": pipeline.experiment.to_mapping(),
    }
