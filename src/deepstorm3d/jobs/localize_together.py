"""Localize two channels with one model, whose network sees both at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from ..analysis.fit_quality import QualitySample
from ..channels import ChannelPair, ChannelView
from ..errors import InputError
from ..field import Field
from ..fitting.sites.channels import FoundInChannels
from ..io.tables import claim_list
from ..localizing.channel_pipelines import ChannelPipelines
from ..localizing.first_look import check_counts
from ..localizing.over_channels import ChannelMovie, FromNetwork, refuse_device
from ..localizing.over_frames import obstacle
from ..localizing.streaming import Block
from ..watch import SILENT, Watcher, warn
from .channel_inputs import ChannelInput, GivenTransform, checked_frames, judged_movie
from .channels_list import BothChannels, write_channels_list
from .channels_record import claim_transform_file
from .channels_summary import ChannelsSummary
from .localize import ListFile

__all__ = ["Together", "localize_together", "opened_together", "pair_of_model"]

# Relative difference of pixel sizes that is taken for rounding.
_ROUNDING = 1e-3
# Change of a length in the second channel's images against those of the training, as a fraction, from which on
# it is told: the network has not seen such images.
_OTHER_SHAPE = 0.06
# Difference of depth offsets, µm, from which on it is told for the same reason.
_OTHER_DEPTH_UM = 0.1


@dataclass(frozen=True)
class Together:
    """Two opened channels, what localizes them, and what a user should know before.

    quality: of the rows found so far.
    """

    both: BothChannels
    summary: ChannelsSummary
    quality: QualitySample

    def doubts(self) -> list[str]:
        """What a user should know after the last block."""
        summary, told = self.summary, list[str]()
        for movie in self.both.movies:
            source = movie.source
            notes = [*source.pixel_notes(), *source.movie.notes]
            told += [f"{source.excerpt.name}: {note}" for note in notes]
        assessment = self.quality.assessment
        if assessment.kind in ("too quiet", "misfit"):
            told.append(f"around the molecules found {assessment.text}; look at a few frames (`regenerate`)")
        if summary.frames and not summary.rows + summary.earlier_rows:
            told.append(
                "no molecule was found: check that the movies are of the channels in the model's order and of "
                "the same frames, that no channel is dark, and the cameras' baselines and gains (`camera`)"
            )
        return [*told, *summary.doubts()]


def localize_together(
    channels: tuple[ChannelInput, ChannelInput],
    model: ChannelPipelines,
    given: GivenTransform,
    out: ListFile,
    *,
    over_frames: bool | None = None,
    watch: Watcher = SILENT,
) -> ChannelsSummary:
    """Localize both channels frame by frame, candidates and positions from both at once.

    Without a fit in the pipelines the network's list is written, with each molecule's light in both channels.
    channels: with the pipelines of the model;  given: the transform, None: the model's own;
    over_frames: whether the list is then fitted over frames (`ChannelsPass`), None: as it shows (`decide`);
    watch: told the frames done; where it stops the run, `ListFile.resume` goes on.
    Raises InputError where movies, model, transform or output do not fit.
    """
    hindrance = obstacle(channels[0].pipeline) if over_frames else ""
    if hindrance:
        raise InputError(hindrance, "let the frames be fitted, or leave it out (`over_frames=False`)")
    claim_list(out.path, overwrite=out.overwrite)
    claim_transform_file(out, given.pair or model.pair)
    with opened_together(channels, model, given, watch) as together:
        summary = together.summary
        write_channels_list(together.both, out, summary, watch, over_frames=over_frames)
        if summary.complete:
            summary.warnings += together.doubts()
    return summary


@contextmanager
def opened_together(
    channels: tuple[ChannelInput, ChannelInput], model: ChannelPipelines, given: GivenTransform, watch: Watcher
) -> Iterator[Together]:
    """Open both channels, check them and the transform, and look at the first frames of each.

    Raises InputError as `localize_together`.
    """
    for channel in channels:
        refuse_device(channel.pipeline)
    checked_frames(channels)
    known = channels[0].pipeline.experiment.known_shares is not None
    summary = ChannelsSummary(share=model.views[1].share, share_known=known)
    with ExitStack() as stack:
        sources = [stack.enter_context(channel.excerpt.open()) for channel in channels]
        fields = tuple(
            channel.field((source.movie.shape[1], source.movie.shape[2]))
            for channel, source in zip(channels, sources, strict=True)
        )
        pair, notes = pair_of_model(model, given, (fields[0], fields[1]))
        summary.warnings += notes
        movies = [
            judged_movie(channel, source, watch) for channel, source in zip(channels, sources, strict=True)
        ]
        found, quality = FromNetwork(movies, [pair]), QualitySample()
        summary.ends = found.depth_ends()
        for text in _first_looks(movies, found.blocks()):
            warn(watch, text)
            summary.warnings.append(text)

        def seen(made: FoundInChannels) -> None:
            quality.add(made.localizations)

        yield Together(BothChannels(found, found.blocks, movies, pair, seen), summary, quality)


def _first_looks(movies: list[ChannelMovie], blocks: list[Block]) -> list[str]:
    """What contradicts camera or model in the first block of each channel."""
    told = []
    for movie in movies:
        source = movie.source
        here = source.at_work(movie.pipeline)
        for block in blocks[:1]:
            findings = check_counts(here, source.read(*block))
            told += [
                f"{source.excerpt.name}, frames {block[0]} to {block[1] - 1}: {each.text}" for each in findings
            ]
    return told


def pair_of_model(
    model: ChannelPipelines, given: GivenTransform, fields: tuple[Field, Field]
) -> tuple[ChannelPair, list[str]]:
    """The transform to use, the model's own or a given one, and what a user should know of it.

    fields: the channels' own frames.
    Raises InputError where it was found with other pixels, contradicts the said mirror, or leads out of the
    second channel's frame.
    """
    own = model.pair
    pair = given.pair or own
    given.check_mirror(pair)
    told = []
    for field, known, which in zip(fields, pair.fields, ("first", "second"), strict=True):
        if abs(field.pixel_um - known.pixel_um) > _ROUNDING * known.pixel_um:
            raise InputError(
                f"{given.name} was found with pixels of {1000 * known.pixel_um:g} nm in the {which} channel, "
                f"the model has {1000 * field.pixel_um:g} nm there",
                "register lists of this recording (`register`)",
            )
        if field.size != known.size and not _is_identity(pair):
            told.append(
                f"the {which} channel's frames are {field.width} x {field.height} px, {given.name} was found "
                f"in frames of {known.width} x {known.height} px: it holds only from the same first pixel"
            )
    view = ChannelView("", pair.transform, pair.depth[0], 1.0, fields[1])
    if view.coverage(fields[0]) == 0:
        raise InputError(
            f"{given.name} takes the first channel's frame to places outside of the second one's frame of "
            f"{fields[1].width} x {fields[1].height} px",
            "give the transform of these two channels, in this order",
        )
    return pair, told + _unlike_training(own, pair, given.name)


def _unlike_training(own: ChannelPair, pair: ChannelPair, name: str) -> list[str]:
    """How the second channel's images differ by a transform from those that the network has learned."""
    turned = pair.transform.matrix @ torch.linalg.inv(own.transform.matrix)
    change = float(torch.linalg.matrix_norm(turned - torch.eye(2).double(), ord=2))
    deeper = pair.depth[0] - own.depth[0]
    told = []
    if change > _OTHER_SHAPE:
        told.append(
            f"by {name} the second channel is turned, mirrored or magnified against that of the training (by "
            f"{100 * change:.0f} % of a length): if its PSF is not round, train with this transform"
        )
    if abs(deeper) > _OTHER_DEPTH_UM:
        told.append(
            f"by {name} molecules seem {1000 * deeper:+.0f} nm deeper in the second channel than in the "
            "training: the network has not seen such pairs of images; train with this transform"
        )
    return told


def _is_identity(pair: ChannelPair) -> bool:
    """Whether every position stays where it is."""
    field = pair.fields[0]
    corners = torch.tensor([[0, 0], [field.width, 0], [0, field.height], [field.width, field.height]])
    corners = corners.double() * field.pixel_um
    return bool((pair.transform.apply(corners) - corners).abs().max() < _ROUNDING * field.pixel_um)
