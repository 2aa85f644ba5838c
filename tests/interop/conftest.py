"""The clients: other programs in a Python of their own, run by subprocess; one that is not there is skipped."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PYTHON = Path(os.environ.get("DEEPSTORM3D_CLIENTS") or HERE.parents[1] / ".venv-clients" / "bin" / "python")
Client = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.interop)


@cache
def is_there(package: str) -> bool:
    if not PYTHON.is_file():
        return False
    return subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True).returncode == 0


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Call a function of ``clients/NAME_client.py`` in the clients' Python: plain values there and back.

    The home folder is a temporary one, for Picasso writes settings there.
    """

    def call(name: str, function: str, *arguments: object) -> Any:
        package = {"comet": "comet.core.io_utils"}.get(name, name)
        if not is_there(package):
            pytest.skip(f"{name} is not in {PYTHON}; `make test-interop` installs it")
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [PYTHON, HERE / "clients" / f"{name}_client.py", function, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(home), "MPLBACKEND": "agg", "PYTHONPATH": ""},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


@pytest.fixture
def note(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Print a measured difference, whatever pytest does with the output."""
    lines: list[str] = []
    yield lines.append
    with capsys.disabled():
        for line in lines:
            print(f"\n  {request.node.name}: {line}", end="")
