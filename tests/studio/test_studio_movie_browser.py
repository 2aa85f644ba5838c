"""The panel "Movie" in the browser: open, choose a model, move the threshold, scrub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tifffile

import deepstorm3d as ds
from served_studio import Served

EMITTERS = 12


@pytest.fixture(scope="module")
def movie(studio: Served) -> Path:
    frames, _ = ds.simulate(ds.load_model("tetrapod").experiment, frames=3, emitters=EMITTERS, seed=4)
    path = studio.folder / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def test_movie_is_opened_and_each_frame_localized_as_one_looks(page: Any, movie: Path):
    page.locator("[data-test=movie-file] input, input[data-test=movie-file]").fill(movie.name)
    page.keyboard.press("Enter")
    page.get_by_text("3 frames of 121 × 121 px").wait_for()
    page.locator("[data-test=model-tetrapod]").click()
    count = page.locator("[data-test=count]")
    count.filter(has_text="joint fit").wait_for(timeout=120_000)
    assert molecules(count) == EMITTERS
    assert "good" in page.locator("[data-test=light]").get_attribute("class")


def molecules(count: Any) -> int:
    """How many are found, from the line that says so."""
    return int(re.match(r"(\d+) molecules", count.inner_text())[1])
