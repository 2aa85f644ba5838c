"""The front door of Python: numbers of numpy and torch become plain ones, and doubts reach the caller.

What a user computes from an array is a number of numpy's or a tensor without dimensions; the program counts,
seeds and writes JSON with Python's own.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from .arguments import ANYTHING, Kind, kinds_of_arguments, refuse_other
from .errors import DoubtfulResult

__all__ = ["PUBLIC", "doubt", "plain", "public"]

PUBLIC = "__front_door__"
"""Attribute of the functions that `public` has made."""

# Types in an annotation, as it is written, for which an array becomes a tuple, and those that take arrays.
_TUPLES = re.compile(r"\btuple\[|\bExtent\b")
_ARRAYS = re.compile(r"\b(NDArray|Tensor|Any|AnyMovie)\b")

Given = ParamSpec("Given")
Result = TypeVar("Result")


def public(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function of the public interface, which gets plain numbers whatever it is called with.

    Numbers of numpy and tensors without dimensions become Python's numbers (`plain`), an array where a tuple
    is meant becomes one, and a float without decimals where an integer is meant becomes one.
    The function raises InputError for a value that its annotation excludes: another word than those it names, a
    text in place of a number, something else than the list, truth, model or record that is meant.
    """
    names = list(inspect.signature(function).parameters)

    @cache
    def kinds() -> dict[str, Kind]:
        # When it is first called: only then are all names of its module there.
        return kinds_of_arguments(function)

    @wraps(function)
    def entered(*given: Given.args, **named: Given.kwargs) -> Result:
        told = [_meant(name, value, kinds()[name]) for name, value in zip(names, given, strict=False)]
        more = {name: _meant(name, value, kinds().get(name, ANYTHING)) for name, value in named.items()}
        return function(*told, *given[len(told) :], **more)  # pyright: ignore[reportCallIssue]

    setattr(entered, PUBLIC, True)
    return entered


def plain(value: Any) -> Any:
    """The number, text or truth value of Python that is meant; within tuples, lists and mappings too.

    A float of single precision becomes the shortest number that it stands for: 0.11, not 0.10999999940395355.
    Anything else stays as it is.
    """
    if type(value) in (tuple, list):
        return type(value)(plain(each) for each in value)
    if type(value) is dict:
        return {key: plain(each) for key, each in value.items()}
    single = getattr(value, "ndim", None) == 0 and hasattr(value, "item")
    if not single or getattr(value, "requires_grad", False):
        return value
    return float(str(value)) if getattr(value.dtype, "kind", "") == "f" else value.item()


def _meant(name: str, value: Any, kind: Kind) -> Any:
    """What is meant by the value of an argument of this kind."""
    value = plain(value)
    if getattr(value, "ndim", None) == 1 and _TUPLES.search(kind.written) and not _ARRAYS.search(kind.written):
        return tuple(plain(each) for each in value)
    refuse_other(name, value, kind)
    whole = re.search(r"\bint\b", kind.written) and not re.search(r"\b(float|Any)\b", kind.written)
    return int(value) if type(value) is float and whole else value


def doubt(texts: Iterable[str]) -> None:
    """Warn of each text, at the line outside of this package from which it was called."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    for text in texts:
        warnings.warn(text, DoubtfulResult, stacklevel=level)
