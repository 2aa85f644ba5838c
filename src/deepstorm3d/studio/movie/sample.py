"""Does this model fit this movie? A few frames of it, localized, drawn and compared with simulated ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ...jobs.preview import preview_movie
from ...localizing.model import load_model
from ...watch import Watcher
from .explained import Question

__all__ = ["SAMPLE_FRAMES", "Sampled", "look_at_sample"]

SAMPLE_FRAMES = 3
"""Frames of the sample, spread evenly over the movie."""


@dataclass(frozen=True)
class Sampled:
    """What the sample showed.

    fits: the verdict;  lines: it and its reasons, in words;  pictures: PNG files, one for each frame and the
    histograms of real and simulated pixels, by their names.
    """

    fits: bool
    lines: list[str]
    pictures: dict[str, bytes]


def look_at_sample(question: Question, watch: Watcher) -> Sampled:
    """What ``localize --preview`` tells and draws.

    Raises InputError where movie, model and camera do not fit each other, and for two channels.
    """
    if question.has_two:
        raise InputError(
            "a sample of frames is looked at in one channel",
            "take the second channel out, and ask for each alone",
        )
    watch.message("preparing the model")
    model = load_model(question.model, mask=question.mask)
    pipeline = model.pipeline(
        camera=dict(question.camera), threshold=question.threshold, refine=question.refine
    )
    with tempfile.TemporaryDirectory() as scratch:
        excerpt = replace(question.excerpt, frames=(None, None))
        report = preview_movie(excerpt, pipeline, Path(scratch), frames=SAMPLE_FRAMES, watch=watch)
        pictures = {path.stem: path.read_bytes() for path in sorted(Path(scratch).glob("*.png"))}
    return Sampled(report.fits, [*pipeline.notes, *report.lines], pictures)
