"""The command line and the Python that do what the panel "Limits" does."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ..command_line import command
from ..folder import Folder
from .bounds import Question
from .design import DesignSettings

__all__ = ["design_command", "limit_command", "limit_python"]


def limit_command(asked: Question | None, source: str, folder: Folder, picture: str = "limit.png") -> str:
    """The command that computes these bounds and writes their picture and table.

    Raises InputError where there is no experiment yet.
    """
    if asked is None:
        raise InputError("there is no experiment yet", "choose one first")
    words = ["limit", source or "experiment.yaml"]
    for mask in asked.masks:
        if mask.given:
            words += ["--mask", _shown(mask.given, folder)]
    if asked.scene is not None:
        words += ["--scene", asked.scene]
    if asked.photons is not None:
        words += ["--photons", f"{asked.photons:g}"]
    if asked.background is not None:
        words += ["--background", f"{asked.background:g}"]
    words += ["--out", picture, "--csv", str(Path(picture).with_suffix(".csv"))]
    unsaved = "" if source else "# save the experiment on the panel Set-up as experiment.yaml first\n"
    return unsaved + command(*words)


def limit_python(asked: Question | None, source: str, folder: Folder) -> str:
    """The Python that computes these bounds."""
    if asked is None:
        return ""
    masks = {mask.name: _shown(mask.given, folder) if mask.given else None for mask in asked.masks}
    options = {"scene": asked.scene, "photons": asked.photons, "background": asked.background}
    more = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return "\n".join(
        (
            "import deepstorm3d as ds",
            "",
            f"report = ds.limit({source or 'experiment.yaml'!r}, {masks!r}{more})",
            "ds.plot.limit(report)",
        )
    )


def design_command(settings: DesignSettings, source: str) -> str:
    """The command that designs the mask."""
    return command(*settings.arguments(source or "experiment.yaml"))


def _shown(given: str, folder: Folder) -> str:
    """A mask as a command in the folder takes it: a kind by its name, a file relative to the folder."""
    return folder.shown(Path(given)) if Path(given).suffix else given
