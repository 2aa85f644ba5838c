"""The panel "Movie" in the browser: open a movie, choose a model, move the threshold, scrub, mark a region."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tifffile

import deepstorm3d as ds
from served_studio import Served, showing

EMITTERS = 12


@pytest.fixture(scope="module")
def movie(studio: Served) -> Path:
    frames, _ = ds.simulate(ds.load_model("tetrapod").experiment, frames=3, emitters=EMITTERS, seed=4)
    path = studio.folder / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture
def page(page: Any, movie: Path) -> Any:
    """The page with the movie open, and a model chosen."""
    if page.get_by_text("3 frames of 121 × 121 px").count() == 0:
        element(page, "choose-Movie").click()
        element(page, "entry-movie.tif").click()
    page.get_by_text("3 frames of 121 × 121 px").wait_for()
    element(page, "model-tetrapod").click()
    element(page, "count").filter(has_text="molecules ·").wait_for()
    return page


def element(page: Any, name: str) -> Any:
    return page.locator(f"[data-test='{name}']")


def molecules(page: Any, source: str) -> int:
    """How many are found, once that source has answered."""
    line = element(page, "count").filter(has_text=source)
    line.wait_for()
    found = re.match(r"(\d+) molecules", line.inner_text())
    assert found is not None
    return int(found[1])


def test_a_movie_is_chosen_and_its_frames_are_localized_as_one_looks(page: Any):
    assert molecules(page, "joint fit") == EMITTERS
    assert "good" in element(page, "light").get_attribute("class")
    # The canvas shows light where the molecules are: not one colour.
    assert colours_of(page, "view-frame") > 50
    assert colours_of(page, "view-model") > 50


def test_the_chooser_offers_movies_and_opens_again_where_one_was_chosen(page: Any, movie: Path):
    day = movie.parent / "day"
    day.mkdir(exist_ok=True)
    (day / "movie.tif").write_bytes(movie.read_bytes())
    (day / "truth.csv").write_text("x,y\n")
    element(page, "choose-Movie").click()
    element(page, "entry-day").click()
    element(page, "entry-movie.tif").wait_for()
    assert element(page, "entry-truth.csv").count() == 0
    element(page, "entry-movie.tif").click()
    page.wait_for_function("() => document.querySelector('[data-test=movie-file]').value === 'day/movie.tif'")
    element(page, "choose-Movie").click()
    element(page, "entry-movie.tif").wait_for()
    assert element(page, "entry-day").count() == 0
    page.keyboard.press("Escape")
    # As it was, for the tests after this one.
    page.locator("input[data-test=movie-file]").fill(movie.name)
    page.keyboard.press("Enter")
    element(page, "count").filter(has_text="joint fit").wait_for()


def colours_of(page: Any, view: str) -> int:
    """How many different colours a canvas shows."""
    return page.locator(f"[data-test='{view}'] canvas").evaluate(
        """canvas => {
             const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
             return new Set(new Uint32Array(pixels.buffer)).size;
           }"""
    )


def test_the_threshold_changes_what_is_found(page: Any):
    before = molecules(page, "joint fit")
    element(page, "refine").click()
    assert abs(molecules(page, "network") - before) <= 2
    slider = element(page, "threshold")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function("!document.querySelector('[data-test=threshold-value]').innerText.includes('model')")
    page.wait_for_function(f"!document.querySelector('[data-test=count]').innerText.startsWith('{before} ')")
    assert molecules(page, "network") < before
    element(page, "refine").click()
    page.get_by_text("restart_alt").click()
    assert molecules(page, "joint fit") == before


def test_arrows_scrub_and_a_second_tab_sees_the_same(page: Any, browser: Any, studio: Served):
    element(page, "view-frame").locator("canvas").click()
    page.keyboard.press("ArrowRight")
    page.get_by_text("frame 1 (0 to 2)").wait_for()
    with showing(browser, studio) as other:
        other.get_by_text("frame 1 (0 to 2)").wait_for()
        element(other, "next").click()
        page.get_by_text("frame 2 (0 to 2)").wait_for()


def test_the_pointer_reads_counts_and_shift_drags_a_region(page: Any, movie: Path):
    canvas = element(page, "view-frame").locator("canvas")
    box = canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    frame = int(re.search(r"frame (\d+)", element(page, "place").inner_text())[1])
    counts = int(ds.read_movie(movie)[frame][60, 60])
    assert f"{counts} ADU" in element(page, "view-frame").inner_text()
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(middle[0] + 250, middle[1] + 250, steps=5)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.get_by_text("Orientation, background, region").click()
    told = page.get_by_text("region: columns")
    told.wait_for()
    x0, x1, y0, y1 = map(int, re.findall(r"\d+", told.inner_text()))
    assert (x0, y0) in ((60, 60), (61, 61)) and x1 == y1 > 100
    page.get_by_text("Whole frame").click()
    page.get_by_text("Shift and drag").wait_for()


def test_the_same_is_told_as_a_command(page: Any):
    element(page, "same").first.click()
    page.get_by_text("deepstorm3d localize movie.tif --model tetrapod").wait_for()


def test_a_sample_says_whether_the_model_fits(page: Any):
    element(page, "sample").click()
    element(page, "sample-answer").get_by_text("verdict: the model explains").wait_for()
    assert element(page, "sample-answer").locator("img").count() == 4


def test_a_file_that_is_no_movie_is_refused_in_words_and_nothing_is_lost(page: Any, movie: Path):
    movie.with_name("notes.tif").write_text("no movie")
    field = page.locator("input[data-test=movie-file]")
    field.fill("notes.tif")
    field.press("Enter")
    wrong = page.locator("label.ds-file").filter(has=element(page, "movie-file")).locator(".q-field__messages")
    wrong.filter(has_text="notes.tif").wait_for()
    field.fill("../outside.tif")
    field.press("Enter")
    wrong.filter(has_text="outside the folder of this studio").wait_for()
    page.get_by_text("3 frames of 121 × 121 px").wait_for()


def test_the_whole_movie_is_localized_by_the_form_for_it(page: Any):
    element(page, "localize-all").click()
    page.locator("[data-test=form-localize][aria-selected=true]").wait_for()
    page.locator("[data-test=localize-movie]").first.wait_for()


def test_what_is_chosen_of_dark_and_light_stays_after_a_reload(page: Any):
    seen = page.evaluate("document.body.classList.contains('body--dark')")
    page.locator("[data-test=dark]").click()
    page.wait_for_function(f"document.body.classList.contains('body--dark') !== {str(seen).lower()}")
    # The page is dark a moment before it has noted that.
    page.wait_for_function("document.cookie.includes('deepstorm3d-dark=')")
    page.reload()
    page.wait_for_function("window.did_handshake === true")
    page.wait_for_function(f"document.body.classList.contains('body--dark') !== {str(seen).lower()}")
