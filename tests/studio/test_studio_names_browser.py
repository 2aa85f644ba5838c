"""All panels in the browser at 1280×800: every button has a name, and no words are cut off."""

from __future__ import annotations

from typing import Any

import pytest

from deepstorm3d.studio.page import PANELS
from short_runs import wait_for

# Until a click has reached the server and come back.
CLICKED_MS = 300

NAMELESS = """() => [...document.querySelectorAll("button, a, [role=button]")]
  .filter((each) => each.getClientRects().length && !each.getAttribute("aria-label"))
  .filter((each) => {
    const words = each.cloneNode(true);
    words.querySelectorAll(".q-icon").forEach((icon) => icon.remove());
    return !words.textContent.trim();
  })
  .map((each) => each.outerHTML)"""
# Elements with words of their own that are wider than their room, which is all that is seen of them.
CUT_OFF = """() => [...document.querySelectorAll("body *")]
  .filter((each) => each.getClientRects().length && each.scrollWidth > each.clientWidth + 1)
  .filter((each) => ["hidden", "clip"].includes(getComputedStyle(each).overflowX))
  .filter((each) => [...each.childNodes].some((part) => part.nodeType === 3 && part.textContent.trim()))
  .map((each) => each.textContent)"""

# What can be clicked and lies beyond the right edge of its side bar.
OUTSIDE = """() => [...document.querySelectorAll(".ds-side :is(button, input, .q-chip)")]
  .filter((each) => each.getClientRects().length)
  .filter((each) => each.getBoundingClientRect().right > each.closest(".ds-side").getBoundingClientRect().right)
  .map((each) => each.outerHTML)"""


def check(page: Any) -> None:
    # Panels slide in, and their labels with them; on a busy machine for longer than usual.
    page.wait_for_timeout(600)
    page.wait_for_function("!document.querySelector('[class*=q-transition--][class*=-active]')")
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(OUTSIDE) == []


def open_all(page: Any) -> None:
    """Open what is folded up on the panel that is seen."""
    closed = page.locator(".q-item[aria-expanded=false]:visible")

    def opened() -> bool:
        # A page that the server draws again meanwhile folds up once more what was just clicked.
        if closed.count():
            closed.first.click()
            page.wait_for_timeout(CLICKED_MS)
        return closed.count() == 0

    wait_for(opened, "everything open")


@pytest.mark.parametrize("panel", PANELS)
def test_every_button_has_a_name_and_nothing_is_cut_off(page: Any, panel: str) -> None:
    page.locator(f"[data-test='tab-{panel}']").click()
    check(page)
    open_all(page)
    check(page)


def test_what_is_looked_for_is_found(page: Any) -> None:
    page.evaluate("""() => document.body.insertAdjacentHTML("afterbegin",
      "<button><i class=q-icon>save</i></button><div style='width:9px; overflow:hidden'>wide words</div>")""")
    assert len(page.evaluate(NAMELESS)) == 1
    assert page.evaluate(CUT_OFF) == ["wide words"]
    page.evaluate("""() => document.body.insertAdjacentHTML("afterbegin",
      "<div class=ds-side><button style='margin-left:400px'>far</button></div>")""")
    assert len(page.evaluate(OUTSIDE)) == 1


def test_where_there_is_no_command_yet_a_sentence_says_what_to_choose(page: Any) -> None:
    for panel, words in (("Movie", "choose a movie and a model first"), ("Compare", "choose them first")):
        page.locator(f"[data-test='tab-{panel}']").click()
        page.locator("[data-test=same]:visible").first.click()
        page.locator("[data-test=same-missing]:visible").filter(has_text=words).wait_for()
        assert page.locator("[data-test=same-command]:visible").count() == 0
        page.keyboard.press("Escape")
        page.locator("[data-test=same-missing]:visible").wait_for(state="hidden")
