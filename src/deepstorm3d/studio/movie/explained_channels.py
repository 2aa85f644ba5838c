"""One frame of two channels explained: molecules fitted in both at once, and what is left in each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ...emitters import Localizations
from ...errors import InputError
from ...io.transforms import read_transform
from ...jobs.channel_inputs import BothPipelines, both_pipelines, halves_of_movie
from ...jobs.frame_of_channels import FrameInChannels, FramesOfChannels
from ...jobs.regenerate import RegeneratedFrame, regenerated
from ...localizing.excerpt import Excerpt
from ...localizing.model import Model, load_model
from ...localizing.over_channels import ChannelMovie
from ...pixels.reading import Light
from ...watch import Watcher
from .explained import Explained, Explainer, FurtherChannel, Question

__all__ = ["AnyExplainer", "ChannelsExplainer", "excerpts_of"]

_ALONE = (
    "No transform is given: each channel is explained by its own molecules. Find it with register, or localize "
    "the movie, which finds it."
)


def excerpts_of(question: Question, pixel_um: float) -> tuple[Excerpt, Excerpt]:
    """The movies of both channels, or the halves of one; raises InputError as `halves_of_movie`."""
    whole = replace(question.excerpt, roi=None)
    if question.split:
        return halves_of_movie(whole, question.split, pixel_um)[1]
    assert question.second is not None
    return whole, replace(whole, movie=question.second)


@dataclass(frozen=True)
class _Opened:
    """The opened movies of both channels with the pipelines of their models, whatever the threshold."""

    movies: tuple[ChannelMovie, ChannelMovie]
    both: BothPipelines

    def frames(self, question: Question) -> FramesOfChannels:
        """At the threshold and with the transform that are asked for."""
        pair = None if self.both.model is None else self.both.model.pair
        if question.transform is not None:
            pixel_um = self.both.pipelines[0].experiment.microscope.pixel_um
            pair = read_transform(question.transform, pixel_um=pixel_um)
        first, second = self.movies
        if question.threshold is not None:
            first, second = (
                replace(movie, pipeline=movie.pipeline.at_threshold(question.threshold))
                for movie in self.movies
            )
        return FramesOfChannels((first, second), pair, self.both.together is not None)


class ChannelsExplainer:
    """Answers questions about frames of two channels, as `Explainer` does of one."""

    def __init__(self) -> None:
        self._kept = ExitStack()
        self._models: dict[tuple[str, Path | None], Model] = {}
        self._place: tuple[tuple[object, ...], _Opened] | None = None
        self._frames: tuple[Question, FramesOfChannels] | None = None

    def __call__(self, question: Question, watch: Watcher) -> Explained:
        """What the models find in the frame; with a transform and the joint fit, in both channels together.

        Raises InputError where movies, models and transform do not fit each other.
        """
        place = self._at_work(question, watch)
        began, number = time.perf_counter(), question.frame
        found = place(number, watch)
        frames = [
            _regenerated(movie, rows.shift(frames=-number), light)
            for movie, rows, light in zip(place.movies, found.rows, found.lights, strict=True)
        ]
        return _explained(place, found, frames, time.perf_counter() - began)

    def close(self) -> None:
        """Close the movies, when no question is being answered."""
        self._kept.close()
        self._place = self._frames = None

    def _at_work(self, question: Question, watch: Watcher) -> FramesOfChannels:
        """Movies and models stay from one threshold or transform to the next."""
        key = (replace(question, frame=0, threshold=None, transform=None), repr(question.camera))
        if self._place is None or self._place[0] != key:
            self.close()
            self._place = (key, self._opened(question, watch))
        asked = replace(question, frame=0)
        if self._frames is None or self._frames[0] != asked:
            self._frames = (asked, self._place[1].frames(question))
        return self._frames[1]

    def _opened(self, question: Question, watch: Watcher) -> _Opened:
        watch.message("preparing the models")
        models = [self._model(name, question.mask) for name in question.models]
        camera = dict(question.camera)
        loaded = [(model.pipeline(camera=camera, refine=question.refine), model.file) for model in models]
        both = both_pipelines(loaded, camera)
        pixel_um = both.pipelines[0].experiment.microscope.pixel_um
        movies = []
        for excerpt, pipeline in zip(excerpts_of(question, pixel_um), both.pipelines, strict=True):
            watch.message(f"looking at the pixels of {excerpt.name}")
            source = self._kept.enter_context(excerpt.open())
            source.check_against(pipeline)
            source = source.judged(pipeline.camera, pipeline.experiment.microscope, watch=watch)
            x, y = source.roi[0] * pixel_um, source.roi[1] * pixel_um
            movies.append(ChannelMovie(source, pipeline, (x, y)))
        first, second = movies
        if first.source.movie.shape[0] != second.source.movie.shape[0]:
            raise InputError(
                f"{first.source.excerpt.name} has {first.source.movie.shape[0]} frames, "
                f"{second.source.excerpt.name} has {second.source.movie.shape[0]}: channels of one recording "
                "have as many"
            )
        return _Opened((first, second), both)

    def _model(self, name: str, mask: Path | None) -> Model:
        key = (name, mask)
        if key not in self._models:
            if len(self._models) > 1:
                self._models.clear()
            # Channels are fitted together on the processor.
            self._models[key] = load_model(name, mask=mask, device="cpu")
        return self._models[key]


class AnyExplainer:
    """Answers questions about frames of one channel, or of two."""

    def __init__(self) -> None:
        self._one, self._two = Explainer(), ChannelsExplainer()

    def __call__(self, question: Question, watch: Watcher) -> Explained:
        """As of `Explainer` and `ChannelsExplainer`."""
        return (self._two if question.has_two else self._one)(question, watch)

    def close(self) -> None:
        """Close the movies."""
        self._one.close()
        self._two.close()


def _regenerated(movie: ChannelMovie, rows: Localizations, light: Light) -> RegeneratedFrame:
    """A channel's frame of the rows that it shows: those outside it belong to the other channel alone."""
    pipeline = movie.source.at_work(movie.pipeline)
    made = regenerated(pipeline, rows, light)
    shown = pipeline.field_of(light.photons).inside(rows.xyz)
    return replace(made, report=replace(made.report, localizations=int(shown.sum())))


def _explained(
    place: FramesOfChannels, seen: FrameInChannels, frames: list[RegeneratedFrame], seconds: float
) -> Explained:
    notes = [note for movie in place.movies for note in (*movie.pipeline.notes, *movie.source.pixel_notes())]
    notes += [note for frame in frames for note in frame.report.notes]
    if place.pair is None:
        notes.append(_ALONE)
    first = place.movies[0].pipeline
    further = FurtherChannel(
        found=seen.rows[1],
        pixel_um=frames[1].pixel_um,
        model=frames[1].model.float().numpy(),
        residual=frames[1].residual.float().numpy(),
        report=frames[1].report,
    )
    return Explained(
        found=seen.rows[0],
        pixel_um=frames[0].pixel_um,
        z_um=first.experiment.z_um,
        threshold=first.localizer.threshold,
        model=frames[0].model.float().numpy(),
        residual=frames[0].residual.float().numpy(),
        corner=(0, 0),
        report=frames[0].report,
        notes=tuple(dict.fromkeys(notes)),
        doubts=seen.doubts,
        fitted=first.fit is not None,
        seconds=seconds,
        further=(further,),
    )
