"""What is given away: one version number, a wheel and a source archive with what they need and no more."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import deepstorm3d

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "deepstorm3d"
_WEB = [path for path in (PACKAGE / "studio" / "web").rglob("*") if path.is_file()]
PAGES = {path.relative_to(PACKAGE).as_posix() for path in _WEB}
DATA = {
    "experiment/known_masks.json",
    "jobs/report/report.html.j2",
    "models/known.json",
    "models/astigmatic.pt",
    "models/biplane.pt",
    "models/learned.pt",
    "models/learned-precise.pt",
    "models/tetrapod.pt",
    "optics/learned.npz",
    "optics/tetrapod.json",
    "py.typed",
} | PAGES
"""What the package holds beside its modules: among them the scripts and styles of the studio's pages."""


def modules() -> set[str]:
    """The modules of the package in the repository, relative to it."""
    return {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source archive built from the repository, without the network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_version_stands_in_one_place_and_the_citation_agrees():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == deepstorm3d.__version__


def test_the_version_is_the_first_thing_that_the_package_assigns():
    """Hatch reads it without importing the package; so can anyone."""
    statements = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    first = next(node for node in statements if isinstance(node, ast.Assign))
    assert ast.unparse(first) == f"__version__ = {deepstorm3d.__version__!r}"


def test_the_wheel_holds_the_package_and_nothing_else(archives: Path):
    (wheel,) = archives.glob("*.whl")
    assert wheel.name == f"deepstorm3d-{deepstorm3d.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    inside = {name.removeprefix("deepstorm3d/") for name in names if name.startswith("deepstorm3d/")}
    assert inside == modules() | DATA
    beside = {name for name in names if not name.startswith(("deepstorm3d/", "deepstorm3d-"))}
    assert not beside
    assert "deepstorm3d = deepstorm3d.cli:main" in entry_points


def test_the_source_archive_holds_what_the_wheel_is_built_from(archives: Path):
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = {name.removeprefix("src/deepstorm3d/") for name in names if name.startswith("src/")}
    assert package == modules() | DATA
    others = {name.partition("/")[0] for name in names if not name.startswith("src/")}
    papers = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml"}
    assert others == papers | {"configs", "PKG-INFO", ".gitignore"}


def test_the_lowest_versions_that_are_tested_are_those_declared():
    """`make test-lowest` installs constraints-lowest.txt; tools that only look at the source are not in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [needs for extra, needs in project["optional-dependencies"].items() if extra != "docs"]
    needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
    declared = {found[1]: found[2] for need in needs if (found := re.fullmatch(r"([\w.-]+)>=([\w.]+)", need))}
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    # Torch before 2.13 is to be had for Linux only with CUDA: the file says so.
    # NiceGUI needs a newer pydantic than the rest: the studio is tested with the versions of constraints.txt.
    left_out = {"torch", "ruff", "pyright", "vulture", "hatchling", "nicegui", "playwright"}
    assert {name: tested[name] for name in tested if name not in left_out} == {
        name: number for name, number in declared.items() if name not in left_out
    }
