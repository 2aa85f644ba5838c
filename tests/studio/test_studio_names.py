"""Buttons of the studio that show no words have a name: held over the source, dialogs included."""

from __future__ import annotations

import ast
from pathlib import Path

import deepstorm3d.studio

STUDIO = Path(deepstorm3d.studio.__file__).parent


def wordless_buttons(source: str) -> list[int]:
    """Lines at which ``ui.button`` is called without words."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    buttons = [call for call in calls if ast.unparse(call.func) == "ui.button"]
    return [call.lineno for call in buttons if not call.args and not has_text_later(call)]


def has_text_later(call: ast.Call) -> bool:
    """Whether its words are set when they are known: it shows no icon."""
    return all(keyword.arg != "icon" for keyword in call.keywords)


def test_what_is_looked_for_is_found() -> None:
    assert wordless_buttons("ui.button('Save')\nui.button(icon='save')\nui.button(on_click=x)") == [2]


def test_a_button_without_words_is_made_where_it_gets_a_name() -> None:
    files = sorted(STUDIO.rglob("*.py"))
    found = {
        path.relative_to(STUDIO).as_posix(): lines
        for path in files
        if (lines := wordless_buttons(path.read_text(encoding="utf-8")))
    }
    assert list(found) == ["parts/icon_button.py"], f"use icon_button: {found}"
