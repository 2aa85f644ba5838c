"""How the program ends when something goes wrong: one clear message, and an exit status for scripts."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import DoubtfulResult, InputError
from .console import say, say_error, say_warning
from .interrupt import terminated_like_interrupted
from .spelling import spell_out

__all__ = ["INTERRUPTED", "WRONG_INPUT", "GuardedGroup"]

WRONG_INPUT = 2
"""Exit status after a user's mistake."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

_OPTION_OF_NOTHING = re.compile("--[a-z-]+=")
_QUOTED = re.compile("'([^']*)'")


class GuardedGroup(TyperGroup):
    """Commands whose mistakes of the user end in a message, not in a traceback.

    InputError and a full disk: exit status 2.  Ctrl-C and SIGTERM: 130.  Anything else is a fault of the
    program and keeps its traceback.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the program; whatever the output can hold, no sign of a message ends it."""
        spell_out()
        return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            _refuse_empty(ctx.args)
            with terminated_like_interrupted(), _doubts_on_screen():
                return super().invoke(ctx)
        except InputError as error:
            say_error(str(error))
            raise typer.Exit(WRONG_INPUT) from error
        except typer.BadParameter as error:
            error.message = _in_plain_words(error)
            raise
        except KeyboardInterrupt as error:
            say(_after_interruption(self, ctx))
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            where = f" while writing {error.filename}" if error.filename else ""
            say_error(
                f"no space left on the disk{where}: {error.strerror}; free some, or choose another folder"
            )
            raise typer.Exit(WRONG_INPUT) from error
        except Exception as error:
            # Usage errors and plain ends of the program carry their own exit status.
            if not hasattr(error, "exit_code") and not isinstance(error, typer.Abort):
                say_error(
                    "a fault of the program, not of your input; please report it with the lines that follow"
                )
            raise


@contextmanager
def _doubts_on_screen() -> Iterator[None]:
    """Doubts that Python would warn of, with a line of code, as the warnings of a command."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DoubtfulResult)
        as_before = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, DoubtfulResult):
                say_warning(str(message))
            else:
                as_before(message, category, *rest, **more)

        warnings.showwarning = shown
        yield


def _refuse_empty(words: list[str]) -> None:
    """Raise InputError where a value is empty: as the name of a file it would be the working folder."""
    for before, word in zip(["", *words], words, strict=False):
        option = before if before.startswith("-") else ""
        if word and not _OPTION_OF_NOTHING.fullmatch(word):
            continue
        named = f"the value of {option or word.rstrip('=')}" if option or word else "an argument"
        raise InputError(f"{named} is empty", "give one; was a variable of the shell empty?")


def _after_interruption(group: TyperGroup, ctx: Any) -> str:
    """What to tell of a command that was interrupted: how it goes on, where it can."""
    command = group.get_command(ctx, ctx.invoked_subcommand or "")
    if command is not None and any("--resume" in option.opts for option in command.params):
        return "interrupted; what it has saved is kept: the same command with --resume goes on"
    return "interrupted"


def _in_plain_words(error: typer.BadParameter) -> str:
    """What is wrong with the value of an option, with the value; typer itself repeats pydantic's words."""
    from pydantic import ValidationError

    from ..complaints import given, meant, told

    if not isinstance(error.__cause__, ValidationError):
        return error.message
    complaint = error.__cause__.errors()[0]
    _, _, choices = str(complaint["msg"]).partition(" is not one of ")
    if choices:
        value = str(complaint["input"])
        return f"there is no '{value}'; {meant(value, _QUOTED.findall(choices))}"
    return told(complaint) + given(complaint["input"])
