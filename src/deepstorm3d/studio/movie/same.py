"""The command line and the Python that localize as the panel "Movie" does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ...errors import InputError
from ...localizing.excerpt import AS_STORED
from ..command_line import command
from ..folder import Folder
from .explained import Question

__all__ = ["camera_pairs", "command_line", "model_name", "python_lines"]


def camera_pairs(text: str) -> tuple[tuple[str, object], ...]:
    """``baseline=100, gain=2.2`` as pairs; raises InputError where it is not written so."""
    pairs = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"'{part}': write key=value, for example baseline=100")
        pairs.append((key.strip(), yaml.safe_load(value)))
    return tuple(pairs)


def model_name(model: str, folder: Folder) -> str:
    """A built-in model's name, or the model's file as a command in the folder takes it."""
    return folder.shown(Path(model)) if Path(model).is_absolute() else model


def command_line(asked: Question, folder: Folder) -> str:
    """The command that localizes the whole movie like this; raises InputError without a movie or a model."""
    if asked.movie is None or not asked.model:
        raise InputError("there is no command yet", "choose a movie and a model first")
    words = [folder.shown(asked.movie), *(() if asked.second is None else (folder.shown(asked.second),))]
    return command("localize", *words, *_options(asked, folder), "--out", "found.hdf5")


def _options(asked: Question, folder: Folder) -> Iterator[str]:
    yield from ("--model", model_name(asked.model, folder))
    if asked.has_two:
        yield from _options_of_two(asked, folder)
    if asked.mask is not None:
        yield from ("--mask", folder.shown(asked.mask))
    for key, value in asked.camera:
        yield from ("--camera", f"{key}={value}")
    if asked.threshold is not None:
        yield from ("--threshold", f"{asked.threshold:g}")
    if not asked.refine:
        yield "--no-refine"
    if asked.roi is not None:
        yield from ("--roi", ",".join(map(str, asked.roi)))
    prepared = asked.prepared
    if prepared.flip != "none":
        yield from ("--flip", prepared.flip)
    if prepared.transpose:
        yield "--transpose"
    if prepared.subtract != "none":
        yield from ("--subtract", prepared.subtract, "--window", str(prepared.window))
    if asked.pixel_um is not None:
        yield from ("--pixel-nm", f"{1000 * asked.pixel_um:g}")


def _options_of_two(asked: Question, folder: Folder) -> Iterator[str]:
    if asked.second_model:
        yield from ("--model", model_name(asked.second_model, folder))
    if asked.split:
        yield from ("--split", asked.split)
    if asked.transform is not None:
        yield from ("--transform", folder.shown(asked.transform))


def python_lines(asked: Question, folder: Folder) -> str:
    """The Python that finds what is shown in this frame."""
    if asked.movie is None or not asked.model:
        return ""
    if asked.has_two:
        return _python_of_two(asked, folder)
    named = {"camera": dict(asked.camera) or None, "threshold": asked.threshold}
    more = "".join(f", {name}={value!r}" for name, value in named.items() if value is not None)
    where = [f"frames=({asked.frame}, {asked.frame + 1})"]
    if asked.roi is not None:
        where.append(f"roi={asked.roi}")
    where += _read(asked)
    return "\n".join(
        (
            *_imports(asked),
            "",
            f"model = {_loaded(asked.model, asked, folder)}",
            f"part = ds.Excerpt({folder.shown(asked.movie)!r}, {', '.join(where)})",
            f"found = model.localize(part{more}{'' if asked.refine else ', refine=False'})",
        )
    )


def _python_of_two(asked: Question, folder: Folder) -> str:
    """The Python that finds the molecules of both channels in the whole recording."""
    at = "" if asked.threshold is None else f".at_threshold({asked.threshold:g})"
    models = ", ".join(f"{_loaded(name, asked, folder)}{at}" for name in asked.models)
    assert asked.movie is not None
    read = _read(asked)
    first, *others = [
        f"ds.Excerpt({', '.join((repr(folder.shown(path)), *read))})" if read else repr(folder.shown(path))
        for path in (asked.movie, asked.second)
        if path is not None
    ]
    second = others[0] if others else repr(asked.split)
    more = "" if asked.transform is None else f", transform={folder.shown(asked.transform)!r}"
    more += f", camera={dict(asked.camera)!r}" if asked.camera else ""
    return "\n".join(
        (
            *_imports(asked),
            "",
            f"models = [{models}]",
            f"first, second = {first}, {second}",
            f"found = ds.localize_channels(first, second, models{more})",
        )
    )


def _imports(asked: Question) -> list[str]:
    more = [] if asked.prepared == AS_STORED else ["from deepstorm3d.io.movies.preparation import Prepared"]
    return ["import deepstorm3d as ds", *more]


def _loaded(model: str, asked: Question, folder: Folder) -> str:
    """The model, with the mask where it holds only the hash of it."""
    mask = "" if asked.mask is None else f", mask={folder.shown(asked.mask)!r}"
    return f"ds.load_model({model_name(model, folder)!r}{mask})"


def _read(asked: Question) -> list[str]:
    """How the frames are read, as arguments of `Excerpt`; none where they are read as they are stored."""
    made, prepared = [], asked.prepared
    changed = {name: value for name, value in prepared if value != getattr(AS_STORED, name)}
    if changed:
        made.append(f"prepared=Prepared({', '.join(f'{name}={value!r}' for name, value in changed.items())})")
    if asked.pixel_um is not None:
        made.append(f"pixel_um={asked.pixel_um:g}")
    return made
