"""Preview of two channels: a few frames before a long run, both channels beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import plot
from ..channels import ChannelPair
from ..emitters import Localizations
from ..frames.no_light import without_light
from ..io.parts import make_folder
from ..localizing.first_look import check_counts
from ..localizing.over_channels import ChannelMovie, refuse_unfit
from ..localizing.pipeline import Pipeline
from ..pixels.reading import Light
from ..plot.frames_beside import channel_overlays
from ..plot.panels import save_figure
from ..watch import SILENT, Watcher
from .channel_inputs import BothPipelines, ChannelInput, GivenTransform, checked_frames, judged_movie
from .frame_of_channels import FramesOfChannels
from .localize_together import pair_of_model
from .preview import conclusion, simulated_like
from .regenerate import RegeneratedFrame, RegenerateReport, regenerated
from .regenerate_channels import names_of

__all__ = ["ChannelsPreview", "preview_channels"]


@dataclass(frozen=True)
class ChannelsPreview:
    """What the preview saw of both channels: a report of each frame by its number, and the verdict in words."""

    frames: tuple[dict[int, RegenerateReport], dict[int, RegenerateReport]]
    fits: tuple[bool, bool]
    lines: list[str]


def preview_channels(
    channels: tuple[ChannelInput, ChannelInput],
    both: BothPipelines,
    given: GivenTransform,
    out_dir: Path,
    *,
    frames: int = 3,
    watch: Watcher = SILENT,
) -> ChannelsPreview:
    """Localize a few frames spread evenly over both movies, draw them, and compare them with simulated ones.

    Writes ``frame_K.png`` for each, the channels beside each other, ``histogram_first.png`` and
    ``histogram_second.png`` into out_dir. Without a transform each channel is localized by itself: a few frames
    seldom have enough molecules to find one.
    given: of `BothPipelines.transform`;  frames: how many;  watch: told what is worked on, before each frame.
    Raises InputError as `localize_together` and `localize_channels`.
    """
    if both.together is None:
        refuse_unfit(*both.pipelines)
    checked_frames(channels)
    make_folder(out_dir)
    with ExitStack() as stack:
        sources = [stack.enter_context(channel.excerpt.open()) for channel in channels]
        pair, told = _pair(channels, both, given, [source.movie.shape[1:] for source in sources])
        first, second = (
            judged_movie(channel, source, watch) for channel, source in zip(channels, sources, strict=True)
        )
        movies = (first, second)
        told += [note for movie in movies for note in movie.source.pixel_notes()]
        place = FramesOfChannels(movies, pair, both.together is not None, without_light=True)
        span = first.source.span[0], first.source.last - 1
        numbers = np.unique(np.linspace(*span, frames).round().astype(int)).tolist()
        seen: dict[int, tuple[RegeneratedFrame, ...]] = {}
        for at, number in enumerate(numbers, 1):
            watch.message(f"frame {number} ({at} of {len(numbers)}): localizing and drawing it")
            found = place(number, watch)
            made = zip(movies, found.rows, found.lights, names_of(channels), strict=True)
            seen[number] = tuple(_drawn(movie, rows, light, number, name) for movie, rows, light, name in made)
            figure = channel_overlays(seen[number], title=f"Frame {number}")
            save_figure(figure, out_dir / f"frame_{number}.png")
        watch.message("comparing them with simulated frames")
        return _judged(movies, names_of(channels), seen, told, out_dir)


def _pair(
    channels: Sequence[ChannelInput],
    both: BothPipelines,
    given: GivenTransform,
    shapes: Sequence[tuple[int, ...]],
) -> tuple[ChannelPair | None, list[str]]:
    """The transform, None where it is not known yet, and what a user should know of it."""
    if both.model is not None:
        one, other = (
            channel.field((shape[0], shape[1])) for channel, shape in zip(channels, shapes, strict=True)
        )
        return pair_of_model(both.model, given, (one, other))
    if given.pair is None:
        return None, ["without a transform each channel is localized by itself here; a run finds it"]
    given.check_mirror(given.pair)
    return given.pair, []


def _drawn(movie: ChannelMovie, rows: Localizations, light: Light, number: int, name: str) -> RegeneratedFrame:
    """A channel's frame beside the image that the rows predict; counted are those that it shows."""
    pipeline, (x, y) = movie.source.at_work(movie.pipeline), movie.corner_um
    rows = rows.shift(xyz=(-x, -y, 0.0), frames=-number)
    made = regenerated(pipeline, rows.to(pipeline.device), light)
    shown = pipeline.field_of(light.photons).inside(made.found.xyz)
    return replace(made, report=replace(made.report, localizations=int(shown.sum())), name=name)


def _judged(
    movies: tuple[ChannelMovie, ChannelMovie],
    names: Sequence[str],
    seen: dict[int, tuple[RegeneratedFrame, ...]],
    told: list[str],
    out_dir: Path,
) -> ChannelsPreview:
    """The verdict on each channel, beside the histogram of its frames."""
    reports, fits, lines = list[dict[int, RegenerateReport]](), list[bool](), list[str]()
    for channel, (movie, name, which) in enumerate(zip(movies, names, ("first", "second"), strict=True)):
        here = {number: frames[channel] for number, frames in seen.items()}
        real = torch.stack([frame.photons for frame in here.values()]).cpu()
        pipeline = movie.source.at_work(movie.pipeline)
        figure = plot.histogram(simulated_like(pipeline, real), real, title=name)
        save_figure(figure, out_dir / f"histogram_{which}.png")
        counts = np.concatenate([movie.source.read(number, number + 1) for number in here])
        reports.append({number: frame.report for number, frame in here.items()})
        fit, said = conclusion(reports[-1], _findings(pipeline, counts, list(here)))
        fits.append(fit)
        notes = [f"frame {at}: {note}" for at, report in reports[-1].items() for note in report.notes]
        lines += [f"{name}: {line}" for line in (*notes, *said)]
    return ChannelsPreview((reports[0], reports[1]), (fits[0], fits[1]), [*dict.fromkeys(told), *lines])


def _findings(pipeline: Pipeline, counts: NDArray[Any], numbers: Sequence[int]) -> list[str]:
    """Frames (B, H, W) without light, by their numbers, and what contradicts camera and model in the others."""
    reasons = [without_light(frame[None], pipeline.camera.saturation) for frame in counts]
    dark = [f"frame {number}: {reason}" for number, reason in zip(numbers, reasons, strict=True) if reason]
    lit = counts[[not reason for reason in reasons]]
    return [*dark, *(finding.text for finding in (check_counts(pipeline, lit) if len(lit) else []))]
