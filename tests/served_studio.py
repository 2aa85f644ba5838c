"""A studio that runs in a process of its own, and a tab of a browser that shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# How long a page may take for anything: of a machine that does much else.
PATIENCE_S = 300
_SIZE = {"width": 1280, "height": 800}


@dataclass(frozen=True)
class Served:
    """A studio that runs.  folder: what it was given;  url: with its token."""

    folder: Path
    url: str
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        """Without the token."""
        return self.url.partition("/?")[0]


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """A studio over a folder, in a process of its own. The tests fail where one of its handlers does."""
    command = [sys.executable, "-m", "deepstorm3d", "studio", str(folder), "--no-browser", "--port", "0"]
    # What it complains of goes to a file: a pipe that nobody reads would stop it when it is full.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True)
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if url:
                yield Served(folder, url, process)
        finally:
            process.terminate()
            process.communicate(timeout=30)
            complaints.seek(0)
            said = complaints.read()
        if not url or "Traceback" in said:
            raise RuntimeError(f"the studio ended, or has a fault:\n{said}")


@contextmanager
def showing(browser: Any, studio: Served) -> Iterator[Any]:
    """One tab of the studio in a browser of its own."""
    context = browser.new_context(viewport=_SIZE)
    context.set_default_timeout(1000 * PATIENCE_S)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: None if _is_own(request.url, studio) else wrong.append(request.url))
    tab.goto(studio.url)
    tab.get_by_text("deepstorm3d", exact=True).wait_for()
    tab.wait_for_function("window.did_handshake === true")
    yield tab
    if folder := os.environ.get("STUDIO_PICTURES"):
        name = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].partition(" ")[0]
        tab.screenshot(path=Path(folder) / f"{name}.png")
    context.close()
    # A request that the server refuses in words (status 4xx) is one of the things that are tested.
    wrong = [line for line in wrong if "Failed to load resource" not in line]
    assert not wrong, "\n".join(wrong)


def _is_own(url: str, studio: Served) -> bool:
    return url.startswith((studio.origin, "data:", "blob:"))
