"""The panel "Movie" in the browser: a movie that is refused, frames without contrast, and a narrow window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile

import deepstorm3d as ds
from served_studio import Served

# Whether the panel of a tab is the one that is seen, and can be scrolled to the room beside its controls.
REACHED = """(name) => {
  const panels = [...document.querySelectorAll(".ds-panel")].filter((panel) => panel.clientWidth);
  const chosen = document.querySelector(".ds-header .q-tab--active").textContent.trim();
  if (panels.length !== 1 || chosen !== name) return false;
  const holder = panels[0].closest(".q-panel");
  const main = panels[0].querySelector(".ds-main") || panels[0].lastElementChild;
  holder.scrollLeft = 10000;
  return getComputedStyle(holder).overflowX === "auto" && main.clientWidth >= 360
    && main.getBoundingClientRect().right <= innerWidth + 1;
}"""
TABS = ("Movie", "Set-up", "Beads", "Train and run", "Result", "Limits", "Compare")
# Colours on the canvas of a view.
COLOURS = """(view) => {
  const canvas = document.querySelector(`[data-test='${view}'] canvas`);
  const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const pixels = new Uint32Array(bytes.buffer);
  return [...new Set(pixels)].filter((pixel) => pixel).map((pixel) => pixel & 255);
}"""


def element(page: Any, name: str) -> Any:
    return page.locator(f"[data-test='{name}']")


def opened(page: Any, name: str, frames: int) -> None:
    element(page, "choose-Movie").click()
    element(page, f"entry-{name}").click()
    page.get_by_text(f"{frames} frames of").wait_for()


def test_the_welcome_lies_beside_the_controls_in_any_window(page: Any):
    element(page, "tab-Movie").click()
    for width in (400, 800, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        card, side = element(page, "welcome").bounding_box(), page.locator(".ds-side").first.bounding_box()
        assert card["x"] >= side["x"] + side["width"] and card["width"] > 400


def test_what_was_there_before_a_refused_movie_is_taken_away(page: Any, studio: Served):
    frames, _ = ds.simulate(ds.load_model("tetrapod").experiment, frames=3, emitters=4, seed=4)
    tifffile.imwrite(studio.folder / "movie.tif", frames, photometric="minisblack")
    full = np.full((5, 121, 121), 65535, np.uint16)
    tifffile.imwrite(studio.folder / "full.tif", full, photometric="minisblack")
    opened(page, "movie.tif", 3)
    element(page, "model-tetrapod").click()
    element(page, "count").filter(has_text="joint fit").wait_for()
    page.wait_for_function(f"() => ({COLOURS})('view-residual').length > 50")
    opened(page, "full.tif", 5)
    page.get_by_text("100% of the pixels are saturated").wait_for()
    for view in ("view-model", "view-residual"):
        page.wait_for_function(f"() => ({COLOURS})('{view}').length === 0")
        assert "ds-stale" not in element(page, view).get_attribute("class")
    # A frame without contrast is neither black nor white, and says what it is.
    element(page, "view-frame").get_by_text("all pixels are 65535 ADU").wait_for()
    assert page.evaluate(COLOURS, "view-frame") == [pytest.approx(128, abs=1)]
    opened(page, "movie.tif", 3)
    element(page, "count").filter(has_text="joint fit").wait_for()
    page.wait_for_function(f"() => ({COLOURS})('view-residual').length > 50")
    assert element(page, "view-frame").get_by_text("all pixels").count() == 0


def test_in_a_narrow_window_everything_can_be_scrolled_to(page: Any):
    page.set_viewport_size({"width": 400, "height": 700})
    for name in TABS:
        tab = element(page, f"tab-{name}")
        tab.scroll_into_view_if_needed()
        tab.click()
        page.wait_for_function(REACHED, arg=name)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
    element(page, "dark").scroll_into_view_if_needed()
    assert element(page, "dark").bounding_box()["x"] < 400
