"""The command that reads a set-up off a movie: estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .localizing_channels import Split, halves
from .making import Config
from .movie_options import Defects, Flip, Frames, MovieFile, Partial, Region, Subtract, Transpose, Window
from .options import (
    Assignments,
    Device,
    MaskFile,
    MoviePixel,
    Overwrite,
    SceneName,
    chosen_device,
    defect_choice,
    frame_range,
    micrometres,
    region,
)
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..calibration.movie_statistics.channels import ChannelsEstimate
    from ..calibration.movie_statistics.estimate import Estimate
    from ..calibration.movie_statistics.settings import EstimateSettings
    from ..experiment.experiment import Experiment
    from ..localizing.excerpt import Excerpt

__all__ = ["estimate"]


def estimate(
    movie: MovieFile,
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Experiment file to write (.yaml).")],
    picture: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="IMAGE",
            help="Picture of simulated and real frames. (default: next to the experiment, .png)",
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            "--second",
            metavar="MOVIE",
            help="Movie of a second channel: the experiment is then of both, with the light of each.",
        ),
    ] = None,
    split: Split = None,
    transform: Annotated[
        Path | None,
        typer.Option(
            "--transform",
            metavar="FILE",
            help="Where the second channel shows what the first does, as 'register' writes it. (default: as "
            "the experiment says)",
        ),
    ] = None,
    dark: Annotated[
        list[Path] | None,
        typer.Option(
            "--dark",
            metavar="MOVIE",
            help="Frames without light, to measure baseline and read noise. Of two cameras give two, in their "
            "order; with --split one is for both halves.",
        ),
    ] = None,
    baseline: Annotated[
        list[float] | None,
        typer.Option(
            "--baseline",
            metavar="ADU",
            help="Count without light, if it is known; the read noise is then estimated. Of two cameras give "
            "two; with --split one is for both halves.",
        ),
    ] = None,
    scene: SceneName = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|PATH",
            help="Estimate from the molecules that this trained model finds; of two channels give two. "
            "(default: from the pixel values alone)",
        ),
    ] = None,
    mask: MaskFile = None,
    device: Device = None,
    frames: Frames = None,
    roi: Region = None,
    flip: Flip = "none",
    transpose: Transpose = False,
    subtract: Subtract = "none",
    window: Window = 500,
    partial: Partial = False,
    pixel_nm: MoviePixel = None,
    defects: Defects = "auto",
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", min=0, help="Seed of the simulations. (default: the experiment's)"),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate photons, density, background and camera noise from a movie: an experiment to train with."""
    from ..experiment.configure import find_experiment
    from ..io.movies.preparation import Prepared
    from ..io.parts import beside
    from ..localizing.excerpt import Excerpt

    prepared = Prepared(flip=flip, transpose=transpose, subtract=subtract, window=window)
    said, choice = micrometres(pixel_nm), defect_choice(defects)
    excerpt = Excerpt(movie, frame_range(frames), region(roi), prepared, partial, pixel_um=said, defects=choice)
    if not model and (mask is not None or device is not None):
        raise InputError("--mask and --device are for the model; give --model too")
    experiment = find_experiment(config, assignments or ())
    asked = _Asked(dark or [], baseline or [], model or [], scene, seed, mask, device)
    files = _Files(out, beside(out, ".png") if picture is None else picture, overwrite)
    if second is not None or split is not None:
        _estimate_both(excerpt, _Second(second, split, transform), experiment, asked, files)
        return
    if transform is not None:
        raise InputError(
            "--transform is for two channels: give the movie of the second one (--second), or --split"
        )
    _estimate_one(excerpt, experiment, asked, files)


@dataclass(frozen=True)
class _Asked:
    """What is known beforehand, of each channel in order, and what is asked for."""

    dark: list[Path]
    baseline: list[float]
    model: list[str]
    scene: str | None
    seed: int | None
    mask: Path | None
    device: str | None

    def settings(self, number: int, experiment: Experiment) -> EstimateSettings:
        """Of a channel, whose one-channel experiment this is."""
        from ..calibration.movie_statistics.by_model import model_for
        from ..calibration.movie_statistics.settings import EstimateSettings

        pipeline = None
        if self.model:
            name = self.model[min(number, len(self.model) - 1)]
            pipeline = model_for(name, experiment, mask=self.mask, device=chosen_device(self.device))
        return EstimateSettings(
            dark=self.dark[number] if number < len(self.dark) else None,
            baseline=self.baseline[number] if number < len(self.baseline) else None,
            scene=self.scene,
            seed=self.seed,
            pipeline=pipeline,
        )

    def of_two(self, *, one_camera: bool) -> _Asked:
        """For two channels; what is known of one camera holds for both its halves.

        Raises InputError for more than two values, and for one value where there are two cameras.
        """
        self.refuse_more_than(2)
        if one_camera:
            both = replace(self, dark=self.dark * 2) if len(self.dark) == 1 else self
            return replace(both, baseline=self.baseline * 2) if len(self.baseline) == 1 else both
        for name, given in (("--dark", self.dark), ("--baseline", self.baseline)):
            if len(given) == 1:
                raise InputError(
                    f"{name} is given once, for two cameras",
                    "give it twice, in the order of the movies; of cameras that are alike the same twice",
                )
        return self

    def refuse_more_than(self, channels: int) -> None:
        """Raise InputError for more values than there are channels."""
        for name, given in (("--dark", self.dark), ("--baseline", self.baseline), ("--model", self.model)):
            if len(given) > channels:
                raise InputError(f"{name} is given {len(given)} times, for {channels} channel(s)")


@dataclass(frozen=True)
class _Files:
    """Where experiment and picture are written."""

    out: Path
    picture: Path
    overwrite: bool


@dataclass(frozen=True)
class _Second:
    """The second channel: its movie, or how the halves of the first lie; and the transform to it."""

    movie: Path | None
    split: str | None
    transform: Path | None


def _estimate_one(excerpt: Excerpt, experiment: Experiment, asked: _Asked, files: _Files) -> None:
    from ..jobs.estimate import estimate_movie

    if experiment.channels:
        raise InputError(
            f"this is the movie of one channel, the experiment '{experiment.name}' has "
            f"{', '.join(experiment.channel_names)}",
            "give the movie of the second one with --second, or --split if one movie has both",
        )
    asked.refuse_more_than(1)
    with ScreenWatcher("rounds of simulation") as watch:
        found = estimate_movie(
            excerpt,
            experiment,
            files.out,
            asked.settings(0, experiment),
            picture=files.picture,
            overwrite=files.overwrite,
            watch=watch,
        )
    _print(found)
    for path in (files.out, files.picture):
        say(f"wrote {path}")


def _estimate_both(
    excerpt: Excerpt, second: _Second, experiment: Experiment, asked: _Asked, files: _Files
) -> None:
    from ..jobs.channel_inputs import GivenTransform, halves_of_movie, second_excerpt
    from ..jobs.estimate_channels import estimate_channel_movies, pictures_of, with_transform

    side, mirrored = halves(second.split)
    if (second.movie is None) == (side is None):
        raise InputError("give the second movie (--second), or --split if one movie has both: one of these")
    if excerpt.roi is not None:
        raise InputError("--roi is for one channel: the second one would need its own region; crop the movies")
    asked = asked.of_two(one_camera=side is not None)
    experiment = with_transform(experiment, second.transform)
    name, channel = next(iter(experiment.channels.items()))
    told = f"the experiment '{experiment.name}'" if second.transform is None else second.transform.name
    GivenTransform(name=told, mirrored=mirrored).check_mirror(channel.read_transform(name))
    if side is not None:
        _, movies = halves_of_movie(excerpt, side, experiment.microscope.pixel_um)
    else:
        assert second.movie is not None
        movies = (excerpt, second_excerpt(excerpt, second.movie, experiment.of_channel(1)))
    settings = [asked.settings(number, experiment.of_channel(number)) for number in range(2)]
    with ScreenWatcher("rounds of simulation") as watch:
        found = estimate_channel_movies(
            movies,
            experiment,
            files.out,
            settings,
            picture=files.picture,
            overwrite=files.overwrite,
            watch=watch,
        )
    _print_both(found)
    for path in (files.out, *pictures_of(files.picture, experiment)):
        say(f"wrote {path}")


def _print_both(found: ChannelsEstimate) -> None:
    _print_changes(found.changes)
    result(
        f"{found.density:.3g} molecules/µm²; in all channels together {found.photons:,.0f} photons, background "
        f"{found.background:.3g} photons per pixel"
    )
    names = found.experiment.channel_names
    for name, alone, light, level in zip(names, found.alone, found.light, found.levels, strict=True):
        like = alone.similarity
        result(
            f"{name}: {light:.1%} of the light, {level:.1%} of the background; simulated against real frames "
            f"(0: alike): pixel values {like.values:.2f}, local contrasts {like.contrasts:.2f}, power spectra "
            f"{like.spectra:.2f}"
        )
    for note in found.notes:
        say(note)
    for warning in found.warnings:
        say_warning(warning)


def _print_changes(changes: list[tuple[str, Any, Any]]) -> None:
    shown = table("key", "old", "new")
    for key, old, new in changes:
        shown.add_row(key, _value(old), _value(new))
    show_table(shown)


def _print(found: Estimate) -> None:
    _print_changes(found.changes)
    guess, sigma = found.scene.guess, found.scene.light.sigma
    result(
        f"from {found.frames} frames: {guess.density:.3g} molecules/µm²{_share(sigma[0])}, "
        f"{guess.photons:,.0f} photons{_share(sigma[1])}, background {guess.background:.3g} photons per pixel"
    )
    similarity = found.similarity
    result(
        f"simulated against real frames (0: alike): pixel values {similarity.values:.2f}, local contrasts "
        f"{similarity.contrasts:.2f}, power spectra {similarity.spectra:.2f}"
    )
    for note in found.notes:
        say(note)
    for warning in found.warnings:
        say_warning(warning)


def _share(sigma: float) -> str:
    return "" if math.isnan(sigma) else f" (± {sigma:.0%})"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " to ".join(_value(each) for each in value)
    return "–" if value is None else f"{value:,g}" if isinstance(value, float) else str(value)
