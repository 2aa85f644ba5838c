"""One frame of two channels: its molecules, in both at once where the transform is known, and what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..channels import ChannelPair
from ..emitters import Localizations
from ..errors import Interrupted
from ..fitting.joint import JointFit
from ..frames.no_light import refuse_without_light
from ..localizing.first_look import check_counts
from ..localizing.over_channels import ChannelMovie, FromNetwork, OverChannels
from ..localizing.reading import light_of, read_block
from ..pixels.reading import Light
from ..watch import SILENT, Watcher
from .regenerate_channels import rows_in_channels

__all__ = ["FrameInChannels", "FramesOfChannels"]


@dataclass(frozen=True)
class FrameInChannels:
    """A frame as both channels see it.

    rows: of each channel in its own µm, with the frame's number: the same molecules in both where they were
    fitted together;  lights: the frame of each;  doubts: what contradicts the models and their cameras.
    """

    rows: tuple[Localizations, Localizations]
    lights: tuple[Light, Light]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class FramesOfChannels:
    """Finds the molecules of single frames of two channels.

    movies: of both, opened, with the faults of their pixels;  pair: from the first to the second; None: each
    channel is localized by itself;  together: the network of the first movie's pipeline sees both channels;
    without_light: whether frames without light are looked at too, not refused.
    """

    movies: tuple[ChannelMovie, ChannelMovie]
    pair: ChannelPair | None
    together: bool = False
    without_light: bool = False

    @cached_property
    def _network(self) -> FromNetwork | None:
        return None if self.pair is None or not self.together else FromNetwork(self.movies, [self.pair])

    @cached_property
    def _lists(self) -> OverChannels | None:
        fitted = all(isinstance(movie.pipeline.fit, JointFit) for movie in self.movies)
        return OverChannels(self.movies, [self.pair]) if self.pair is not None and fitted else None

    def __call__(self, number: int, watch: Watcher = SILENT) -> FrameInChannels:
        """The molecules of a frame.

        watch: told the progress, and can end the work (Interrupted).
        Raises InputError for a frame without light (unless `without_light`), and for models that cannot be
        fitted together.
        """
        seen = [self._seen(movie, number) for movie in self.movies]
        lights, doubts = (seen[0][0], seen[1][0]), (*seen[0][1], *seen[1][1])
        block = (number, number + 1)
        if self._network is not None and self.pair is not None:
            rows = rows_in_channels(self._network(block, watch).localizations, [self.pair])
            return FrameInChannels((rows[0], rows[1]), lights, doubts)
        alone = [_alone(movie, number, watch) for movie in self.movies]
        if self._lists is not None and self.pair is not None:
            alone = rows_in_channels(self._lists(alone, block, watch).localizations, [self.pair])
        return FrameInChannels((alone[0], alone[1]), lights, doubts)

    def _seen(self, movie: ChannelMovie, number: int) -> tuple[Light, Sequence[str]]:
        """The frame of a channel, and what contradicts its model."""
        source, here = movie.source, movie.source.at_work(movie.pipeline)
        read = read_block(source, (number, number + 1), 0)
        if not self.without_light:
            refuse_without_light(read.counts, here.camera.saturation, f"{source.excerpt.name}, frame {number}")
        doubts = [f"{source.excerpt.name}: {finding.text}" for finding in check_counts(here, read.counts)]
        return light_of(here, read)[0], doubts


def _alone(movie: ChannelMovie, number: int, watch: Watcher) -> Localizations:
    """The rows of a channel by itself, in its own µm."""
    here = movie.source.at_work(movie.pipeline)
    light, around = light_of(here, read_block(movie.source, (number, number + 1), here.context))
    found = here.explain(light.photons, light.weight, around=around, watch=watch).localizations
    if watch.stopped:
        raise Interrupted
    x, y = movie.corner_um
    return found.to("cpu").shift(xyz=(x, y, 0.0), frames=number)
