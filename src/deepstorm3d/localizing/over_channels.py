"""A recording in several channels: every frame is fitted in all channels at once, from lists or a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..channels import ChannelPair, ChannelView, Transform, Warp
from ..emitters import Localizations
from ..errors import InputError
from ..field import Field
from ..fitting.joint import JointFit
from ..fitting.likelihood import Likelihood
from ..fitting.sites.candidates import CandidatesFit
from ..fitting.sites.channels import ChannelsFit, FoundInChannels, FurtherChannel
from ..io.movies import readable_ranges
from ..localizer.neighbours import with_neighbours
from ..watch import SILENT, Part, Watcher
from .channel_pipelines import background_spacing_px
from .depth_ends import DepthEnds
from .excerpt import OpenExcerpt
from .fits import highest_density
from .in_order import in_order
from .light_in_channels import ChannelLight, LightInChannels
from .memory import Blocks, blocks_at_once
from .pipeline import Pipeline
from .streaming import Block, block_frames
from .tiling import Tile, localize_in_tiles
from .watching import BlockWatcher

__all__ = [
    "ChannelMovie",
    "FromNetwork",
    "OverChannels",
    "fit_of_channels",
    "found_in_blocks",
    "refuse_device",
    "refuse_unfit",
]


@dataclass(frozen=True)
class ChannelMovie:
    """The frames of one channel.

    source: opened, with the faults of its pixels (`Run.source`);  pipeline: of the channel;
    origin_um: (x, y) of the camera's frame at which the channel's own µm begin: of a half of a camera, the
    centre of the half's first pixel.
    """

    source: OpenExcerpt
    pipeline: Pipeline
    origin_um: tuple[float, float] = (0.0, 0.0)

    @property
    def corner_um(self) -> tuple[float, float]:
        """The first pixel of the region in the channel's own µm."""
        pixel_um = self.pipeline.experiment.microscope.pixel_um
        return (
            self.source.roi[0] * pixel_um - self.origin_um[0],
            self.source.roi[1] * pixel_um - self.origin_um[1],
        )

    @property
    def field(self) -> Field:
        """What the frames show of the channel's whole field, over which its PSF may change."""
        return self.source.at_work(self.pipeline).field_of(torch.empty(0, *self.source.size))

    def fit(self) -> JointFit:
        """The fit of single frames of the region.

        Raises InputError for a pipeline without joint fit, or on a GPU.
        """
        here = self.source.at_work(self.pipeline)
        refuse_unfit(here)
        assert isinstance(here.fit, JointFit)
        return here.fit.in_field(self.field, self.field)

    def light(self, begin: int, end: int) -> Likelihood:
        """The likelihood of frames begin … end − 1."""
        here = self.source.at_work(self.pipeline)
        light = here.light(torch.from_numpy(self.source.read(begin, end).astype(np.float32)))
        return Likelihood(light.photons, here.noise, light.weight)


def refuse_unfit(*pipelines: Pipeline) -> None:
    """Raise InputError for pipelines whose molecules cannot be fitted in several channels together."""
    if any(pipeline.fit is None for pipeline in pipelines):
        raise InputError(
            "each channel is localized by a model of its own, and which rows of the two lists are one molecule "
            "is decided by the joint fit of both channels, which is left out here (`method=proposals`)",
            "let them be fitted, give one model whose network sees both channels, or localize each movie alone",
        )
    if not all(isinstance(pipeline.fit, JointFit) for pipeline in pipelines):
        raise InputError(
            "channels are fitted together only after the joint fit of each",
            "let each be fitted, with candidates from the network or by pursuit",
        )
    for pipeline in pipelines:
        refuse_device(pipeline)


def refuse_device(pipeline: Pipeline) -> None:
    """Raise InputError for a pipeline that is not on the processor."""
    if pipeline.device.type != "cpu":
        raise InputError(
            f"channels are localized together on the processor, not on {pipeline.device.type}",
            "load the models for the processor (`device=cpu`)",
        )


class OverChannels:
    """Fits the lists of the channels of a recording again, each molecule in all channels.

    movies: of each channel;  pairs: of each channel after the first, from the first to it.
    Raises InputError for a pipeline without joint fit or on a GPU, and for models without a common depth.
    """

    def __init__(self, movies: Sequence[ChannelMovie], pairs: Sequence[ChannelPair]) -> None:
        # Channels may be halves of one movie, which is read by one thread at a time.
        self._movies, self._reading = tuple(movies), threading.Lock()
        self._fit = fit_of_channels(movies, pairs)

    def depth_ends(self) -> DepthEnds:
        """What counts the rows at the ends of the depths of this fit."""
        return DepthEnds.of_fit(self._fit.bounds, self._movies[0].pipeline.experiment)

    def blocks(self, begin: int = 0) -> list[Block]:
        """Blocks of frames that all channels' movies can give, from frame `begin`."""
        return _blocks(self._movies, begin)

    def __call__(
        self, lists: Sequence[Localizations], block: Block, watch: Watcher = SILENT
    ) -> FoundInChannels:
        """The molecules of a block of frames.

        lists: of each channel alone, in the channel's own µm, with absolute frame numbers;  watch: told the
        frames of the block that are done; it can end the work (Interrupted).
        """
        begin, end = block
        here = []
        for movie, found in zip(self._movies, lists, strict=True):
            rows = found.select((found.frame >= begin) & (found.frame < end))
            x, y = movie.corner_um
            here.append(rows.shift(xyz=(-x, -y, 0.0), frames=-begin))
        with self._reading:
            lights = [movie.light(begin, end) for movie in self._movies]
        made = self._fit(here, lights, _in_frames(watch, block))
        return _in_whole(made, self._movies[0], begin)


class FromNetwork:
    """Finds candidates with a network that sees all channels, and fits each molecule in all channels.

    For the network alone the frames of further channels are taken to the first one's pixels (`Warp`). Shares of
    the light that the model's experiment says are known (`Channel.light_known`) are known to the fit.
    movies, pairs: as of `OverChannels`; the network is that of the first movie's pipeline. Where that has no
    fit, its candidates are the molecules (`LightInChannels`).
    Raises InputError as `OverChannels`.
    """

    def __init__(self, movies: Sequence[ChannelMovie], pairs: Sequence[ChannelPair]) -> None:
        self._movies, self._reading, first = tuple(movies), threading.Lock(), movies[0]
        self._field = _field_of(first)
        views = [
            ChannelView("", _between(first, movie, pair.transform), pair.depth[0], 1.0, _field_of(movie))
            for movie, pair in zip(movies[1:], pairs, strict=True)
        ]
        self._warps = [Warp(view, self._field) for view in views]
        if first.pipeline.fit is None:
            self._fit = _light_of(movies, views)
        else:
            self._fit = CandidatesFit(fit_of_channels(movies, pairs), first.pipeline.experiment.known_shares)

    def depth_ends(self) -> DepthEnds:
        """What counts the rows at the ends of the depths of this fit; a network's own list has no ends."""
        bounds = self._fit.channels.bounds if isinstance(self._fit, CandidatesFit) else None
        return DepthEnds.of_fit(bounds, self._movies[0].pipeline.experiment)

    def blocks(self, begin: int = 0) -> list[Block]:
        """Blocks of frames that all channels' movies can give, from frame `begin`."""
        return _blocks(self._movies, begin)

    @torch.no_grad()
    def __call__(self, block: Block, watch: Watcher = SILENT) -> FoundInChannels:
        """The molecules of a block of frames;  watch: as of `OverChannels`."""
        begin, end = block
        context = self._movies[0].pipeline.context
        ranges = [movie.source.readable_around(block) for movie in self._movies]
        first = max(begin - context, *(first for first, _ in ranges))
        last = min(end + context, *(last for _, last in ranges))
        with self._reading:
            lights = [movie.light(first, last) for movie in self._movies]
        own = slice(begin - first, end - first)
        found = self._candidates(lights, own)
        rows = torch.arange(own.start, own.stop)
        made = self._fit(found, [light.select(rows) for light in lights], _in_frames(watch, block))
        return _in_whole(made, self._movies[0], begin)

    def _candidates(self, lights: Sequence[Likelihood], own: slice) -> Localizations:
        """What the network proposes in the frames `own`, which are counted from 0."""
        pipeline, field = self._movies[0].pipeline, self._field
        further = [warp(light.frames) for warp, light in zip(self._warps, lights[1:], strict=True)]
        frames = torch.stack([lights[0].frames, *further], 1)
        seen = with_neighbours(frames, pipeline.context)[own] if pipeline.context else frames[own]

        def proposed(_: Tensor, tile: Tile) -> Localizations:
            rows, columns = tile.outer.pixels_of(field)
            return pipeline.propose(seen[..., rows, columns])

        return localize_in_tiles(proposed, frames[own, 0], field, tile_px=pipeline.tile_px)


def found_in_blocks(
    localize: Callable[[Block, Watcher], FoundInChannels],
    blocks: Sequence[Block],
    movies: Sequence[ChannelMovie],
    watch: Watcher,
) -> Iterator[tuple[Block, FoundInChannels]]:
    """Yield each block of frames with its molecules, in order; several are worked on side by side.

    localize: `OverChannels` or `FromNetwork`;  movies: of its channels;  watch: told the frames done; it can
    end the work (Interrupted).
    """
    if not blocks:
        return
    first = movies[0]
    frames = max(end - begin for begin, end in blocks)
    at_once = blocks_at_once(first.pipeline, Blocks(len(blocks), frames, first.source.size, len(movies)))
    within = BlockWatcher(watch, first.source, blocks[0][0])
    with closing(in_order(localize, blocks, at_once, within)) as results:
        for block, found in zip(blocks, results, strict=True):
            yield block, found
            within.block_done(block[1])


def fit_of_channels(movies: Sequence[ChannelMovie], pairs: Sequence[ChannelPair]) -> ChannelsFit:
    """The fit of single frames in all channels;  arguments and errors of `OverChannels`."""
    first = movies[0]
    further = [
        FurtherChannel(movie.fit(), _between(first, movie, pair.transform), pair.depth[0], pair.excess_um)
        for movie, pair in zip(movies[1:], pairs, strict=True)
    ]
    return ChannelsFit(first.fit(), tuple(further))


def _light_of(movies: Sequence[ChannelMovie], further: Sequence[ChannelView]) -> LightInChannels:
    """What measures the light of a network's list in the regions of all channels."""
    for movie in movies:
        refuse_device(movie.pipeline)
    first = movies[0]
    views = [ChannelView("", Transform.identity(), 0.0, 1.0, _field_of(first)), *further]
    channels = tuple(
        ChannelLight(
            view, movie.source.at_work(movie.pipeline).psf, background_spacing_px(movie.pipeline.experiment)
        )
        for movie, view in zip(movies, views, strict=True)
    )
    return LightInChannels(channels, highest_density(first.pipeline.experiment))


def _blocks(movies: Sequence[ChannelMovie], begin: int) -> list[Block]:
    source = movies[0].source
    gaps = sorted({gap for movie in movies for gap in movie.source.movie.gaps})
    size = block_frames(source.size, torch.device("cpu"), fitted=True)
    return list(readable_ranges(gaps, max(begin, source.span[0]), source.last, size))


def _field_of(movie: ChannelMovie) -> Field:
    """The region of a channel, counted from its own first pixel."""
    return Field(*movie.source.size, movie.pipeline.experiment.microscope.pixel_um)


def _in_frames(watch: Watcher, block: Block) -> Part:
    """What watches the fit of a block, whose progress is told in its frames."""
    return Part(watch, 0, block[1] - block[0], block[1] - block[0])


def _in_whole(made: FoundInChannels, first: ChannelMovie, begin: int) -> FoundInChannels:
    """What was found in a region and block, in the channel's own µm and absolute frames."""
    x, y = first.corner_um
    return replace(made, localizations=made.localizations.shift(xyz=(x, y, 0.0), frames=begin))


def _between(first: ChannelMovie, second: ChannelMovie, transform: Transform) -> Transform:
    """The transform between the regions of two channels, from that between their own µm."""
    before, after = _moved(first.corner_um, 1), _moved(second.corner_um, -1)
    made = transform if before is None else before.then(transform)
    return made if after is None else made.then(after)


def _moved(by_um: tuple[float, float], sign: int) -> Transform | None:
    if by_um == (0.0, 0.0):
        return None
    offset: Tensor = sign * torch.tensor(by_um, dtype=torch.float64)
    return Transform.affine(torch.eye(2), offset)
