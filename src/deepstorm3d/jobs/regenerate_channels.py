"""Regenerate in several channels: the images that one list predicts in each, beside their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..analysis.fit_quality import DevianceAssessment
from ..brief import Brief
from ..channels import ChannelPair
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..io.tables import TableHeader, read_list, read_truth
from ..io.transforms import read_transform
from ..plot.frames_beside import channel_overlays
from ..plot.panels import save_figure
from .channel_inputs import ChannelInput
from .channels_record import recorded_transform, transform_file
from .movie_of_list import doubts_of_movie
from .regenerate import RegeneratedFrame, read_frame, regenerated

__all__ = [
    "RegeneratedChannels",
    "names_of",
    "regenerate_channels",
    "regenerated_channels",
    "rows_in_channels",
    "transform_beside",
    "with_doubts",
]


@dataclass(frozen=True, repr=False)
class RegeneratedChannels(Brief):
    """A frame in every channel beside the images that one list predicts there.

    frames: of each channel, in order; their rows are the same, each in its channel's own µm;
    shares: the part of the molecules' light that each channel has, of molecules that all channels show;
    listed: the same of the second channel as the list has it, None where it has none.
    """

    frames: tuple[RegeneratedFrame, ...]
    shares: tuple[float, ...]
    listed: float | None = None

    def __str__(self) -> str:
        """A line for each channel."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """What each channel shows, in words."""
        told = []
        for number, (frame, share) in enumerate(zip(self.frames, self.shares, strict=True)):
            report = frame.report
            there = f" (in the list: {self.listed:.1%})" if number == 1 and self.listed is not None else ""
            told.append(
                f"{frame.name}: {report.localizations} localizations, correlation {report.correlation:.3f}, "
                f"deviance {report.deviance_per_pixel:.2f} per pixel (1: nothing left but noise), "
                f"{share:.1%} of the molecules' light{there}"
            )
        return told

    @property
    def assessments(self) -> list[tuple[str, DevianceAssessment]]:
        """Name and verdict of each channel that noise alone does not explain."""
        judged = [(frame.name, frame.report.assessment) for frame in self.frames]
        return [(name, verdict) for name, verdict in judged if verdict.text]


def regenerated_channels(
    found: Localizations, channels: Sequence[ChannelInput], pairs: Sequence[ChannelPair], *, frame: int = 0
) -> RegeneratedChannels:
    """Fit photons and background of every channel at the places where it shows the molecules of a list.

    found: rows of the recording, positions in the first channel;  channels: movie and image model of each;
    pairs: of each further channel, from the first one's positions to its own;  frame: from 0.
    A region (`Excerpt.roi`) is drawn alone: rows outside of it get no light.
    Raises InputError where the frame is not in the movies, or the movies do not fit the models.
    """
    rows = found.select(found.frame == frame).shift(frames=-frame)
    frames, inside = [], torch.ones(len(rows), dtype=torch.bool)
    places = rows_in_channels(rows, pairs)
    for channel, here, name in zip(channels, places, names_of(channels), strict=True):
        pipeline, seen, told = read_frame(channel.excerpt, channel.pipeline, frame)
        here = here.shift(xyz=channel.begin_um)
        made = regenerated(pipeline, here.to(pipeline.device), seen)
        shown = pipeline.field_of(seen.photons).inside(here.xyz)
        inside &= shown
        report = replace(made.report, localizations=int(shown.sum()), notes=(*told, *made.report.notes))
        frames.append(replace(made, report=report, name=name))
    light = torch.stack([made.light.double().cpu()[inside].sum() for made in frames])
    shares = light / light.sum().clamp(min=1e-9)
    return RegeneratedChannels(tuple(frames), tuple(shares.tolist()), _listed(rows.select(inside)))


def with_doubts(
    made: RegeneratedChannels, header: TableHeader, channels: Sequence[ChannelInput]
) -> RegeneratedChannels:
    """The same frames, with notes where the list's record names other movies (`doubts_of_movie`)."""
    frames = []
    for number, (frame, channel) in enumerate(zip(made.frames, channels, strict=True)):
        doubts = doubts_of_movie(header, channel.excerpt, channel=number)
        frames.append(replace(frame, report=replace(frame.report, notes=(*doubts, *frame.report.notes))))
    return replace(made, frames=tuple(frames))


def rows_in_channels(rows: Localizations, pairs: Sequence[ChannelPair]) -> list[Localizations]:
    """The same rows where each channel has them, the first one's as they are; σ stay those of the first."""
    return [rows, *(replace(rows, xyz=_moved(rows.xyz, pair)) for pair in pairs)]


def regenerate_channels(
    locs: Path,
    channels: Sequence[ChannelInput],
    pairs: Sequence[ChannelPair],
    out: Path,
    *,
    frame: int = 0,
    truth: Path | None = None,
) -> RegeneratedChannels:
    """Draw one frame of every channel beside the images regenerated from a list of all of them.

    channels, pairs, frame: as of `regenerated_channels`;  truth: list of true emitters to mark, if known, with
    positions in the first channel.
    """
    pixel_um = channels[0].pipeline.experiment.microscope.pixel_um
    found, header = read_list(locs, pixel_um=pixel_um)
    made = with_doubts(regenerated_channels(found, channels, pairs, frame=frame), header, channels)
    known: list[Emitters] = []
    if truth is not None:
        emitters = read_truth(truth, pixel_um=pixel_um)
        first = emitters.select(emitters.frame == frame).shift(frames=-frame)
        there = [first, *(replace(first, xyz=_moved(first.xyz, pair)) for pair in pairs)]
        known = [rows.shift(xyz=channel.begin_um) for rows, channel in zip(there, channels, strict=True)]
    save_figure(channel_overlays(made.frames, truth=known, title=f"Frame {frame}"), out)
    return made


def transform_beside(
    locs: Path, given: Path | None, header: TableHeader, own: ChannelPair | None = None
) -> ChannelPair:
    """The transform that is given, or that the list records, or whose file lies beside it, or the model's own.

    header: of the list;  own: transform of a model of both channels.
    Raises InputError where there is none.
    """
    recorded = None if given is not None else recorded_transform(header.provenance)
    if recorded is not None:
        return recorded
    beside = transform_file(locs)
    if given is None and not beside.is_file():
        if own is not None:
            return own
        raise InputError(
            f"where the second channel shows the molecules of {locs.name} is not known: it does not "
            f"say it, and there is no {beside.name} beside it",
            "give the transform that it was localized with (`transform`)",
        )
    return read_transform(given or beside, pixel_um=header.pixel_um)


def names_of(channels: Sequence[ChannelInput]) -> list[str]:
    """The movies' names; of one camera that shows both channels, with the order of the channels."""
    names = [channel.excerpt.name for channel in channels]
    if len(set(names)) == len(names):
        return names
    return [f"{name}, channel {number}" for number, name in enumerate(names, 1)]


def _moved(xyz: Tensor, pair: ChannelPair) -> Tensor:
    """Positions (N, 3) µm of the first channel in another."""
    xy = pair.transform.apply(xyz[:, :2])
    return torch.cat([xy.to(xyz), xyz[:, 2:] + pair.depth[0]], dim=1)


def _listed(rows: Localizations) -> float | None:
    """Share of the light that the second channel has of rows, as the list says."""
    if rows.share is None or not float(rows.photons.sum()) > 0:
        return None
    return float((rows.share * rows.photons).sum() / rows.photons.sum())
