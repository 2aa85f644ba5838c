"""One frame explained by a model: its molecules, the image that they predict, and how well it fits."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...channels.camera_halves import Side
from ...emitters import Localizations
from ...errors import Interrupted
from ...frames.no_light import refuse_without_light
from ...io.movies.preparation import Prepared
from ...jobs.regenerate import RegenerateReport, regenerated
from ...localizing.depth_ends import DepthEnds
from ...localizing.excerpt import AS_STORED, Excerpt, OpenExcerpt, Roi
from ...localizing.first_look import check_counts
from ...localizing.model import Model, load_model
from ...localizing.pipeline import Pipeline
from ...localizing.reading import light_of, read_block
from ...watch import Watcher

__all__ = ["Explained", "Explainer", "FurtherChannel", "Question"]


@dataclass(frozen=True)
class Question:
    """What is asked of a model about a movie.

    movie: its file;  frame: from 0;  roi: x0, y0, x1, y1 in px (half open), None: the whole frame;  prepared:
    orientation and subtraction;  pixel_um: in place of the file's;  model: name or file, "": none;  mask: for a
    model that holds only the hash of its mask;  camera: values that differ from the model's, in pairs;
    threshold: smallest probability, None: the model's;  refine: whether the joint fit follows;
    second, split: a second channel, in a movie of its own or in the halves of the frames, "": none;
    second_model: of it, "": the first one for both;  transform: file of that between the channels.
    """

    movie: Path | None = None
    frame: int = 0
    roi: Roi | None = None
    prepared: Prepared = AS_STORED
    pixel_um: float | None = None
    model: str = ""
    mask: Path | None = None
    camera: tuple[tuple[str, object], ...] = ()
    threshold: float | None = None
    refine: bool = True
    second: Path | None = None
    split: Side | Literal[""] = ""
    second_model: str = ""
    transform: Path | None = None

    @property
    def has_two(self) -> bool:
        """Whether frames of two channels are looked at."""
        return self.second is not None or self.split != ""

    @property
    def models(self) -> tuple[str, ...]:
        """Of the first and of the second channel, or one for both."""
        return (self.model, self.second_model) if self.second_model else (self.model,)

    @property
    def excerpt(self) -> Excerpt:
        """The movie and how its frames are read."""
        assert self.movie is not None
        return Excerpt(self.movie, roi=self.roi, prepared=self.prepared, pixel_um=self.pixel_um)


@dataclass(frozen=True, eq=False)
class FurtherChannel:
    """What the models say of a further channel's frame: fields as of `Explained`, in the channel's own µm."""

    found: Localizations
    pixel_um: float
    model: NDArray[np.float32]
    residual: NDArray[np.float32]
    report: RegenerateReport


@dataclass(frozen=True, eq=False)
class Explained:
    """What a model says of a frame.

    found: rows of the frame, positions in µm of the whole movie;  pixel_um: camera pixel in the sample;
    z_um: depth range of the model;  threshold: smallest probability that was asked of the network;
    model: (h, w) photons that the rows predict in the region;  residual: (h, w), what is left, in standard
    deviations of the noise;  corner: first column and row of the region;  report: how well it fits;
    notes: what a user should know of model, movie and camera;  doubts: what of the frame contradicts the model
    or its camera;  fitted: whether the joint fit made it;
    seconds: from the question to the answer;  further: the channels after the first;  number: another for each.
    """

    found: Localizations
    pixel_um: float
    z_um: tuple[float, float]
    threshold: float
    model: NDArray[np.float32]
    residual: NDArray[np.float32]
    corner: tuple[int, int]
    report: RegenerateReport
    notes: tuple[str, ...]
    doubts: tuple[str, ...]
    fitted: bool
    seconds: float
    further: tuple[FurtherChannel, ...] = ()
    number: int = field(default_factory=count(1).__next__)


class Explainer:
    """Answers questions about frames, for one thread; keeps model and movie from one question to the next."""

    def __init__(self) -> None:
        self._kept = ExitStack()
        self._model: tuple[tuple[str, Path | None], Model] | None = None
        self._place: tuple[tuple[object, ...], OpenExcerpt, Pipeline] | None = None

    def __call__(self, question: Question, watch: Watcher) -> Explained:
        """What the model finds in the frame.

        watch: told what is prepared, and ends the fit when the question is outdated.
        Raises InputError where movie, model and camera do not fit each other, or the frame cannot be read.
        """
        source, pipeline = self._at_work(question, watch)
        began = time.perf_counter()
        number = question.frame
        read = read_block(source, (number, number + 1), pipeline.context)
        counts = read.counts[read.own]
        refuse_without_light(counts, pipeline.camera.saturation, f"{source.excerpt.name}, frame {number}")
        seen, around = light_of(pipeline, read)
        found = pipeline.explain(seen.photons, seen.weight, around=around, watch=watch).localizations
        if watch.stopped:
            raise Interrupted
        frame, ends = regenerated(pipeline, found, seen), DepthEnds.of(pipeline)
        ends.add(found)
        pixel_um = pipeline.experiment.microscope.pixel_um
        x0, y0 = source.roi[:2]
        return Explained(
            found=found.to("cpu").shift((x0 * pixel_um, y0 * pixel_um, 0.0), frames=number),
            pixel_um=pixel_um,
            z_um=pipeline.experiment.z_um,
            threshold=pipeline.localizer.threshold,
            model=frame.model.float().cpu().numpy(),
            residual=frame.residual.float().cpu().numpy(),
            corner=(x0, y0),
            report=frame.report,
            notes=(*pipeline.notes, *source.pixel_notes(), *frame.report.notes),
            doubts=(*(finding.text for finding in check_counts(pipeline, counts)), *ends.warnings()),
            fitted=pipeline.fit is not None,
            seconds=time.perf_counter() - began,
        )

    def close(self) -> None:
        """Close the movie, when no question is being answered."""
        self._kept.close()
        self._place = None

    def _at_work(self, question: Question, watch: Watcher) -> tuple[OpenExcerpt, Pipeline]:
        """The opened movie, and the pipeline for it."""
        key = (question.excerpt, question.model, question.mask, repr(question.camera), question.refine)
        if self._place is None or self._place[0] != key:
            self.close()
            watch.message("preparing the model")
            model = self._model_of(question)
            pipeline = model.pipeline(camera=dict(question.camera), refine=question.refine)
            watch.message("looking at the movie's pixels")
            source = self._kept.enter_context(question.excerpt.open())
            source.check_against(pipeline)
            source = source.judged(pipeline.camera, pipeline.experiment.microscope, watch=watch)
            self._place = (key, source, source.at_work(pipeline))
        _, source, pipeline = self._place
        return source, pipeline if question.threshold is None else pipeline.at_threshold(question.threshold)

    def _model_of(self, question: Question) -> Model:
        name = (question.model, question.mask)
        if self._model is None or self._model[0] != name:
            self._model = (name, load_model(question.model, mask=question.mask))
        return self._model[1]
