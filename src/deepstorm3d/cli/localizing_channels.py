"""The command localize for two channels of one recording: two movies, or the halves of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .console import result, say, say_warning
from .failures import INTERRUPTED
from .progress import REMARKS, ScreenWatcher

if TYPE_CHECKING:
    from ..channels.camera_halves import Side
    from ..jobs.channel_inputs import BothPipelines, ChannelInput, GivenTransform
    from ..jobs.channels_summary import ChannelsSummary
    from ..jobs.localize import ListFile
    from ..localizing.excerpt import Excerpt
    from ..localizing.recipe import Recipe

__all__ = [
    "ChannelOptions",
    "LightKnown",
    "Models",
    "SecondMovie",
    "Split",
    "TransformFile",
    "halves",
    "localize_both",
    "opened_both",
    "preview_both",
]

SecondMovie = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SECOND]",
        help="Movie of a second channel: every frame is then fitted in both channels at once.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="A built-in model ('deepstorm3d models' lists them) or a model file. Of two channels give two, in "
        "their order, or one: for both alike, or trained for two channels.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="left-right|top-bottom[,mirrored]",
        help="MOVIE has two channels, in the halves of its frames; the first is named first.",
    ),
]
TransformFile = Annotated[
    Path | None,
    typer.Option(
        "--transform",
        metavar="FILE",
        help="Where the second channel shows what the first does, as 'register' writes it. (default: as a "
        "model of two channels was trained, else found from the molecules of both)",
    ),
]
LightKnown = Annotated[
    bool | None,
    typer.Option(
        "--light-known/--light-free",
        show_default=False,
        help="Of a model of two channels: every molecule has just the share of its light in each channel that "
        "the model's experiment says, or each its own. (default: as its light_known says)",
    ),
]
_SIDES = ("left-right", "top-bottom")


@dataclass(frozen=True)
class ChannelOptions:
    """What is said of the channels: movie of the second one, halves, models, transform, known shares."""

    second: Path | None
    split: str | None
    models: list[str]
    transform: Path | None
    light_known: bool | None = None

    @property
    def wanted(self) -> bool:
        """Whether there are two channels."""
        if self.second is not None or self.split is not None:
            return True
        for given, name in (
            (self.transform is not None, "--transform"),
            (len(self.models) > 1, "a second --model"),
            (self.light_known is not None, "--light-known/--light-free"),
        ):
            if given:
                raise InputError(f"{name} is for two channels: give the movie of the second one, or --split")
        return False


@dataclass(frozen=True)
class _Both:
    """Movies, models and transform of both channels, ready for work."""

    channels: tuple[ChannelInput, ChannelInput]
    pipelines: BothPipelines
    transform: GivenTransform


def opened_both(excerpt: Excerpt, recipe: Recipe, options: ChannelOptions) -> _Both:
    """What the options say; excerpt and recipe: of the first movie and the first model."""
    from ..io.transforms import read_transform
    from ..jobs.channel_inputs import (
        ChannelInput,
        GivenTransform,
        both_pipelines,
        halves_as_channels,
        second_movie,
    )

    side, mirrored = halves(options.split)
    if (options.second is None) == (side is None):
        raise InputError("give the movie of the second channel, or --split if one movie has both: one of these")
    if excerpt.roi is not None:
        raise InputError("--roi is for one channel: the second one would need its own region; crop the movies")
    recipes = [replace(recipe, model=name, light_known=options.light_known) for name in options.models]
    loaded = [(each.load(), each.file()) for each in recipes]
    both = both_pipelines(loaded, recipe.camera)
    pipelines = both.pipelines
    for sentence in both.notes:
        say(sentence)
    if side is not None:
        channels: Any = halves_as_channels(excerpt, pipelines, side)
    else:
        assert options.second is not None
        channels = (
            ChannelInput(excerpt, pipelines[0]),
            second_movie(excerpt, options.second, pipelines[1]),
        )
    given = GivenTransform(mirrored=mirrored)
    if options.transform is not None:
        pair = read_transform(options.transform, pixel_um=pipelines[0].experiment.microscope.pixel_um)
        given = GivenTransform(pair, options.transform.name, mirrored)
    return _Both(channels, both, both.transform(given))


def localize_both(both: _Both, file: ListFile, *, over_frames: bool | None) -> None:
    """Localize two channels and write their list, fitted over frames too where that is asked for or pays."""
    from ..jobs.localize_channels import localize_channels
    from ..jobs.localize_together import localize_together

    together = both.pipelines.together
    unit = "frames" if together is not None else "frames in three passes"
    with ScreenWatcher(unit, stoppable=True) as watch:
        if together is not None:
            summary = localize_together(
                both.channels, together, both.transform, file, over_frames=over_frames, watch=watch
            )
        else:
            summary = localize_channels(
                both.channels, both.transform, file, over_frames=over_frames, watch=watch
            )
    _report(summary, file.path)


def preview_both(both: _Both, folder: Path, frames: int) -> None:
    """Draw a few frames of both channels into a folder, and say whether the models fit them."""
    from ..jobs.preview_channels import preview_channels

    seen = preview_channels(both.channels, both.pipelines, both.transform, folder, frames=frames, watch=REMARKS)
    for line in seen.lines:
        result(line)


def halves(split: str | None) -> tuple[Side | None, bool | None]:
    """How the halves lie, and whether the second is said to be mirrored (None: not said)."""
    if split is None:
        return None, None
    side, *more = (part.strip() for part in split.split(","))
    if side not in _SIDES or more not in ([], ["mirrored"]):
        raise InputError(f"--split is left-right or top-bottom, with ,mirrored after it or not; got '{split}'")
    return side, True if more else None  # pyright: ignore[reportReturnType]


def _report(summary: ChannelsSummary, out: Path) -> None:
    """What was found, and what the user should know of it."""
    for warning in dict.fromkeys(summary.warnings):
        say_warning(warning)
    if not summary.complete:
        decided = summary.over_frames is not None
        where = " while fitting over frames" if decided else ""
        more = "; with --separate too it writes the list of single frames" if decided else ""
        say(f"stopped{where}; the same command with --resume goes on{more}")
        raise typer.Exit(INTERRUPTED)
    if summary.transform is not None:
        say(f"wrote the transform that was found from both lists: {summary.transform}")
    alone = ""
    if summary.alone:
        alone = f" ({' and '.join(map(str, summary.alone))} in each alone, of all frames)"
    rows, frames = summary.rows + summary.earlier_rows, summary.frames + summary.earlier
    seen = f", {summary.together} of them seen in both channels"
    if summary.earlier:
        seen = (
            f" ({summary.earlier_rows} in {summary.earlier} of them before it went on); {summary.together} of "
            f"the {summary.rows} since then seen in both channels"
        )
    result(f"{out}: {rows} localizations in {frames} frames{seen}{alone}")
    if summary.refitted is not None:
        result(f"fitted over frames and channels: the list has {summary.refitted} localizations of them")
