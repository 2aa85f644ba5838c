"""What Python calls an argument is an option on the command line: the command line alone says so."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.markup import render
from typer.main import get_command

import deepstorm3d
from deepstorm3d.cli.app import app
from deepstorm3d.cli.console import say_warning
from deepstorm3d.cli.flags import FLAGS, with_flags
from deepstorm3d.cli.localizing_channels import _report
from deepstorm3d.cli.options import camera_changes
from deepstorm3d.errors import InputError, MissingPackage
from deepstorm3d.jobs.channels_summary import ChannelsSummary

SOURCE = Path(deepstorm3d.__file__).parent
# The studio stands beside the command line: it writes commands out, and says errors in its own way.
EDGES = ("cli", "studio")
BELOW = [path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] not in EDGES]
_FLAG = re.compile(r"(?<![\w-])--[a-z]")


def strings(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Line and text of every string, what is put in shown as …; and whether it is a docstring."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values]
            yield node.lineno, "".join(pieces), False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value, id(node) in alone


def told(check: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(SOURCE)}, line {line}: {found[0]}"
        for path in BELOW
        for line, text, _ in strings(ast.parse(path.read_text(encoding="utf-8")))
        for found in check.finditer(text)
    ]


def test_no_option_of_the_command_line_is_named_below_it():
    assert not told(_FLAG)
    # The test itself would see one, in a message, a docstring and beside what is put in.
    for code in ('raise E("use --roi")', 'def f():\n    """See --roi."""', 'f"{x} --roi"'):
        assert any(_FLAG.search(text) for _, text, _ in strings(ast.parse(code)))
    assert not any(_FLAG.search(text) for _, text, _ in strings(ast.parse('"a--b", "1 -- 2"')))


def test_every_argument_that_a_sentence_names_has_its_option():
    unknown = [
        f"{path.relative_to(SOURCE)}, line {line}: {text}"
        for path in BELOW
        for line, text, is_docstring in strings(ast.parse(path.read_text(encoding="utf-8")))
        if not is_docstring and "`" in with_flags(text)
    ]
    assert not unknown, "\n".join(unknown)


def options() -> set[str]:
    group = typer.main.get_command(app)
    found: set[str] = set(group.commands)  # type: ignore[attr-defined]
    for command in group.commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def test_every_option_of_the_table_exists():
    known = options()
    for flag in FLAGS.values():
        named = re.findall(r"--[a-z][a-z0-9-]*", flag)
        assert named or flag.removeprefix("deepstorm3d ").split()[0] in known, flag
        assert set(named) <= known, flag


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("give the pixel size (`pixel_um`)", "give the pixel size (--pixel-nm)"),
        ("one for each: `levels=8`", "one for each: --levels 8"),
        ("allow it (`overwrite=True`)", "allow it (--overwrite)"),
        ("scalar (`psf.kind=scalar`)", "scalar (--set psf.kind=scalar)"),
        ("(`camera` gain=2.2)", "(--camera gain=2.2)"),
        ("of `nothing` known, a ` alone", "of `nothing` known, a ` alone"),
    ],
)
def test_a_sentence_names_the_option(said: str, shown: str):
    assert with_flags(said) == shown


def test_warnings_name_it_too(capsys: pytest.CaptureFixture[str]):
    say_warning("choose a region (`roi`)")
    assert capsys.readouterr().err == "warning: choose a region (--roi)\n"


def test_an_error_has_what_is_wrong_and_a_remedy_and_reads_as_one_sentence():
    error = InputError("a.tif exists", "choose another name")
    assert (str(error), error.what, error.remedy) == (
        "a.tif exists; choose another name",
        "a.tif exists",
        "choose another name",
    )
    assert str(InputError("plain")) == "plain"
    missing = MissingPackage("tracking needs trackpy", "tracks")
    assert str(missing) == "tracking needs trackpy; pip install 'deepstorm3d[tracks]'"
    # Workers of a cluster hand errors on.
    for each in (error, missing):
        again = pickle.loads(pickle.dumps(each))
        assert type(again) is type(each)
        assert (str(again), again.what, again.remedy) == (str(each), each.what, each.remedy)


def test_what_is_said_of_a_camera_is_read_as_yaml():
    said = camera_changes(["baseline=100", "gain=0.45", "kind=scmos", "region=[1, 2, 3, 4]"])
    assert said == {"baseline": 100, "gain": 0.45, "kind": "scmos", "region": [1, 2, 3, 4]}
    assert camera_changes(None) == {}
    with pytest.raises(InputError, match="write key=value"):
        camera_changes(["gain"])
    with pytest.raises(InputError, match="cannot be read"):
        camera_changes(["gain=[1"])


def shown_texts(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """The help of a command and its options, and of all commands below it."""
    yield path, command.help or ""
    for parameter in command.params:
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    for name, child in getattr(command, "commands", {}).items():
        yield from shown_texts(child, f"{path} {name}")


def test_no_bracket_of_a_help_text_is_taken_for_markup():
    texts = list(shown_texts(get_command(app), "deepstorm3d"))
    eaten = [where for where, text in texts if render(text).plain != text.replace("\\[", "[")]
    assert len(texts) > 300 and not eaten
    assert render("deepstorm3d[cluster]").plain == "deepstorm3d"  # so the test would see one


def test_a_run_of_two_channels_that_went_on_tells_the_whole_list(capsys: pytest.CaptureFixture[str]):
    summary = ChannelsSummary(frames=8, earlier=32, earlier_rows=1773, rows=340, together=319, complete=True)
    _report(summary, Path("both.hdf5"))
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "2113 localizations in 40 frames (1773 in 32 of them before it went on); 319 of the 340 since" in told
    )
    _report(replace(summary, earlier=0, earlier_rows=0), Path("both.hdf5"))
    assert "340 localizations in 8 frames, 319 of them seen in both" in " ".join(
        capsys.readouterr().out.split()
    )
