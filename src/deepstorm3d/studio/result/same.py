"""The command lines and the Python that do what the panel "Result" shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...rendering.sections import AXES, Box
from ..command_line import command
from ..folder import Folder
from .look import ResultLook
from .picture import Drawing, Window
from .steps import Step

__all__ = ["python_lines", "shown_by_command", "step_lines", "window_box"]


def shown_by_command(look: ResultLook, folder: Folder) -> list[str]:
    """The commands that filter the list and draw what is seen; raises InputError where none is open."""
    if look.opened is None:
        raise InputError("no list is open", "choose one first")
    name, lines = folder.shown(look.opened.path), []
    if look.conditions.expression:
        kept = "kept.hdf5"
        lines.append(command("filter", name, look.conditions.expression, "--out", kept, *_pixel(look)))
        name = kept
    return [*lines, command("render", name, "--out", "picture.png", *_options(look))]


def step_lines(step: Step, folder: Folder) -> list[str]:
    """The commands that take a step, with paths as they are in the folder."""
    return [command(*(_shown(word, folder) for word in words)) for words in step.commands]


def python_lines(look: ResultLook, folder: Folder) -> str:
    """The Python that does the same."""
    if look.opened is None:
        return ""
    pixel = look.opened.wanted.pixel_nm
    unit = "" if pixel is None else f", pixel_um={pixel / 1000:g}"
    found = f"found = ds.read_table({folder.shown(look.opened.path)!r}{unit})"
    lines = ["import deepstorm3d as ds", "", found]
    if look.conditions.expression:
        lines.append(f"found = ds.filter(found, {look.conditions.expression!r})")
    return "\n".join([*lines, "ds.plot.rendering(found)"])


def window_box(drawing: Drawing, window: Window | None) -> Box:
    """The part of the sample that is seen: the section and the window together."""
    box = drawing.section
    if window is None:
        return box
    across, along = drawing.axes
    left, top, right, bottom = window.canvas.edges_um
    for axis, low, high in ((along, left, right), (across, top, bottom)):
        first, last = getattr(box, axis)
        if max(low, first) < min(high, last):
            box = replace(box, **{axis: (max(low, first), min(high, last))})
    return box


def _options(look: ResultLook) -> Iterator[str]:
    drawing, window = look.picture.drawing, look.picture.window
    if drawing.method == "blur":
        yield from ("--blur", f"{drawing.blur_nm:g}")
    else:
        yield from ("--method", drawing.method)
    if drawing.colour != "depth":
        yield from ("--colour", drawing.colour)
    if window is not None:
        yield from ("--pixel-nm", f"{1000 * window.pixel_um:.4g}")
    box = window_box(drawing, window)
    for axis in AXES:
        low, high = getattr(box, axis)
        if np.isfinite([low, high]).any():
            ends = ("" if not np.isfinite(end) else f"{end:.6g}" for end in (low, high))
            yield from (f"--{axis}", ":".join(ends))


def _pixel(look: ResultLook) -> tuple[str, ...]:
    pixel = None if look.opened is None else look.opened.wanted.pixel_nm
    return () if pixel is None else ("--pixel-nm", f"{pixel:g}")


def _shown(word: str, folder: Folder) -> str:
    path = Path(word)
    return folder.shown(path) if path.is_absolute() and path.is_relative_to(folder.root) else word
