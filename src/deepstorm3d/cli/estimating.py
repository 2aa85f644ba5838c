"""The command that reads a set-up off a movie: estimate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .making import Config
from .movie_options import Defects, Flip, Frames, MovieFile, Partial, Region, Subtract, Transpose, Window
from .options import (
    Assignments,
    Device,
    MaskFile,
    MoviePixel,
    Overwrite,
    chosen_device,
    defect_choice,
    frame_range,
    micrometres,
    region,
)
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..calibration.movie_statistics.estimate import Estimate

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
    dark: Annotated[
        Path | None,
        typer.Option(
            "--dark", metavar="MOVIE", help="Frames without light, to measure baseline and read noise."
        ),
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(
            "--baseline",
            metavar="ADU",
            help="Count without light, if it is known; the read noise is then estimated.",
        ),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option("--scene", metavar="NAME", help="Scene of the experiment to use. (default: the first)"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|PATH",
            help="Estimate from the molecules that this trained model finds. (default: from the pixel values "
            "alone)",
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
    from ..calibration.movie_statistics.by_model import model_for
    from ..calibration.movie_statistics.estimate import EstimateSettings
    from ..experiment.configure import find_experiment
    from ..io.movies.preparation import Prepared
    from ..jobs.estimate import estimate_movie
    from ..localizing.excerpt import Excerpt

    prepared = Prepared(flip=flip, transpose=transpose, subtract=subtract, window=window)
    said, choice = micrometres(pixel_nm), defect_choice(defects)
    excerpt = Excerpt(movie, frame_range(frames), region(roi), prepared, partial, pixel_um=said, defects=choice)
    if model is None and (mask is not None or device is not None):
        raise InputError("--mask and --device are for the model; give --model too")
    experiment = find_experiment(config, assignments or ())
    pipeline = None
    if model is not None:
        pipeline = model_for(model, experiment, mask=mask, device=chosen_device(device))
    picture = out.with_suffix(".png") if picture is None else picture
    settings = EstimateSettings(dark=dark, baseline=baseline, scene=scene, seed=seed, pipeline=pipeline)
    with ScreenWatcher("rounds of simulation") as watch:
        found = estimate_movie(
            excerpt,
            experiment,
            out,
            settings,
            picture=picture,
            overwrite=overwrite,
            watch=watch,
        )
    _print(found)
    for path in (out, picture):
        say(f"wrote {path}")


def _print(found: Estimate) -> None:
    shown = table("key", "old", "new")
    for key, old, new in found.changes:
        shown.add_row(key, _value(old), _value(new))
    show_table(shown)
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
