"""What an argument of a public function may be, as its annotation says, and the sentence for what it is not."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from .errors import InputError

__all__ = ["ANYTHING", "Kind", "kinds_of_arguments", "refuse_other", "refuse_other_words"]

# How to come by an object that is meant alone.
_MADE_BY = {
    "Localizations": "Model.localize and read_table make one",
    "Emitters": "simulate and read_truth make one",
    "Model": "load_model and train make one",
    "Experiment": "preset and read_experiment make one",
    "ChannelPair": "read_transform reads one, and a registration has one: registration.channels",
}
_WORDS: dict[Any, str] = {
    NoneType: "None",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a file",
    os.PathLike: "a file",
    Sequence: "a sequence",
}
_FILES = (Path, os.PathLike)
_LONGEST = 60  # characters of a value that a message shows


class Kind(NamedTuple):
    """What an argument may be.

    members: one type, or those of a union (a name that only type checkers know is a text);
    written: as the source has it.
    """

    members: tuple[Any, ...]
    written: str = ""

    @property
    def words(self) -> tuple[Any, ...]:
        """The words that the argument chooses from; empty where any text, or a file, may stand."""
        if any(_origin(each) in (str, Any, *_FILES) for each in self.members):
            return ()
        return tuple(word for each in self.members if get_origin(each) is Literal for word in get_args(each))

    def __str__(self) -> str:
        """In words: "left-right or top-bottom"."""
        parts = [part for each in self.members for part in _in_words(each)]
        if self.of_files:
            parts = [part for part in parts if part != _WORDS[str]]
        parts = list(dict.fromkeys(parts))
        return " or ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

    @property
    def of_files(self) -> bool:
        """Whether a file may stand there, whose name is a text."""
        return any(_origin(each) in _FILES for each in self.members)


ANYTHING = Kind((Any,))


def kinds_of_arguments(function: Callable[..., Any]) -> dict[str, Kind]:
    """The kind of each argument, by its name."""
    names = getattr(function, "__globals__", {})
    parameters = inspect.signature(function).parameters.values()
    return {each.name: _kind_of(each.annotation, names) for each in parameters}


def refuse_other(name: str, value: Any, kind: Kind) -> None:
    """Raise InputError for a value that an argument of this kind cannot have.

    Where the kind has members that cannot be told from others (arrays, sequences, protocols), only a text that
    is none of its words is refused.
    """
    judged = [_is(value, each) for each in kind.members]
    nameless = kind.of_files and isinstance(value, str) and not value
    if (True in judged and not nameless) or (None in judged and not (isinstance(value, str) and kind.words)):
        return
    remedies = [_MADE_BY[_name(each)] for each in kind.members if _name(each) in _MADE_BY]
    raise InputError(f"{name} must be {kind}, not {_shown(value)}", "; ".join(remedies))


def refuse_other_words(record: Any) -> None:
    """Raise InputError where a field of a dataclass that chooses from words has none of them."""
    for name, kind in kinds_of_arguments(type(record).__init__).items():
        if kind.words:
            refuse_other(name, getattr(record, name), kind)


def _kind_of(annotation: Any, names: Mapping[str, Any]) -> Kind:
    if annotation is inspect.Parameter.empty:
        return ANYTHING
    if not isinstance(annotation, str):
        return Kind(_members(annotation), str(annotation))
    try:
        return Kind(_members(eval(annotation, dict(names))), annotation)
    except NameError:
        return Kind((annotation,), annotation)


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) not in (Union, UnionType):
        return (NoneType if kind is None else kind,)
    return tuple(member for each in get_args(kind) for member in _members(each))


def _is(value: Any, kind: Any) -> bool | None:
    """Whether a value is of a kind; None where this cannot be told."""
    origin = _origin(kind)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in get_args(kind))
    if origin in _FILES:
        return isinstance(value, str | os.PathLike)
    if origin is bool:
        return isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))
    if origin in (int, float):
        return _is_number(value, whole=origin is int)
    if origin in (NoneType, str):
        return isinstance(value, origin)
    if origin is Sequence:
        no_sequence = isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__")
        return False if no_sequence else None
    if isinstance(origin, str):
        return origin in {each.__name__ for each in type(value).__mro__} if origin.isidentifier() else None
    ours = isinstance(origin, type) and origin.__module__.partition(".")[0] == __package__
    return isinstance(value, origin) if ours and not getattr(origin, "_is_protocol", False) else None


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool):
        return False
    if whole:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    # A tensor that a gradient goes through is a number, too.
    return isinstance(value, int | float) or getattr(value, "ndim", None) == 0


def _in_words(kind: Any) -> list[str]:
    return (
        list(map(str, get_args(kind)))
        if get_origin(kind) is Literal
        else [_WORDS.get(_origin(kind)) or _name(kind)]
    )


def _name(kind: Any) -> str:
    return getattr(_origin(kind), "__name__", str(kind))


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _shown(value: Any) -> str:
    """A short value as it is, another by its type."""
    shown = repr(value) if isinstance(value, str | int | float | None) else ""
    return shown if shown and len(shown) <= _LONGEST else type(value).__name__
