"""Notices: what went wrong, said on the page in the words of the program."""

from __future__ import annotations

import errno
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal

from nicegui import ui

from ...errors import InputError, Interrupted, NameTaken

__all__ = ["explained", "guarded", "say", "told", "without_names"]


# What arguments with a value, which a sentence needs, are called on the page.
_ON_THE_PAGE = {
    "resume=True": "'Resume'",
    "over_frames=True": "a fit over frames",
    "over_frames=False": "every frame by itself",
    "overwrite=True": "'replace files that exist'",
}
# How long a notice of something wrong stays, ms.
_SLOW_MS = 12_000
# And another, ms.
_QUICK_MS = 3_000


def say(text: str, kind: Literal["info", "positive", "warning", "negative"] = "info") -> None:
    """A notice, in the upper corner; it goes by itself, what is wrong more slowly."""
    slow = kind in ("warning", "negative")
    close = [{"icon": "close", "color": "white", "round": True, "dense": True}] if slow else []
    ui.notify(text, type=kind, position="top-right", actions=close, timeout=_SLOW_MS if slow else _QUICK_MS)


def explained(error: BaseException) -> str:
    """An error in words for the user."""
    if isinstance(error, NameTaken):
        # Not every form can replace a file.
        return f"{without_names(error.what)}; choose another name, or delete it"
    if isinstance(error, InputError):
        return without_names(str(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some, or choose another folder"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the file'}: {error.strerror}"
    return f"a fault of the program, not of your input; please report it: {type(error).__name__}: {error}"


def without_names(text: str) -> str:
    """A sentence of the program without the arguments of Python that it names in backticks.

    On the page they are fields with names of their own.
    """
    short = re.sub(r" ?\(`[^`]*`[^()`]*\)", "", text)
    return re.sub(r"`([^`]*)`", lambda named: _ON_THE_PAGE.get(named[1], named[1]), short)


@contextmanager
def told() -> Iterator[None]:
    """An error of the block becomes a notice, and the page goes on."""
    try:
        yield
    except Interrupted:
        say("stopped")
    except Exception as error:
        say(explained(error), "negative")


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same handler of an event, whose errors become notices."""
    if inspect.iscoroutinefunction(handler):

        @wraps(handler)
        async def waiting(*arguments: Any) -> None:
            with told():
                await handler(*arguments)

        return waiting

    @wraps(handler)
    def plain(*arguments: Any) -> None:
        with told():
            handler(*arguments)

    return plain
