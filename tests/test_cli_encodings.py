"""Output that cannot hold σ or µ: no command ends for want of a sign, and no line is lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deepstorm3d.cli import app
from deepstorm3d.cli.console import result, show_table, table
from deepstorm3d.cli.spelling import spell_out
from deepstorm3d.io.tables import write_table
from diffusing import diffusing

pytestmark = pytest.mark.usefixtures("coarse_pictures")

PROGRAM = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
COMMANDS = [
    *PROGRAM,
    *(f"{group} {name}" for group in PROGRAM for name in getattr(PROGRAM[group], "commands", ())),
]
ENCODINGS = ("ascii", "cp1252", "cp932")


def call(encoding: str, *arguments: object) -> SimpleNamespace:
    done = CliRunner(charset=encoding).invoke(app, [str(word) for word in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return SimpleNamespace(status=done.exit_code, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list with which every command finds something to say."""
    path = tmp_path_factory.mktemp("lists") / "moving.hdf5"
    rows, _ = diffusing(40, 16, 1e-5, box_um=(3.0, 3.0, 0.05), false=0.5)
    write_table(path, rows, pixel_um=0.1, frames=16, shape=(40, 40))
    return path


@pytest.mark.parametrize(
    ("command", "encoding"),
    # What ASCII cannot hold is spelt out in the same way for the others.
    [*((command, "ascii") for command in ["", *COMMANDS]), ("localize", "cp1252"), ("localize", "cp932")],
)
def test_every_command_explains_itself(command: str, encoding: str):
    done = call(encoding, *command.split(), "--help")
    assert done.status == 0
    assert "Usage" in done.out


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("link", ["--out", "o.hdf5"], ("scatter within molecules over", "localizations,")),
        ("drift", ["--out", "o.hdf5", "--segments", 2], ("of the curve", "subtracted")),
        ("track", ["--out", "o.hdf5", "--range", 100], ("median step", "localization error")),
        ("resolution", ["--json", "o.json", "--splits", 1], ("of a localization (nm)", "halved 1 times")),
        ("filter", ["photons > 1e9", "--out", "o.hdf5"], ("0 of",)),
        ("render", ["--out", "o.png", "--blur", 20], ("nm pixels",)),
    ],
)
def test_what_was_done_is_said(
    moving: Path, tmp_path: Path, command: str, options: list[object], said: tuple[str, ...]
):
    arguments = [tmp_path / word if str(word).startswith("o.") else word for word in options]
    done = call("ascii", command, moving, *arguments)
    assert done.status == 0, done.err
    for words in said:
        assert words in done.out, (words, done.out)
    assert (done.out + done.err).isascii()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_error_is_said(encoding: str):
    done = call(encoding, "render", "lücke-σ-文.hdf5", "--out", "a.png")
    assert done.status == 2
    assert "there is no such table; check the name" in done.err


def printed(encoding: str, monkeypatch: pytest.MonkeyPatch, say: Callable[[], None]) -> str:
    """What is left of words on standard output in that encoding."""
    output = io.BytesIO()
    with (
        io.TextIOWrapper(output, encoding=encoding, write_through=True) as stream,
        monkeypatch.context() as patch,
    ):
        patch.setattr("sys.stdout", stream)
        spell_out()
        say()
        return output.getvalue().decode(encoding)


def test_signs_are_spelled_only_where_they_are_missing(monkeypatch: pytest.MonkeyPatch):
    line = "σ = 5 µm² · λ/NA ± ½, −3 → 4 × … é ₁ 文 Σ 5°"
    for encoding, expected in (
        ("utf-8", line),
        ("cp1252", "sigma = 5 µm² · lambda/NA ± ½, -3 -> 4 × … é 1 \\u6587 Sigma 5°"),
        ("ascii", "sigma = 5 um2 | lambda/NA +- 1/2, -3 -> 4 x ... e 1 \\u6587 Sigma 5 deg"),
    ):
        assert printed(encoding, monkeypatch, lambda: result(line)) == expected + "\n"


def test_columns_stay_under_one_another(monkeypatch: pytest.MonkeyPatch):
    def say() -> None:
        shown = table("σ of a localization (nm)", "λ", title="Δ")
        shown.add_row("σσ", "1")
        show_table(shown)

    text = printed("ascii", monkeypatch, say)
    lines = text.splitlines()
    assert "sigmasigma" in text
    assert len({len(line.rstrip()) for line in lines[1:]}) == 1, lines
