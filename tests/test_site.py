"""The documentation as a site: each public name is explained, each page has its place in the menu."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

import deepstorm3d as ds

ROOT = Path(__file__).parents[1]
CHECK = runpy.run_path(str(ROOT / "docs" / "check_public.py"))


def test_every_public_name_is_explained_and_stands_on_one_page_of_the_reference():
    assert CHECK["troubles"]() == []


def test_a_name_that_no_page_has_is_noticed_and_so_is_one_that_is_not_public(tmp_path: Path):
    (tmp_path / "verbs.md").write_text("::: deepstorm3d.link\n\n::: deepstorm3d.linked\n", encoding="utf-8")
    wrong = CHECK["misplaced"]({"deepstorm3d.link", "deepstorm3d.filter"}, tmp_path)
    assert wrong == [
        "deepstorm3d.filter stands 0 times on the pages of docs/api, once is right",
        "deepstorm3d.linked in docs/api is no public name",
    ]


def test_a_parameter_that_a_docstring_does_not_name_is_noticed():
    def shift(table: object, by_nm: float, frames: int) -> object:
        """Move a table.

        Parameters
        ----------
        table : Localizations
        by_nm : float
            How far.
        """
        return table, by_nm, frames

    assert list(CHECK["unexplained"]("shift", shift)) == ["shift: its docstring does not say what frames is"]
    assert list(CHECK["unexplained"]("nothing", lambda: None)) == ["nothing has no docstring"]


def pages_of(menu: Any) -> list[str]:
    """Every page of a menu with entries in entries."""
    if isinstance(menu, str):
        return [menu]
    return [page for entry in menu for page in pages_of(entry.values() if isinstance(entry, dict) else entry)]


def test_the_menu_leads_to_every_page():
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    # Those that site_pages.py makes from README, CHANGELOG, CONTRIBUTING and RESULTS, or joins to README.
    made = {"index.md", "changelog.md", "contributing.md", "results.md"}
    assert set(pages_of(menu)) | {"landing.md", "gallery/index.md"} == written | made


@pytest.mark.parametrize("name", ["nouns", "verbs", "plot"])
def test_nouns_are_classes_and_verbs_and_pictures_functions(name: str):
    page = (ROOT / "docs" / "api" / f"{name}.md").read_text(encoding="utf-8")
    entries = [line.split()[1].split(".")[1:] for line in page.splitlines() if line.startswith(":::")]
    owner = ds.plot if name == "plot" else ds
    classes = [isinstance(getattr(owner, path[-1]), type) for path in entries]
    assert all(classes) if name == "nouns" else not any(classes)
