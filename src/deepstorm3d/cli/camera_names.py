"""Cameras by name, for `config --camera`: the list of them, and what to know of the one taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import say, say_warning, show_table, table

if TYPE_CHECKING:
    from ..experiment.camera_sheets import CameraSheet
    from ..experiment.experiment import Experiment

__all__ = ["CameraName", "tell_camera"]


def _list(name: str | None) -> str | None:
    """Show the list where it is asked for, and end."""
    if name != "list":
        return name
    from ..experiment.camera_sheets import CAMERA_SHEETS

    shown = table(
        "name", "camera", "pixel (µm)", "full well (e-)", "read noise (e-)", "e-/count", "offset", "bits"
    )
    for key, sheet in CAMERA_SHEETS.items():
        shown.add_row(
            key,
            sheet.title,
            f"{sheet.pitch_um:g}",
            f"{sheet.full_well:,.0f}",
            f"{sheet.read_noise:g} ({sheet.of_pixels})",
            "own" if sheet.electrons_per_count is None else f"{sheet.electrons_per_count:g}",
            "own" if sheet.offset is None else f"{sheet.offset:g}",
            f"{sheet.bits}",
        )
    show_table(shown)
    say("figures of data sheets, to start from; own: each camera has its own, on its certificate")
    raise typer.Exit()


CameraName = Annotated[
    str | None,
    typer.Option(
        "--camera",
        metavar="NAME|list",
        help="Start from the data sheet of a common camera; 'list' shows which there are. (default: the "
        "preset's camera)",
        callback=_list,
        is_eager=True,
    ),
]


def tell_camera(sheet: CameraSheet, experiment: Experiment) -> None:
    """What the user should know of a camera that was taken from the list."""
    say(f"camera: {sheet.title}, figures of the data sheet ({sheet.source}); yours differs: measure it")
    pitch = experiment.microscope.camera_pitch
    if pitch != sheet.pitch_um:
        say_warning(
            f"the camera's pixels are {sheet.pitch_um:g} µm, microscope.camera_pitch is {pitch:g} µm: "
            "--with-pitch takes the camera's"
        )
    if any(scene.background.levels[1] == 0 for scene in experiment.scenes.values()):
        say_warning(
            "a scene of this preset has no background, for its frames were minimum-subtracted; the raw frames "
            "of a camera have one: set scenes.*.background, or let 'deepstorm3d estimate' find it"
        )
