"""One frame of two channels explained: molecules fitted in both at once, and what is left in each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ...channels import ChannelPair
from ...emitters import Localizations
from ...errors import InputError, Interrupted
from ...frames.no_light import refuse_without_light
from ...io.transforms import read_transform
from ...jobs.channel_inputs import halves_of_movie
from ...jobs.regenerate import RegeneratedFrame, regenerated
from ...jobs.regenerate_channels import rows_in_channels
from ...localizing.excerpt import Excerpt
from ...localizing.first_look import check_counts
from ...localizing.model import Model, load_model
from ...localizing.over_channels import ChannelMovie, OverChannels
from ...localizing.reading import light_of, read_block
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
class _Place:
    """Both channels, opened, and the fit of both; fit: None without a transform, or without the joint fit."""

    movies: tuple[ChannelMovie, ChannelMovie]
    pair: ChannelPair | None
    fit: OverChannels | None


class ChannelsExplainer:
    """Answers questions about frames of two channels, as `Explainer` does of one."""

    def __init__(self) -> None:
        self._kept = ExitStack()
        self._models: dict[tuple[str, Path | None], Model] = {}
        self._place: tuple[tuple[object, ...], _Place] | None = None

    def __call__(self, question: Question, watch: Watcher) -> Explained:
        """What the models find in the frame; with a transform and the joint fit, in both channels together.

        Raises InputError where movies, models and transform do not fit each other.
        """
        place = self._at_work(question, watch)
        began, number = time.perf_counter(), question.frame
        lists: list[Localizations] = []
        lights: list[Light] = []
        doubts: list[str] = []
        for movie in place.movies:
            found, light, told = _alone(movie, question, watch)
            lists.append(found)
            lights.append(light)
            doubts += told
            if watch.stopped:
                raise Interrupted
        if place.fit is not None and place.pair is not None:
            together = place.fit(lists, (number, number + 1), watch).localizations
            lists = rows_in_channels(together, [place.pair])
        frames = [
            regenerated(movie.source.at_work(movie.pipeline), rows.shift(frames=-number), light)
            for movie, rows, light in zip(place.movies, lists, lights, strict=True)
        ]
        return _explained(place, lists, frames, tuple(doubts), time.perf_counter() - began)

    def close(self) -> None:
        """Close the movies, when no question is being answered."""
        self._kept.close()
        self._place = None

    def _at_work(self, question: Question, watch: Watcher) -> _Place:
        key = (replace(question, frame=0, threshold=None), repr(question.camera))
        if self._place is None or self._place[0] != key:
            self.close()
            self._place = (key, self._opened(question, watch))
        return self._place[1]

    def _opened(self, question: Question, watch: Watcher) -> _Place:
        watch.message("preparing the models")
        models = [self._model(name, question.mask) for name in question.models]
        pipelines = [model.pipeline(camera=dict(question.camera), refine=question.refine) for model in models]
        pixel_um = pipelines[0].experiment.microscope.pixel_um
        pair = None if question.transform is None else read_transform(question.transform, pixel_um=pixel_um)
        movies = []
        for excerpt, pipeline in zip(excerpts_of(question, pixel_um), pipelines, strict=True):
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
        fit = OverChannels(movies, [pair]) if pair is not None and question.refine else None
        return _Place((first, second), pair, fit)

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


def _alone(movie: ChannelMovie, question: Question, watch: Watcher) -> tuple[Localizations, Light, list[str]]:
    """A channel by itself: its rows in its own µm, the frame, and what contradicts its model."""
    number, source = question.frame, movie.source
    here = source.at_work(movie.pipeline)
    if question.threshold is not None:
        here = here.at_threshold(question.threshold)
    read = read_block(source, (number, number + 1), here.context)
    counts = read.counts[read.own]
    refuse_without_light(counts, here.camera.saturation, f"{source.excerpt.name}, frame {number}")
    light, around = light_of(here, read)
    found = here.explain(light.photons, light.weight, around=around, watch=watch).localizations
    doubts = [f"{source.excerpt.name}: {finding.text}" for finding in check_counts(here, counts)]
    return found.to("cpu").shift(frames=number), light, doubts


def _explained(
    place: _Place,
    lists: list[Localizations],
    frames: list[RegeneratedFrame],
    doubts: tuple[str, ...],
    seconds: float,
) -> Explained:
    first = place.movies[0]
    notes = [note for movie in place.movies for note in (*movie.pipeline.notes, *movie.source.pixel_notes())]
    notes += [note for frame in frames for note in frame.report.notes]
    if place.pair is None:
        notes.append(_ALONE)
    return Explained(
        found=lists[0],
        pixel_um=frames[0].pixel_um,
        z_um=first.pipeline.experiment.z_um,
        threshold=first.pipeline.localizer.threshold,
        model=frames[0].model.float().numpy(),
        residual=frames[0].residual.float().numpy(),
        corner=(0, 0),
        report=frames[0].report,
        notes=tuple(dict.fromkeys(notes)),
        doubts=doubts,
        fitted=first.pipeline.fit is not None,
        seconds=seconds,
        further=(
            FurtherChannel(
                found=lists[1],
                pixel_um=frames[1].pixel_um,
                model=frames[1].model.float().numpy(),
                residual=frames[1].residual.float().numpy(),
                report=frames[1].report,
            ),
        ),
    )
