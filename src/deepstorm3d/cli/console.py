"""Words and tables on the screen: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .flags import with_flags
from .spelling import spelled

__all__ = ["remark", "result", "say", "say_error", "say_warning", "screen", "show_table", "table"]


def screen() -> Console:
    """Standard error, for progress and remarks; it follows redirection."""
    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A remark, on standard error; never wrapped, so that it can be searched."""
    screen().print(Text(with_flags(text)), soft_wrap=True)


def remark(text: str, console: Console) -> None:
    """A sentence of a job; ``warning:`` at its beginning in yellow."""
    shown = Text(with_flags(text))
    shown.highlight_regex("^warning:", "bold yellow")
    console.print(shown, soft_wrap=True)


def say_error(text: str) -> None:
    """``error: …`` in red, on standard error."""
    screen().print(Text("error:", style="bold red"), Text(with_flags(text)), soft_wrap=True)


def say_warning(text: str) -> None:
    """``warning: …`` in yellow, on standard error."""
    screen().print(Text("warning:", style="bold yellow"), Text(with_flags(text)), soft_wrap=True)


def result(text: str) -> None:
    """A line of the answer, on standard output."""
    Console(highlight=False).print(Text(with_flags(text)), soft_wrap=True)


def table(*columns: str, title: str = "") -> Table:
    """An empty table: the first column to the left, the others to the right."""
    empty = _Spelled(title=spelled(title, sys.stdout) or None, title_justify="left", title_style="bold")
    for index, name in enumerate(columns):
        empty.add_column(spelled(name, sys.stdout), justify="left" if index == 0 else "right")
    return empty


class _Spelled(Table):
    """A table whose columns are as wide as what standard output makes of their words."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(spelled(c, sys.stdout) if isinstance(c, str) else c for c in cells), **options)


def show_table(filled: Table) -> None:
    """A table on standard output; into a file or a pipe it is written as wide as it is."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(filled)
