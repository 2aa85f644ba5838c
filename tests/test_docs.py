"""The documentation says what is so: its links lead somewhere, its commands exist, its example runs."""

from __future__ import annotations

import itertools
import re
import runpy
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import deepstorm3d as ds
from deepstorm3d.cli import app
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """Fenced code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Every call of the program on a page, in blocks and in running text, as its arguments."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = text.splitlines() + [" ".join(code.split()) for code in re.findall(r"`(deepstorm3d [^`]+)`", prose)]
    calls = [shlex.split(line, comments=True) for line in lines]
    return [call[call.index("deepstorm3d") + 1 :] for call in calls if "deepstorm3d" in call]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not dead, f"{name(page)} points to what is not there: {dead}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_commands_and_their_options_exist(page: Path):
    program = typer.main.get_command(app)
    wrong = [trouble for call in commands(page) for trouble in troubles(program, call)]
    assert not wrong, f"{name(page)}:\n" + "\n".join(wrong)


def test_a_wrong_command_or_option_is_noticed():
    program = typer.main.get_command(app)
    assert troubles(program, ["localise", "movie.tif"])
    assert troubles(program, ["localize", "movie.tif", "--modell", "tetrapod"])
    assert not troubles(program, ["models", "show", "tetrapod", "--export=here"])


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_channels_that_a_command_names_are_those_of_its_preset(page: Path):
    wrong = []
    for call in commands(page):
        known = {channel for preset in PRESETS if preset in call for channel in PRESETS[preset]().channel_names}
        named = [
            value.partition("=")[0]
            for option, value in itertools.pairwise(call)
            if option in ("--hold", "--channel") or (option == "--start" and "=" in value)
        ]
        wrong += [f"{shlex.join(call)}: no channel {each}" for each in named if known and each not in known]
    assert not wrong, "\n".join(wrong)


def troubles(command: Any, call: list[str]) -> list[str]:
    """What of a call the program does not know."""
    words = list(call)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return [f"deepstorm3d {shlex.join(call)}: there is no command {words[0]}"]
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known.add("--help")
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [
        f"deepstorm3d {shlex.join(call)}: there is no {option}" for option in options if option not in known
    ]


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]):
    (example,) = blocks(ROOT / "README.md", "python")
    scope: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), scope)
    assert scope["movie"].shape == (2, 121, 121)
    assert len(scope["found"]) == len(scope["truth"]) == 10
    assert scope["picture"].axes
    assert set(scope["table"].columns) >= {"x_nm", "sigma_z_nm", "photons"}
    assert "Jaccard 1.000" in capsys.readouterr().out


def test_masks_are_made_and_turned_as_the_pages_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for page in ("tutorial.md", "how-to/mask.md"):
        for example in blocks(ROOT / "docs" / page, "python"):
            exec(compile(example, page, "exec"), {})
    assert (tmp_path / "my_mask.npy").exists()
    assert (tmp_path / "my_mask_flipped.npy").exists()


def test_a_camera_is_registered_as_the_page_says():
    (example,) = blocks(ROOT / "docs" / "how-to" / "camera.md", "python")
    exec(compile(example, "camera.md", "exec", dont_inherit=True), {"__name__": "camera_page"})
    camera = Experiment.model_validate({"camera": {"kind": "photon_counter", "dark": 2.0}}).camera
    counts = camera.expose(torch.full((40, 30, 30), 5.0), torch.Generator().manual_seed(0))
    # 36,000 pixels tell the mean to 0.014.
    assert float(camera.to_photons(counts).mean()) == pytest.approx(5.0, abs=0.06)
    assert float(counts.var()) == pytest.approx(
        float(camera.pixel_noise().variance(torch.tensor(5.0))), rel=0.05
    )


def test_the_examples_from_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    first, *examples = blocks(ROOT / "docs/how-to/python.md", "python")
    assert [first] == blocks(ROOT / "README.md", "python"), "the page begins with the example that is run above"
    scope: dict[str, Any] = {"__name__": "python_page", "ds": ds}
    with warnings.catch_warnings():
        for example in examples:
            exec(compile(example, "python.md", "exec", dont_inherit=True), scope)
    assert len(scope["bright"]) == 1
    assert scope["planes"].shape == (3, 31, 31)
    assert (scope["sigma"][:, :3] > 0).all()
    assert (tmp_path / "mask.png").exists()
    # A PSF of one's own: five molecules of 5,000 photons above a background of 20 in each pixel.
    own = scope["movie"].astype(float) - 20.0
    assert own.shape == (1, 48, 64) and own.sum() == pytest.approx(25_000, rel=0.1)


def test_the_reference_of_commands_is_what_the_program_says():
    maker = runpy.run_path(str(ROOT / "docs" / "reference" / "make_cli.py"))
    written = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == maker["page"](), "the commands have changed: run `make docs`"
