"""Names of files, scenes and models that look like markup are shown as they are, and nothing of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepstorm3d.experiment.presets import PRESETS
from deepstorm3d.spec import to_yaml
from served_studio import Served

# As a property and as an element of its own; each with and without the quotes that texts are written in.
HOSTILE = [
    "x' onmouseover='document.title=String(6*7)' k='.csv",
    'x" onmouseover="document.title=String(6*7)" k=".csv',
    "<img src=x onerror=document.title=String(6*7)>.csv",
    "Bob's list.csv",
]
CODE = "() => [...document.querySelectorAll('*')].filter((one) => one.onmouseover || one.onerror).length"


@pytest.fixture(scope="module", autouse=True)
def hostile(studio: Served) -> Path:
    """A folder with such lists, and an experiment whose scene has such a name."""
    for name in HOSTILE:
        (studio.folder / name).write_text("frame,x [nm],y [nm],z [nm]\n0,100,100,0\n", encoding="utf-8")
    given = PRESETS["quickstart"]()
    scene = next(iter(given.scenes.values()))
    named = given.with_(scenes={name.removesuffix(".csv"): scene for name in HOSTILE})
    (studio.folder / "named.yaml").write_text(to_yaml(named), encoding="utf-8")
    return studio.folder


def test_a_chooser_shows_a_name_as_it_is(page: Any) -> None:
    page.locator("[data-test=tab-Result]").click()
    # Its own one: right after the click the panel before it is still on the page.
    page.locator("[data-test='choose-Localizations']:visible").first.click()
    lines = page.locator(".ds-chooser-line")
    lines.first.wait_for()
    for name in HOSTILE:
        line = lines.filter(has=page.get_by_text(name, exact=True))
        assert line.get_attribute("data-test") == f"entry-{name}"
        line.hover()
        assert line.get_attribute("onmouseover") is None
    check(page)


def test_a_set_up_shows_the_name_of_a_scene_as_it_is(page: Any) -> None:
    page.locator("[data-test=tab-Set-up]").click()
    entry = page.locator("input[data-test='experiment-file'], [data-test='experiment-file'] input").first
    entry.fill("named.yaml")
    page.keyboard.press("Enter")
    shown = "() => [...document.querySelectorAll('[data-test]')].map((one) => one.dataset.test)"
    path = f"scenes.{HOSTILE[0].removesuffix('.csv')}"
    page.wait_for_function(f"path => ({shown})().some((one) => one.includes(path))", arg=path)
    check(page)


def check(page: Any) -> None:
    assert page.evaluate(CODE) == 0
    assert page.title() != "42"
