"""An empty value, as an empty variable of the shell leaves it, is refused by every option of every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from deepstorm3d.cli import app

GROUP: Any = get_command(app)


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


COMMANDS = dict(commands(GROUP))


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told; the words are refused."""
    assert GROUP.main(words, prog_name="deepstorm3d", standalone_mode=False) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_an_empty_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    options = [each for each in COMMANDS[name].params if each.opts[0].startswith("--")]
    for option in (each.opts[0] for each in options if not getattr(each, "is_flag", False)):
        for given in ([option, ""], [f"{option}="]):
            told = " ".join(refused([*name.split(), *given], capsys).split())
            assert f"the value of {option} is empty; give one; was a variable of the shell empty?" in told
    assert "an argument is empty" in refused([*name.split(), ""], capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_commands_that_write_folders_are_among_them():
    assert {"camera-maps", "compare-psf", "demo"} <= set(COMMANDS)
