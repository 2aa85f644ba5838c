"""The studio's panel "Movie": time from a click on the next frame to the marks of the network, and of the fit.

A simulated movie of the built-in model (121×121 px, --emitters in each frame) in Chromium without a window, on
this machine's processor; the browser draws in software. The click is the browser's; the marks are there when
the page asks for the image that they predict. Also the seconds from the command to its address, and from there
to a first fitted frame.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tifffile
from playwright.sync_api import sync_playwright

import deepstorm3d as ds
from harness import arguments_of, report

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
FRAMES = 12
# Seconds without new marks after which none come.
SETTLED_S = 2.0


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a studio over a folder."""
    command = [sys.executable, "-m", "deepstorm3d", "studio", str(folder), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def opened(page: Any, address: str) -> None:
    """The page with the movie open, its model chosen, and the first frame fitted."""
    page.goto(address)
    page.wait_for_function("window.did_handshake === true")
    field = page.locator("input[data-test=movie-file]")
    field.fill("movie.tif")
    field.press("Enter")
    page.get_by_text(f"{FRAMES} frames of").wait_for()
    page.locator("[data-test=model-tetrapod]").click()
    page.locator("[data-test=count]").filter(has_text="joint fit").wait_for(timeout=300_000)


def click_to_marks(page: Any) -> tuple[float, float]:
    """Seconds from a click on the next frame to its first marks, and to those of the fit.

    With new marks the page asks for the image that they predict: these requests are timed. The first marks are
    the network's, unless those of the fit come with them.
    """
    asked: list[float] = []

    def note(request: Any) -> None:
        if "/data/movie/model" in request.url:
            asked.append(time.perf_counter())

    page.on("request", note)
    began = time.perf_counter()
    page.locator("[data-test=next]").click()
    while not asked or time.perf_counter() - asked[-1] < SETTLED_S or page.locator(".q-spinner").is_visible():
        page.wait_for_timeout(5)
    page.remove_listener("request", note)
    return asked[0] - began, asked[-1] - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emitters", type=int, nargs="+", default=[10, 35, 75])
    arguments = arguments_of(parser)
    frames = 3 if arguments.quick else FRAMES
    model = ds.load_model("tetrapod", device="cpu")
    rows = []
    for emitters in arguments.emitters[:1] if arguments.quick else arguments.emitters:
        with tempfile.TemporaryDirectory() as scratch:
            movie, _ = ds.simulate(model.experiment, frames=FRAMES, emitters=emitters, seed=1)
            tifffile.imwrite(Path(scratch) / "movie.tif", movie, photometric="minisblack")
            began = time.perf_counter()
            with served(Path(scratch)) as address, sync_playwright() as playwright:
                told = time.perf_counter() - began
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                began = time.perf_counter()
                opened(page, address)
                ready = time.perf_counter() - began
                times = [click_to_marks(page) for _ in range(frames - 1)]
                browser.close()
        rows.append(
            {
                "emitters": emitters,
                "command to address, s": round(told, 2),
                "page, movie, model and first fit, s": round(ready, 2),
                "click to first marks, s": round(statistics.median(pair[0] for pair in times), 3),
                "click to fit, s": round(statistics.median(pair[1] for pair in times), 3),
            }
        )
    report("studio_movie", rows, arguments)


if __name__ == "__main__":
    main()
