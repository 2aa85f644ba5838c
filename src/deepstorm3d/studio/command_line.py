"""A command line of the program as a user types it."""

from __future__ import annotations

import shlex

__all__ = ["command"]


def command(*words: str | None) -> str:
    """A command line from its words, quoted where a shell needs it; None is left out."""
    return shlex.join(["deepstorm3d", *(word for word in words if word is not None)])
