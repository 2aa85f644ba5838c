"""The command lines that make the same experiment: assignments that lead from its start to what it is now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import yaml
from pydantic import BaseModel

from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.files import changed
from ...experiment.presets import PRESETS
from ...spec import kinds_of, set_by_path
from ..command_line import command
from ..folder import Folder
from ..movie.explained import Question
from .draft import ExperimentDraft

__all__ = ["assignments", "command_lines", "estimate_command", "python_lines"]

# Keys that an assignment cannot walk through: it takes a dot for the end of a key.
_PLAIN = re.compile(r"[^.=\s]+")


def assignments(before: Mapping[str, Any], after: Experiment) -> list[str]:
    """``a.b=value`` changes that make an experiment out of the mapping of another one."""
    made = list(_changes(before, after.to_mapping(), ()))
    try:
        if changed(deepcopy(dict(before)), made, source="the start") == after:
            return made
    except InputError:
        pass
    # Where single keys do not lead there, whole sections do.
    whole = after.to_mapping()
    return [_assignment((key,), whole[key]) for key in whole if whole[key] != before.get(key)]


def command_lines(draft: ExperimentDraft, out: str) -> str:
    """The command that writes the draft's experiment, or that uses it where it began from a file."""
    said = draft.start.removeprefix("preset ")
    options = [word for each in assignments(draft.origin, draft.experiment) for word in ("--set", each)]
    if said in PRESETS:
        return command("config", "--preset", said, *options, "--out", out)
    return "# every command that takes an experiment takes these changes, too\n" + command(
        "train", said, *options, "--out", "model.pt"
    )


def python_lines(draft: ExperimentDraft, out: str) -> str:
    """The Python that makes the experiment and writes its file."""
    said = draft.start.removeprefix("preset ")
    made = "".join(f"\n    {each!r}," for each in assignments(draft.origin, draft.experiment))
    changes = f"[{made}\n]" if made else "[]"
    begin = f'ds.preset({said!r}).to_mapping(), changes, source="preset"' if said in PRESETS else ""
    lines = ["import deepstorm3d as ds", "", f"changes = {changes}"]
    if begin:
        lines[1:1] = ["from deepstorm3d.experiment.files import changed"]
        lines.append(f"experiment = changed({begin})")
    else:
        lines.append(f"experiment = ds.read_experiment({said!r}, changes)")
    return "\n".join([*lines, f"ds.write_experiment(experiment, {out!r})"])


def estimate_command(asked: Question, folder: Folder, config: str, model: str) -> str:
    """The command that estimates an experiment from the movie as it is looked at.

    config: file of the experiment;  model: that finds the molecules, empty for none.
    Raises InputError where no movie is open.
    """
    if asked.movie is None:
        raise InputError("no movie is open", "open one in the panel Movie first")
    prepared, words = asked.prepared, ["--model", model] if model else []
    if asked.roi is not None:
        words += ["--roi", ",".join(map(str, asked.roi))]
    if prepared.flip != "none":
        words += ["--flip", prepared.flip]
    if prepared.transpose:
        words += ["--transpose"]
    if prepared.subtract != "none":
        words += ["--subtract", prepared.subtract, "--window", str(prepared.window)]
    if asked.pixel_um is not None:
        words += ["--pixel-nm", f"{1000 * asked.pixel_um:g}"]
    if asked.second is not None:
        words += ["--second", folder.shown(asked.second)]
    if asked.split:
        words += ["--split", asked.split]
    if asked.has_two and asked.transform is not None:
        words += ["--transform", folder.shown(asked.transform)]
    return command("estimate", folder.shown(asked.movie), config, *words, "--out", "estimated.yaml")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if before.get("kind") != after.get("kind"):
        yield _assignment((*path, "kind"), after["kind"])
        before = _as_begun(before, str(after["kind"]), path)
    if set(before) != set(after) and "kind" not in after:
        # Parts that have names were added or removed: all of them together.
        yield _assignment(path, after)
        return
    for key, value in after.items():
        old = before.get(key)
        if key == "kind" or value == old:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping) and value and old and _plain_keys(value):
            yield from _changes(old, value, (*path, key))
        else:
            yield _assignment((*path, key), value)


def _as_begun(before: Mapping[str, Any], kind: str, path: tuple[str, ...]) -> dict[str, Any]:
    """What a section holds just after its kind was changed."""
    nest: dict[str, Any] = {"kind": before.get("kind"), **before}
    for key in reversed(path):
        nest = {key: nest}
    set_by_path(nest, f"{'.'.join((*path, 'kind'))}={kind}", Experiment)
    for key in path:
        nest = nest[key]
    record = _record_at(path, kind)
    defaults = {} if record is None else _defaults(record)
    return {**defaults, **nest}


def _record_at(path: tuple[str, ...], kind: str) -> type[BaseModel] | None:
    """The record of a kind that may stand at a path."""
    here: Any = Experiment
    for name in path:
        field = here.model_fields.get(name) if hasattr(here, "model_fields") else None
        if field is None:
            return None
        kinds = kinds_of(field)
        here = kinds.find(kind) if kinds is not None else field.annotation
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _defaults(record: type[BaseModel]) -> dict[str, Any]:
    made = record.model_construct()
    return made.model_dump(mode="json", warnings=False)


def _plain_keys(mapping: Mapping[str, Any]) -> bool:
    return all(_PLAIN.fullmatch(str(key)) for key in mapping)


def _assignment(path: tuple[str, ...], value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return f"{'.'.join(path)}={text.replace(chr(10) + '...', '').strip()}"
