"""The second pass over a movie: one position for a molecule from all the frames in which it shines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ..emitters import Localizations
from ..errors import InputError
from ..fitting.joint import JointFit
from ..fitting.likelihood import Likelihood
from ..fitting.sites.fit import SiteFit
from ..fitting.sites.windows import WINDOW_FRAMES, FoundBlock, SitesOverMovie
from ..watch import SILENT, Quiet, Watcher, advance
from .excerpt import OpenExcerpt
from .memory import free_bytes
from .pipeline import Pipeline

__all__ = ["OverFrames"]

# Copies, in double precision, of the matrix of a window's positions that a fit needs at a time.
_COPIES = 5
# Share of the free memory that they may take.
_SHARE = 0.5


class OverFrames:
    """Fits the list of a movie again, each molecule over all frames in which it shines.

    pipeline: of the list.
    Raises InputError for a pipeline without joint fit, or on a GPU.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        if not isinstance(pipeline.fit, JointFit):
            raise InputError(
                "molecules are fitted over several frames only after the joint fit of single ones",
                "fit them too, with candidates from the network or by pursuit",
            )
        if pipeline.device.type != "cpu":
            raise InputError(
                f"molecules are fitted over several frames on the processor, not on {pipeline.device.type}",
                "load the model for the processor (`device`)",
            )
        self._pipeline, self._fit = pipeline, pipeline.fit

    def __call__(
        self, found: Localizations, source: OpenExcerpt, watch: Watcher = SILENT
    ) -> Iterator[Localizations]:
        """Yield the rows, in order of frame.

        found: list of single frames from `Run`;  source: its excerpt, with the faults of the pixels
        (`Run.source`); watch: told the frames done, in this second pass; it can end the work (Interrupted).
        Raises InputError for more molecules in a window of frames than the memory holds.
        """
        here = source.at_work(self._pipeline)
        pixel_um = here.experiment.microscope.pixel_um
        corner = (source.roi[0] * pixel_um, source.roi[1] * pixel_um, 0.0)
        field = here.field_of(torch.empty(0, *source.size))
        fit = SiteFit(replace(self._fit.in_field(field), watch=Quiet(watch)))
        here_found = found.shift(xyz=(-corner[0], -corner[1], 0.0))
        for rows in SitesOverMovie(fit)(self._windows(here_found, source, here, watch)):
            yield rows.shift(xyz=corner)

    def _windows(
        self, found: Localizations, source: OpenExcerpt, here: Pipeline, watch: Watcher
    ) -> Iterator[FoundBlock]:
        """Frames and rows of one window after the other; found: positions in the region."""
        first, last = source.span[0], source.last
        begin = first
        while begin < last:
            end = min((begin // WINDOW_FRAMES + 1) * WINDOW_FRAMES, last)
            rows = found.select((found.frame >= begin) & (found.frame < end))
            _refuse_too_many(len(rows), 3 + self._fit.fit_blur, (begin, end))
            light = here.light(torch.from_numpy(source.read(begin, end).astype(np.float32)))
            yield FoundBlock(begin, rows, Likelihood(light.photons, here.noise, light.weight))
            begin = end
            advance(watch, begin - first, last - first, "over frames")


def _refuse_too_many(rows: int, each: int, frames: tuple[int, int]) -> None:
    """Refuse a window whose matrix does not fit into the memory, were each row a molecule of its own."""
    free = free_bytes(torch.device("cpu"))
    needed = _COPIES * 8 * (rows * each) ** 2
    if free is not None and needed > _SHARE * free:
        raise InputError(
            f"frames {frames[0]} to {frames[1] - 1} have {rows:,} localizations; a fit over these frames takes "
            f"up to {needed / 2**30:.0f} GiB, {free / 2**30:.0f} GiB are free",
            "choose a region (`roi`), or localize frame by frame",
        )
