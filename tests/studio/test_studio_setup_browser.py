"""The panel "Set-up" in the browser: a number changes what is shown, a wrong one says why; the file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import deepstorm3d as ds
from deepstorm3d.experiment.files import read_experiment
from served_studio import PATIENCE_S, Served

# Seconds until a frame is simulated where Numba has to compile first, ms.


@pytest.fixture(scope="module")
def movie(studio: Served) -> Path:
    frames, _ = ds.simulate("quickstart", 3, seed=8)
    path = studio.folder / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def entry(page: Any, path: str) -> Any:
    return page.locator(f"input[data-test='{path}'], [data-test='{path}'] input").first


def begin(page: Any, preset: str) -> None:
    page.locator("[data-test=tab-Set-up]").click()
    page.locator("[data-test=preset]").click()
    page.get_by_role("option", name=preset, exact=True).click()
    named = "name => document.querySelector(\"input[data-test='name']\")?.value === name"
    page.wait_for_function(named, arg=preset)
    words(page).filter(has_text="molecule").wait_for()


def words(page: Any) -> Any:
    return page.locator("[data-test=view-words]")


def simulated(page: Any) -> np.ndarray:
    """The counts of the frame that is shown, as the browser reads them."""
    values = page.evaluate(
        "async () => Array.from(new Uint16Array(await (await fetch('/data/setup/simulated')).arrayBuffer()))"
    )
    return np.array(values)


def another(page: Any, before: np.ndarray) -> np.ndarray:
    """The counts as soon as they are others than before."""
    until = time.monotonic() + PATIENCE_S
    while np.array_equal(now := simulated(page), before):
        assert time.monotonic() < until, "the simulated frame did not change"
        page.wait_for_timeout(200)
    return now


def test_a_number_changes_the_simulated_frame_and_a_wrong_one_says_why(page: Any, movie: Path) -> None:
    page.locator("[data-test=movie-file] input, input[data-test=movie-file]").first.fill(movie.name)
    page.keyboard.press("Enter")
    page.get_by_text("3 frames of 64 × 64 px").wait_for()
    begin(page, "quickstart")
    page.get_by_text("Real: the frame of the panel Movie").wait_for()
    page.wait_for_function("async () => (await fetch('/data/setup/simulated')).ok")
    before = simulated(page)
    page.locator("[data-test=part-scenes]").click()
    level = "scenes.main.background.high"
    entry(page, level).fill("400")
    after = another(page, before)
    assert np.median(after) > 1.3 * np.median(before)
    words(page).filter(has_text="pixel values differ").wait_for()

    entry(page, "microscope.na").fill("1.6")
    page.get_by_text("na 1.6 must be below n_immersion 1.518").wait_for()
    page.get_by_text("1 value is wrong").wait_for()
    np.testing.assert_array_equal(simulated(page), after)
    entry(page, "microscope.na").fill("1.45")
    page.get_by_text("1 value is wrong").wait_for(state="hidden")
    entry(page, level).fill("20")
    np.testing.assert_array_equal(another(page, after), before, "the same seed, the same frame")


def test_another_kind_has_its_own_fields_and_the_file_holds_them(page: Any, studio: Served) -> None:
    begin(page, "telomeres")
    page.locator("[data-test=part-camera]").click()
    page.locator("[data-test='kind-camera']").click()
    page.get_by_role("option", name="scmos", exact=True).click()
    entry(page, "camera.gain").fill("2.2")
    page.wait_for_timeout(900)
    page.locator("[data-test=save]").click()
    page.locator("[data-test=yaml]").get_by_text("gain: 2.2").wait_for()
    entry(page, "save-name").fill("mine.yaml")
    page.locator("[data-test=save-file]").click()
    page.get_by_text("wrote mine.yaml").wait_for()
    written = read_experiment(studio.folder / "mine.yaml")
    assert written.camera.to_mapping()["gain"] == 2.2 and written.name == "telomeres"
    page.locator("[data-test=same]:visible").click()
    page.get_by_text("--preset telomeres").wait_for()
    shown = page.locator("[data-test=same-command]:visible").inner_text()
    assert "--set camera.kind=scmos --set camera.gain=2.2" in " ".join(shown.split())
