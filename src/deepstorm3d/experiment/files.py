"""Experiments as files: read, changed by assignments, and written with the meaning of each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from ..front_door import public
from ..io.parts import write_text
from ..spec import set_by_paths, spec_from_mapping, to_yaml
from .earlier import in_form_of_today, with_key_of_today
from .experiment import Experiment
from .named_files import with_files_beside, with_files_named_from

__all__ = ["changed", "read_experiment", "write_experiment"]

_HEADER = """An experiment of deepstorm3d: the whole set-up in one file.
Lengths in µm, light in photons (detected photo-electrons), phases in radians; _px: camera pixels.
Depth z counts from the coverslip into the sample."""


@public
def read_experiment(path: str | PathLike[str], assignments: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and change some of its values.

    Relative paths of a mask, a PSF or camera maps refer to the folder of the experiment file.

    Parameters
    ----------
    path : path
        A file (.yaml) that `write_experiment` or the command ``config`` wrote.
    assignments : sequence of str
        Changes such as ``"camera.gain=2.2"``, applied before the file is checked.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        If the file is not valid; the message has the file, the key and the allowed range.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not an experiment file", "give the file (.yaml) in it")
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read the experiment file {path}: {error.strerror}",
            "check its name, and that you may read it",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _no_experiment(path, f"not YAML: {error}") from error
    if not isinstance(mapping, dict):
        raise _no_experiment(path, "it has no keys")
    return with_files_beside(changed(mapping, assignments, source=str(path)), path.parent)


def _no_experiment(path: Path, why: str) -> InputError:
    """The error for a file that is none: a movie or a list where the experiment was wanted, or bad YAML."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return InputError(f"{path} is no experiment file: {why}")
    return InputError(
        f"{path} is no experiment file", "experiments are YAML files (.yaml); is the order of the files right?"
    )


def changed(mapping: Mapping[str, Any], assignments: Sequence[str], *, source: str) -> Experiment:
    """The experiment from a mapping of any format version, changed by ``a.b=value`` assignments.

    source: origin of the mapping, for errors.  Raises InputError if a key or value is wrong.
    """
    try:
        today = in_form_of_today(mapping)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    set_by_paths(today, [with_key_of_today(each) for each in assignments], Experiment)
    return spec_from_mapping(Experiment, today, source=source)


@public
def write_experiment(experiment: Experiment, path: str | PathLike[str], *, remarks: str = "") -> None:
    """Write an experiment as a complete YAML file with the unit and meaning of each line.

    Files that it names are named so that `read_experiment` finds them, from wherever it is called: relative to
    the folder of `path` where they lie in or below it, else from the root. Names of files that there are not
    stay as they are.

    Parameters
    ----------
    experiment : Experiment
    path : path
    remarks : str
        Lines for the head of the file.
    """
    header = f"{_HEADER}\n{remarks}" if remarks else _HEADER
    path = Path(path)
    write_text(path, to_yaml(with_files_named_from(experiment, path.parent), header))
