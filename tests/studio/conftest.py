"""The studio, and a page of Debian's Chromium (or of Chrome) that shows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from served_studio import Served, serving, showing

pytest.importorskip("nicegui", reason="the studio needs NiceGUI")

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Nothing but pages: no sandbox (in containers none can be made), no traffic of the browser's own.
_PLAIN = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-unsafe-swiftshader"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is marked so, and left out of a plain run."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio over an empty folder; the tests of a module share it."""
    with serving(tmp_path_factory.mktemp("studio")) as served:
        yield served


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; skips where it or Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are tested with Playwright")
    if _CHROMIUM is None:
        pytest.skip("pages are tested in Chromium, which is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=_CHROMIUM, args=_PLAIN)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, studio: Served) -> Iterator[Any]:
    """The studio's page. The test fails where it reports an error, or asks any other machine for anything."""
    with showing(browser, studio) as tab:
        yield tab
