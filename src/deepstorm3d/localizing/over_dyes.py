"""A movie of several dyes in one channel: frames in, molecules with the dyes that explain them out."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace

import torch
from torch import Tensor

from ..emitters import Localizations
from ..errors import InputError, Interrupted
from ..experiment.dyes import dye_optics, of_other_wavelengths
from ..experiment.experiment import Experiment
from ..fitting.dyes import DyeFit, DyesInFrames
from ..fitting.joint import JointFit
from ..fitting.likelihood import Likelihood
from ..watch import SILENT, Quiet, Watcher
from .excerpt import OpenExcerpt
from .fits import build_fit
from .in_order import in_order
from .memory import Blocks, blocks_at_once
from .pipeline import Pipeline
from .reading import BlockCounts, light_of, read_block
from .streaming import Block, block_frames, read_ahead

__all__ = ["OverDyes", "dye_fit"]

_COLUMNS = ("dye", "deviance", "others", "excess")


def dye_fit(experiment: Experiment, *, phase: Tensor | None = None) -> DyeFit:
    """The fit of an experiment's dyes, on the processor, which also tells molecules of other wavelengths.

    phase: of the mask at the microscope's wavelength, as in `experiment_mask`.
    Raises InputError for an experiment without dyes, or whose mask or patch do not fit.
    """
    if not experiment.dyes:
        raise InputError(
            f"the experiment '{experiment.name}' has no dyes",
            "name each with its wavelength, or train a model for an experiment that has some",
        )
    return DyeFit(_fits(experiment, phase), _fits(of_other_wavelengths(experiment), phase))


def _fits(experiment: Experiment, phase: Tensor | None) -> list[JointFit]:
    """The fit of the single frames of each dye by itself."""
    fits = []
    for each in dye_optics(experiment, phase=phase):
        fit = build_fit(each.experiment, each.source, "network", torch.device("cpu"))
        assert isinstance(fit, JointFit)
        fits.append(fit)
    return fits


class OverDyes:
    """Finds the molecules of the frames of an excerpt, each with its dye.

    source: of the movie, its pixel faults found (`OpenExcerpt.judged`);  pipeline: gives the candidates and the
    camera;  fit: of the dyes.
    Raises InputError for a movie that does not fit the model.
    """

    def __init__(self, source: OpenExcerpt, pipeline: Pipeline, fit: DyeFit) -> None:
        source.check_against(pipeline)
        self._source, self._fit = source, fit
        self._pipeline = source.at_work(pipeline)

    def __call__(self, watch: Watcher = SILENT) -> DyesInFrames:
        """All frames of the excerpt; positions refer to the whole frame, frames keep their numbers.

        watch: told the frames done, asked after each block whether to stop, which gives what is done.
        """
        source = self._source
        begin, last = source.span[0], source.last
        parts: list[DyesInFrames] = []
        frames = block_frames(source.size, torch.device("cpu"), fitted=True)
        blocks = list(source.blocks(frames, begin))
        at_once = blocks_at_once(self._pipeline, Blocks(len(blocks), frames, source.size))
        coming = read_ahead(blocks, lambda block: read_block(source, block, self._pipeline.context))
        seen = in_order(self._of_block, coming, at_once, Quiet(watch))
        with suppress(Interrupted), closing(coming), closing(seen) as found:
            for end, part in found:
                parts.append(part)
                watch.progress(end - begin, last - begin)
                if watch.stopped:
                    break
        if not parts:
            nothing = torch.zeros(0)
            empty = (
                nothing.new_zeros(0, self._fit.dyes),
                nothing.new_zeros(0, self._fit.psfs - self._fit.dyes),
            )
            return DyesInFrames(Localizations.empty(), nothing.long(), *empty, nothing)
        return DyesInFrames(
            Localizations.concat([part.localizations for part in parts]),
            *(torch.cat([getattr(part, name) for part in parts]) for name in _COLUMNS),
        )

    def _of_block(self, read: tuple[Block, BlockCounts], _: Watcher) -> tuple[int, DyesInFrames]:
        """Where a block ends, and what it shows."""
        block, counts = read
        pipeline = self._pipeline
        light, around = light_of(pipeline, counts)
        candidates = pipeline.propose(light.photons if around is None else around)
        found = self._fit(candidates, Likelihood(light.photons, pipeline.noise, light.weight))
        pixel_um = pipeline.experiment.microscope.pixel_um
        x, y = self._source.roi[0] * pixel_um, self._source.roi[1] * pixel_um
        return block[1], replace(found, localizations=found.localizations.shift((x, y, 0.0), block[0]))
