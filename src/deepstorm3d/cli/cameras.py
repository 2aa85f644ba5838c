"""The command that measures a camera: camera-maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning
from .options import Assignments, Overwrite
from .progress import ScreenWatcher

__all__ = ["camera_maps"]


def camera_maps(
    dark: Annotated[
        Path,
        typer.Argument(
            metavar="DARK", help="Movie without light, raw counts, with the exposure time of your movies."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the maps, camera.yaml and a picture.")
    ],
    bright: Annotated[
        list[Path] | None,
        typer.Option(
            "--bright", metavar="MOVIE", help="Movie of steady, even light; repeatable, one for each level."
        ),
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option(
            "--gain", metavar="ADU/E-", help="Counts per electron from a data sheet, if there is no --bright."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="MOVIE",
            help="Another dark movie, to test the maps with. (default: the two halves of DARK are compared)",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="CONFIG",
            help="Experiment or preset into which --experiment-out puts this camera.",
        ),
    ] = None,
    experiment_out: Annotated[
        Path | None,
        typer.Option(
            "--experiment-out", metavar="FILE", help="Experiment file to write: CONFIG with this camera."
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure baseline, gain and read noise of every pixel from dark and evenly lit movies."""
    from ..experiment.configure import find_experiment
    from ..jobs.camera_maps import Recordings, measure_camera

    if (config is None) != (experiment_out is None):
        raise InputError("--config and --experiment-out go together: give both or neither")
    if config is None and assignments:
        raise InputError("--set changes the experiment: give --config and --experiment-out too")
    if gain is not None and not 0 < gain < 1e6:
        raise InputError(f"--gain {gain:g}: counts per electron must be above 0")
    experiment = None if config is None else find_experiment(config, assignments or ())
    with ScreenWatcher("frames") as watch:
        found = measure_camera(
            Recordings(dark, tuple(bright or ()), check, gain),
            out,
            experiment=experiment,
            experiment_out=experiment_out,
            overwrite=overwrite,
            watch=watch,
        )
    for sentence in found.warnings:
        say_warning(sentence)
    for sentence in found.lines():
        result(sentence)
    for path in found.files:
        say(f"wrote {path}")
    maps = " ".join(
        f"--camera {name}={getattr(found.camera, name)}" for name in ("baseline", "gain", "read_noise")
    )
    say(f"for one movie: deepstorm3d localize ... {maps}")
