"""Check of the first block of a run: whether its frames agree with camera and model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..experiment.experiment import Experiment
from ..frames.plausibility import Finding, check_frames, sample_for_check
from ..frames.trained_levels import TrainedLevels, trained_levels
from ..watch import Watcher, warn
from .excerpt import OpenExcerpt
from .pipeline import Pipeline
from .streaming import Block

__all__ = ["FirstLook", "check_counts", "levels_of"]


class FirstLook:
    """Passes blocks on, and checks the frames of the first one.

    watch: receives each finding at once;  `warnings`: the same findings, for the end of the run.
    """

    def __init__(self, source: OpenExcerpt, pipeline: Pipeline, watch: Watcher) -> None:
        self._source, self._pipeline, self._watch = source, pipeline, watch
        self.warnings: list[str] = []

    def over(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield the same blocks; the first one is checked before it is passed on."""
        coming = iter(blocks)
        first = next(coming, None)
        if first is None:
            return
        findings = check_counts(self._source.at_work(self._pipeline), self._source.read(*first))
        self.warnings = [f"frames {first[0]} to {first[1] - 1}: {finding.text}" for finding in findings]
        for warning in self.warnings:
            warn(self._watch, warning)
        yield first
        yield from coming


def check_counts(pipeline: Pipeline, counts: NDArray[Any]) -> list[Finding]:
    """Contradictions between frames (B, H, W) of a pipeline's region and its camera and model."""
    sample, levels = sample_for_check(counts), levels_of(pipeline.experiment).shared(pipeline.share)
    photons = pipeline.to_photons(torch.from_numpy(sample.astype(np.float32)))
    return check_frames(sample, photons, pipeline.camera, levels, maps=pipeline.maps)


def levels_of(experiment: Experiment) -> TrainedLevels:
    """Signal levels in the training frames of a model for this experiment."""
    return trained_levels(
        experiment.scenes.values(), experiment.camera, experiment.microscope.pixel_um, experiment.frame_px
    )
