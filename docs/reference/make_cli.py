"""Write cli.md, the reference of every command and option, from the program's own help."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, get_args

import typer

from deepstorm3d.cli import app

OUT = Path(__file__).with_name("cli.md")
# A bar would end the cell of a table.
BAR, ESCAPED = "|", "&#124;"
HEAD = """# Commands

Written by `make docs` from the program's own help; change it there.

Exit status: 0 done; 2 something given is wrong (one message says what, and what to do); 130 stopped by
Ctrl-C, go on with `--resume`.
"""


def sections(command: Any, path: str) -> list[str]:
    """The section of a command, where it does something by itself, and those of the commands below it."""
    parts = command_section(command, path) if getattr(command, "invoke_without_command", True) else []
    for name, child in getattr(command, "commands", {}).items():
        parts += sections(child, f"{path} {name}")
    return parts


def command_section(command: Any, path: str) -> list[str]:
    """Heading, one sentence, usage, and a table of arguments and options."""
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    usage = " ".join([path, *(label(argument) for argument in arguments)])
    usage += "".join(f" {label(option)}" for option in options if option.required)
    usage += " [options]" if any(not option.required for option in options) else ""
    rows = [f"| {code(label(one))} | {text(one)} |" for one in (*arguments, *options)]
    table = ["", "| | |", "| --- | --- |", *rows] if rows else []
    return ["", f"## {path}", "", (command.help or "").strip(), "", "```text", usage, "```", *table]


def code(words: str) -> str:
    """Words as code in the cell of a table: in backticks, or as HTML where they hold a bar."""
    return f"<code>{html.escape(words).replace(BAR, ESCAPED)}</code>" if BAR in words else f"`{words}`"


def label(parameter: Any) -> str:
    """``CONFIG``, ``--frames N``, ``--resume``."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    choices = get_args(parameter.type_descriptor.annotation)
    value = parameter.metavar or "|".join(map(str, choices)) or parameter.name.upper()
    return f"{names} {value}"


def text(parameter: Any) -> str:
    """What it means; its default where the help does not say."""
    # A bracket that the program's help would take for markup has a backslash there.
    words = (getattr(parameter, "help", None) or "").replace("\\[", "[").replace(BAR, ESCAPED)
    default = parameter.default
    plain = isinstance(default, str | int | float | Path) and not isinstance(default, bool)
    return f"{words} (default: {default})" if plain and "(default" not in words else words


def page() -> str:
    """The whole reference."""
    return HEAD + "\n".join(sections(typer.main.get_command(app), "deepstorm3d")) + "\n"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
