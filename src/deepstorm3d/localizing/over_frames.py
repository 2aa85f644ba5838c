"""The second pass over a movie: one position for a molecule from all the frames in which it shines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..emitters import Localizations
from ..errors import InputError
from ..fitting.joint import JointFit
from ..fitting.likelihood import Likelihood
from ..fitting.sites.channel import LightsOfChannels
from ..fitting.sites.fit import SiteFit
from ..fitting.sites.kept import KeptSites
from ..fitting.sites.windows import WINDOW_FRAMES, FoundBlock, SitesOverMovie, Step, rows_left
from ..io.movies import readable_ranges
from ..watch import SILENT, Quiet, Watcher, advance
from .depth_ends import DepthEnds
from .excerpt import OpenExcerpt
from .lasting import Lasting, measure_lasting
from .out_of_memory import is_out_of_memory
from .pipeline import Pipeline
from .streaming import Block

__all__ = ["Decision", "OverFrames", "SecondPass", "decide", "obstacle"]


@dataclass(frozen=True)
class Decision:
    """Whether a list of single frames is fitted over frames.

    over_frames: the decision;  reason: why, one sentence;  lasting: the figures that it was made by, if it was;
    refused: whether the user wanted a fit over frames that cannot be made.
    """

    over_frames: bool
    reason: str
    lasting: Lasting | None = None
    refused: bool = False

    def to_mapping(self) -> dict[str, object]:
        """For the header of the table."""
        figures = None if self.lasting is None else self.lasting.to_mapping()
        return {"fitted": self.over_frames, "reason": self.reason, "lasting": figures}


def decide(wanted: bool | None, pipeline: Pipeline, found: Localizations) -> Decision:
    """Decide on a finished list.

    wanted: by the user; None: as the list shows;  found: of single frames, in order of frame.
    """
    if wanted is False:
        return Decision(False, "single frames, as asked")
    hindrance = obstacle(pipeline)
    if hindrance:
        return Decision(False, f"single frames: {hindrance}", refused=wanted is True)
    lasting = measure_lasting(found)
    if wanted:
        return Decision(True, f"fitted over frames, as asked: {lasting.in_words()}", lasting)
    way = "fitted over frames" if lasting.lasts else "single frames"
    more = "; `over_frames=True` fits such molecules over frames too, in many times the time of single frames"
    reason = f"{way}: {lasting.in_words()}{more if lasting.lasts_briefly else ''}"
    return Decision(lasting.lasts, reason, lasting)


def obstacle(pipeline: Pipeline) -> str:
    """Why a list cannot be fitted over frames; nothing if it can."""
    if not isinstance(pipeline.fit, JointFit):
        return "a fit over frames needs the joint fit of each frame"
    if pipeline.device.type != "cpu":
        return f"a fit over frames runs on the processor, not on {pipeline.device.type} (`device=cpu`)"
    return ""


class SecondPass:
    """Fits the list of a movie again, each molecule over all frames in which it shines.

    source: the excerpt, with the faults of the pixels (`Run.source`); of several channels the first one's;
    over: the fit of its windows;  light: the likelihood of frames begin … end − 1;  gaps: missing frames;
    corner: (x, y, 0) µm of the region's first pixel;  watch: told the frames done, in this second pass; it can
    end the work (Interrupted).

    Attribute `ends`: rows at the ends of the depths, of what was given so far.
    """

    def __init__(
        self,
        source: OpenExcerpt,
        over: SitesOverMovie,
        light: Callable[[int, int], Likelihood | LightsOfChannels],
        gaps: Sequence[Block],
        corner: tuple[float, float, float],
        watch: Watcher = SILENT,
    ) -> None:
        self._source, self._over, self._light, self._gaps = source, over, light, gaps
        self._corner, self._watch = corner, watch
        self.ends = DepthEnds()

    def __call__(self, found: Localizations) -> Iterator[Localizations]:
        """Yield the rows, in order of frame;  found: list of single frames from `Run`, in order of frame."""
        kept = KeptSites.nothing()
        for step in self.steps(found, kept):
            kept = step.kept
            yield step.rows
        yield self.left(kept)

    def steps(self, found: Localizations, kept: KeptSites, begin: int = 0) -> Iterator[Step]:
        """Yield the result of one window of frames after the other.

        kept: of the window before frame `begin`.
        Raises InputError where the memory does not suffice.
        """
        x, y, _ = self._corner
        try:
            windows = self._windows(found.shift(xyz=(-x, -y, 0.0)), begin)
            for step in self._over.steps(windows, kept, _FramesDone(self._watch, self._tell)):
                self.ends.add(step.rows)
                yield replace(step, rows=step.rows.shift(xyz=self._corner))
                self._tell(step.end)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"the fit over frames needs more memory than is free ({str(error).partition(chr(10))[0]})",
                "choose a region (`roi`), or localize without it (`over_frames=False`)",
            ) from error

    def left(self, kept: KeptSites) -> Localizations:
        """The rows that wait after the last window."""
        rows = rows_left(kept)
        self.ends.add(rows)
        return rows.shift(xyz=self._corner)

    def _windows(self, found: Localizations, begin: int) -> Iterator[FoundBlock]:
        """Frames and rows of one window after the other; found: in order of frame, positions in the region."""
        source = self._source
        first, last = source.span[0], source.last
        for start in range(max(begin, first) // WINDOW_FRAMES * WINDOW_FRAMES, last, WINDOW_FRAMES):
            window = max(begin, first, start), min(start + WINDOW_FRAMES, last)
            self._tell(window[0])
            advance(self._watch)
            for one, end in readable_ranges(self._gaps, *window):
                begins, ends = torch.searchsorted(found.frame, torch.tensor([one, end])).tolist()
                rows = found.select(slice(begins, ends))
                yield FoundBlock(one, rows, self._light(one, end))

    def _tell(self, done: int) -> None:
        first = self._source.span[0]
        self._watch.progress(done - first, self._source.last - first, "over frames")


@dataclass(frozen=True)
class _FramesDone(Quiet):
    """Tells the frame up to which a window is done."""

    tell: Callable[[int], None]

    def progress(self, done: int, total: int, note: str = "") -> None:
        """done: frame of the movie."""
        self.tell(done)


class OverFrames(SecondPass):
    """The second pass over the movie of one channel.

    pipeline: of the list;  source, watch: as of `SecondPass`.
    Raises ValueError for a pipeline for which `decide` says no.
    """

    def __init__(self, pipeline: Pipeline, source: OpenExcerpt, watch: Watcher = SILENT) -> None:
        fit, hindrance = pipeline.fit, obstacle(pipeline)
        if hindrance or not isinstance(fit, JointFit):
            raise ValueError(hindrance)
        here = source.at_work(pipeline)
        pixel_um = here.experiment.microscope.pixel_um
        field = here.field_of(torch.empty(0, *source.size))
        over = SitesOverMovie(SiteFit(replace(fit, watch=Quiet(watch))), WINDOW_FRAMES, field)

        def light(begin: int, end: int) -> Likelihood:
            seen = here.light(torch.from_numpy(source.read(begin, end).astype(np.float32)))
            return Likelihood(seen.photons, here.noise, seen.weight)

        corner = (source.roi[0] * pixel_um, source.roi[1] * pixel_um, 0.0)
        super().__init__(source, over, light, source.movie.gaps, corner, watch)
        self.ends = DepthEnds.of(here)
