"""A run over the frames of a movie: it localizes block after block and collects figures and warnings."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from ..analysis.fit_quality import QualitySample
from ..errors import Interrupted
from ..optics.field_aberrations import FieldSpec
from ..watch import SILENT, Watcher
from .blocks import Found, Workers, localize_block
from .depth_ends import DepthEnds
from .excerpt import OpenExcerpt
from .first_look import FirstLook
from .in_order import in_order
from .memory import Blocks, WithinMemory, blocks_at_once
from .over_frames import Decision
from .pipeline import Pipeline
from .reading import BlockCounts, read_block
from .streaming import Block, StageTimes, block_frames, read_ahead
from .unexplained import Unexplained
from .watching import BlockWatcher

__all__ = ["LocalizeSummary", "Run"]


@dataclass
class LocalizeSummary:
    """Figures of a run.

    frames, localizations: also those of before it was resumed, of which the other figures know nothing:
    earlier, earlier_rows;  complete: whether it reached the last frame (else it can be resumed);
    over_frames: whether the list was fitted over frames, and why; None: it was not yet decided;
    ends: rows at the ends of the depths, of the list over frames where there is one.
    """

    frames: int = 0
    localizations: int = 0
    earlier: int = 0
    earlier_rows: int = 0
    saturated_frames: int = 0
    outliers: int = 0
    outlier_frames: int = 0
    complete: bool = True
    over_frames: Decision | None = None
    times: StageTimes = field(default_factory=StageTimes)
    warnings: list[str] = field(default_factory=list)
    quality: QualitySample = field(default_factory=QualitySample)
    ends: DepthEnds = field(default_factory=DepthEnds)

    @property
    def per_frame(self) -> float:
        """Mean number of localizations in a frame."""
        return self.localizations / self.frames if self.frames else 0.0

    def go_on(self, source: OpenExcerpt, begin: int, rows: int) -> None:
        """Count what is there already: the rows of the frames before `begin`, as far as they can be read."""
        first = source.span[0]
        missing = [max(0, min(last, begin) - max(start, first)) for start, last in source.movie.gaps]
        self.earlier, self.earlier_rows = max(0, begin - first - sum(missing)), rows
        self.frames, self.localizations = self.frames + self.earlier, self.localizations + rows

    def add(self, found: Found) -> None:
        """Add the figures of one more block."""
        self.frames += found.block[1] - found.block[0]
        self.localizations += len(found.localizations)
        self.saturated_frames += found.saturated_frames
        self.quality.add(found.localizations)
        self.ends.add(found.localizations)
        self.outliers += found.outliers
        self.outlier_frames += found.outlier_frames


class Run:
    """Localizes the frames of an opened excerpt with a pipeline, in this process or with other workers.

    source: the excerpt; its pixel faults are found first (`source` of the run is the excerpt with the faults);
    workers: other processes that localize (None: this process);  watch: is called with the number of frames
    done, also within a block; if it stops the run, the unfinished block is discarded.
    Raises InputError if movie and model do not fit.
    """

    def __init__(
        self,
        source: OpenExcerpt,
        pipeline: Pipeline,
        *,
        workers: Workers | None = None,
        watch: Watcher = SILENT,
    ) -> None:
        source.check_against(pipeline)
        self.source = source.judged(pipeline.camera, pipeline.experiment.microscope, watch=watch)
        self.pipeline, self.summary = pipeline, LocalizeSummary(ends=DepthEnds.of(pipeline))
        self.block_frames = block_frames(source.size, pipeline.device, fitted=pipeline.fit is not None)
        self._workers, self._watch = workers, watch
        self._look = FirstLook(self.source, pipeline, watch)
        self._unexplained = Unexplained(watch)

    def blocks(self, begin: int | None = None) -> Iterator[Found]:
        """Yield the result of each block from frame `begin`, in order, until the watcher stops the run."""
        source, watch = self.source, self._watch
        start = source.span[0] if begin is None else max(source.span[0], begin)
        around = self.pipeline.context
        coming = self._look.over(source.blocks(self.block_frames, start, around=around, watch=watch))
        within = BlockWatcher(watch, source, start)
        results = (
            self._here(coming, self._left(start), within)
            if self._workers is None
            else self._workers(source.excerpt, coming, within)
        )
        try:
            for found in results:
                yield found
                self._unexplained.add(found.block, found.misfit)
                self.summary.add(found)
                within.block_done(found.block[1])
                if found.block[1] < source.last and watch.stopped:
                    break
        except Interrupted:
            pass
        finally:
            if isinstance(results, Generator):
                results.close()

    def finish(self, *, complete: bool) -> LocalizeSummary:
        """Figures and warnings of the run; call it once, after the last block."""
        summary, shape = self.summary, self.source.movie.shape
        summary.complete = complete
        looked_at = summary.frames - summary.earlier
        summary.warnings += [*self._unexplained.warnings(looked_at), *self._look.warnings]
        if complete:
            field = self.pipeline.experiment.psf.across
            summary.warnings += [
                *self.source.pixel_notes(),
                *self.source.notes(),
                *_field_notes(field, (shape[1], shape[2])),
                *_warnings(summary, joint=self.pipeline.fit is not None and self.pipeline.method != "mle"),
            ]
        return summary

    def _left(self, start: int) -> int | None:
        """Number of blocks from a frame on; None: the movie is still recorded."""
        if self.source.excerpt.follow_s is not None:
            return None
        return max(1, -(-(self.source.last - start) // self.block_frames))

    def _here(self, blocks: Iterable[Block], number: int | None, watch: Watcher) -> Iterator[Found]:
        """Localize the blocks in this process, side by side on the processor, while the next ones are read."""
        here, times = self.source.at_work(self.pipeline), self.summary.times
        at_once = blocks_at_once(here, Blocks(number, self.block_frames, self.source.size, waiting=True))
        localize = WithinMemory(here, watch, at_once=at_once)

        def read(block: Block) -> BlockCounts:
            with times.of("reading"):
                return read_block(self.source, block, self.pipeline.context)

        def localized(read: tuple[Block, BlockCounts], watch: Watcher) -> Found:
            return localize_block(self.source, localize, *read, watch)

        # The reader ends before the movie is closed, after an error too.
        with (
            closing(read_ahead(blocks, read)) as coming,
            closing(in_order(localized, coming, at_once, watch)) as results,
        ):
            while True:
                with times.of("localizing"):
                    found = next(results, None)
                if found is None:
                    return
                yield found


def _field_notes(field: FieldSpec, shape: tuple[int, int]) -> list[str]:
    if not field.changes or field.size_px == shape:
        return []
    return [
        f"the model's aberrations change over a field of {field.size_px[1]} x {field.size_px[0]} px, the "
        f"movie's frames are {shape[1]} x {shape[0]} px: both were taken to begin at the same camera pixel"
    ]


def _warnings(summary: LocalizeSummary, *, joint: bool) -> list[str]:
    """Warnings of a run.

    joint: whether all molecules were fitted together; if not, residuals of neighbours make a misfit normal.
    """
    warnings = []
    looked_at = f"{summary.frames - summary.earlier} frames{' since it went on' if summary.earlier else ''}"
    assessment = summary.quality.assessment
    if assessment.kind == "too quiet" or (assessment.kind == "misfit" and joint):
        warnings.append(f"around the molecules found {assessment.text}; look at a few frames (`preview`)")
    if summary.saturated_frames:
        warnings.append(
            f"{summary.saturated_frames} of {looked_at} have saturated pixels, left out of the "
            "fit, which knows the brightest molecules by what is around them, less exactly (without a fit "
            "they are wrong); lower the exposure or the gain"
        )
    if summary.outliers:
        warnings.append(
            f"{summary.outliers} pixels in {summary.outlier_frames} of {looked_at} stand out as no "
            "light through this objective can (cosmic rays, flickering pixels); given no weight there"
        )
    if summary.frames and not summary.localizations:
        warnings.append(
            "no molecule was found: check the camera's baseline and gain (`camera`), and look at a few frames "
            "(`preview`)"
        )
    return warnings
