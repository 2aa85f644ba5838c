"""The channels of a recording that are to be localized: movie and pipeline of each, checked before the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..camera import Camera
from ..channels import ChannelPair, Halves, halves_of
from ..channels.camera_halves import Side
from ..emitters import Localizations
from ..errors import InputError
from ..experiment.channel import ChannelTransform
from ..experiment.experiment import Experiment
from ..field import Field
from ..io.movies import AnyMovie
from ..localizer.modelfile import ModelFile
from ..localizing.channel_pipelines import ChannelPipelines, channel_pipelines
from ..localizing.excerpt import Excerpt, OpenExcerpt
from ..localizing.over_channels import ChannelMovie
from ..localizing.pipeline import Pipeline
from ..watch import SILENT, Watcher

__all__ = [
    "BothPipelines",
    "ChannelInput",
    "GivenTransform",
    "both_pipelines",
    "checked_frames",
    "halves_as_channels",
    "halves_of_movie",
    "judged_movie",
    "second_excerpt",
    "second_movie",
]


@dataclass(frozen=True)
class ChannelInput:
    """One channel to be localized: its movie and pipeline.

    origin_um: (x, y) of the camera's frame at which the channel's own µm begin (`ChannelMovie`);
    size: (height, width) px of the channel's own frame, None: of the whole frame.
    """

    excerpt: Excerpt
    pipeline: Pipeline
    origin_um: tuple[float, float] = (0.0, 0.0)
    size: tuple[int, int] | None = None

    @property
    def begin_um(self) -> tuple[float, float, float]:
        """What takes positions of the channel to those of its excerpt's region, (x, y, 0) µm: added to them."""
        if self.excerpt.roi is None:
            return 0.0, 0.0, 0.0
        pixel_um = self.pipeline.experiment.microscope.pixel_um
        (x, y), (x0, y0) = self.origin_um, self.excerpt.roi[:2]
        return x - x0 * pixel_um, y - y0 * pixel_um, 0.0

    def own(self, found: Localizations) -> Localizations:
        """A list of the camera's frame in the channel's own µm."""
        x, y = self.origin_um
        return found if (x, y) == (0.0, 0.0) else found.shift(xyz=(-x, -y, 0.0))

    def field(self, shape: tuple[int, int]) -> Field:
        """The channel's own frame, of a camera's frame of (height, width) px."""
        height, width = self.size or shape
        return Field(height, width, self.pipeline.experiment.microscope.pixel_um)


@dataclass(frozen=True)
class BothPipelines:
    """The pipelines of two channels.

    model: that which both are of, if its experiment has two channels.
    """

    pipelines: tuple[Pipeline, Pipeline]
    model: ChannelPipelines | None = None

    @property
    def together(self) -> ChannelPipelines | None:
        """The model whose network finds candidates in both channels at once; None: each is localized alone."""
        return self.model if self.pipelines[0].method == "network" else None

    @property
    def notes(self) -> list[str]:
        """Sentences about assumed values, of both."""
        return list(dict.fromkeys(note for pipeline in self.pipelines for note in pipeline.notes))

    def transform(self, given: GivenTransform) -> GivenTransform:
        """What is given, or else the transform that the model was trained for."""
        if given.pair is not None or self.model is None:
            return given
        return replace(given, pair=self.model.pair, name="the model's transform")


def both_pipelines(
    loaded: Sequence[tuple[Pipeline, ModelFile]], camera: Camera | Mapping[str, object] | None = None
) -> BothPipelines:
    """The pipelines of two channels from their models, or from one for both.

    loaded: pipeline and model of each;  camera: what differs from a model's own cameras.
    Raises InputError for more than two models, and for two of which one sees several channels at the same time.
    """
    if not 1 <= len(loaded) <= 2:
        raise InputError(f"two channels have two models, or one for both, not {len(loaded)}")
    (first, model), last = loaded[0], loaded[-1][0]
    several = [each.experiment for each, _ in loaded if len(each.experiment.channel_names) > 1]
    if not several:
        return BothPipelines((first, last))
    if len(loaded) > 1:
        names = several[0].channel_names
        raise InputError(
            f"the network of the model '{several[0].name}' sees {len(names)} channels at the same time "
            f"({', '.join(names)})",
            "give this model alone, for both channels, or two models of one channel each",
        )
    both = channel_pipelines(first, model, camera)
    _ = both.pair
    return BothPipelines((both.channels[0], both.channels[1]), both)


@dataclass(frozen=True)
class GivenTransform:
    """The transform to use, and the name of its file.

    None: it is that of the model whose network sees both channels, or found from the lists of both.
    mirrored: whether the second channel shows the first as a mirror does; None: as the transform says.
    """

    pair: ChannelPair | None = None
    name: str = "the transform"
    mirrored: bool | None = None

    def check_mirror(self, pair: ChannelPair | ChannelTransform) -> None:
        """Raise InputError where a transform contradicts what was said of the mirror."""
        if self.mirrored is not None and self.mirrored != pair.transform.mirrored:
            seen = "mirrored" if pair.transform.mirrored else "not mirrored"
            raise InputError(f"{self.name} says that the second channel is {seen}", "leave one of the two out")


def second_movie(first: Excerpt, movie: AnyMovie, pipeline: Pipeline) -> ChannelInput:
    """The second channel, of a movie of its own that is read as the first one's.

    Where the pixel of the first movie is said, whatever its file says, that of the second is its experiment's:
    the cameras may differ.
    pipeline: of the second channel.
    """
    return ChannelInput(second_excerpt(first, movie, pipeline.experiment), pipeline)


def second_excerpt(first: Excerpt, movie: AnyMovie, experiment: Experiment) -> Excerpt:
    """A second channel's movie, read as the first one's, with its own experiment's pixel (`second_movie`)."""
    pixel_um = None if first.pixel_um is None else experiment.microscope.pixel_um
    return replace(first, movie=movie, pixel_um=pixel_um)


def halves_as_channels(
    excerpt: Excerpt, pipelines: tuple[Pipeline, Pipeline], side: Side
) -> tuple[ChannelInput, ChannelInput]:
    """The channels of one camera that shows them beside or above each other.

    excerpt: of the whole camera;  side: how the channels lie, the first one named first.
    Raises InputError for a region of the camera: the halves are those of the whole.
    """
    halves, (first, second) = halves_of_movie(excerpt, side, pipelines[0].experiment.microscope.pixel_um)
    x, y = halves.origin_um.tolist()
    return (
        ChannelInput(first, pipelines[0], size=halves.size),
        ChannelInput(second, pipelines[1], (x, y), halves.size),
    )


def halves_of_movie(excerpt: Excerpt, side: Side, pixel_um: float) -> tuple[Halves, tuple[Excerpt, Excerpt]]:
    """The halves of a camera's frames, and the movie of each.

    excerpt: of the whole camera;  side: how they lie, the first channel named first.
    Raises InputError for a region of the camera: the halves are those of the whole.
    """
    if excerpt.roi is not None:
        raise InputError(
            "a region (`roi`) is for one channel: the second one would need its own", "crop the movies"
        )
    with excerpt.open() as source:
        _, height, width = source.movie.shape
    halves = halves_of(side, (height, width), pixel_um)
    h, w = halves.size
    x, y = (halves.start_px, 0) if side == "left-right" else (0, halves.start_px)
    return halves, (replace(excerpt, roi=(0, 0, w, h)), replace(excerpt, roi=(x, y, x + w, y + h)))


def judged_movie(channel: ChannelInput, source: OpenExcerpt, watch: Watcher = SILENT) -> ChannelMovie:
    """An opened channel with the faults of its pixels.

    Raises InputError where movie and model do not fit.
    """
    source.check_against(channel.pipeline)
    camera, microscope = channel.pipeline.camera, channel.pipeline.experiment.microscope
    return ChannelMovie(source.judged(camera, microscope, watch=watch), channel.pipeline, channel.origin_um)


def checked_frames(channels: Sequence[ChannelInput]) -> int:
    """The number of frames of each channel, before any work begins.

    Raises InputError where the channels' frames do not belong together one by one.
    """
    spans = []
    for channel in channels:
        with channel.excerpt.open() as source:
            spans.append(((source.span[0], source.last), channel.excerpt.name))
    ((begin, end), name), ((start, last), other) = spans
    if end - begin != last - start:
        raise InputError(
            f"{name} has {end - begin} frames, {other} has {last - start}: channels of one recording have as "
            "many",
            "choose those that belong together (`frames`), or give the movies of one recording",
        )
    if begin != start:
        raise InputError(
            f"the frames of {name} begin with {begin}, those of {other} with {start}: frame by frame they are "
            "taken for one exposure",
            "choose the same frames of both (`frames`), and cut a camera that began earlier",
        )
    return end - begin
