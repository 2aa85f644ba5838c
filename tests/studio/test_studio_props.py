"""What the browser reads as markup or code is literal in the studio: no name of a file gets into it."""

from __future__ import annotations

import ast
from pathlib import Path

import deepstorm3d.studio

STUDIO = Path(deepstorm3d.studio.__file__).parent
# Methods of NiceGUI whose text becomes properties, markup or code.
READ = {"props", "default_props", "html", "markdown", "run_javascript", "add_head_html", "add_body_html"}


def composed(source: str) -> list[int]:
    """Lines at which one of them is given a text that is not all literal."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    found = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in READ]
    return [call.lineno for call in found if not all(map(is_literal, texts_of(call)))]


def texts_of(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(each.value for each in call.keywords if each.arg != "sanitize")]


def is_literal(text: ast.expr) -> bool:
    if isinstance(text, ast.IfExp):
        return is_literal(text.body) and is_literal(text.orelse)
    # A constant of its module, in capitals, is the same for every file.
    return isinstance(text, ast.Constant) or (isinstance(text, ast.Name) and text.id.isupper())


def test_what_is_looked_for_is_found() -> None:
    right = "a.props('dense')\na.props('b' if y else 'c')\nui.run_javascript(_K)\nui.html('', sanitize=False)"
    assert composed(right) == []
    wrong = "a.props(f'x={y}')\na.props('x=' + y)\na.props(remove=y)\nui.html(y)\nui.run_javascript('%s' % y)"
    assert composed(wrong) == [1, 2, 3, 4, 5]


def test_properties_markup_and_scripts_are_literal() -> None:
    files = sorted(STUDIO.rglob("*.py"))
    found = {
        path.relative_to(STUDIO).as_posix(): lines
        for path in files
        if (lines := composed(path.read_text(encoding="utf-8")))
    }
    assert not found, f"use with_props (studio/parts/props.py): {found}"
