"""The panel "Beads" in the browser: a stack is opened, a bead left out and taken by clicks, its mask found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bead_stacks import CENTRES, SIDE, bead_folder, true_mask
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.io.masks import read_mask
from served_studio import Served

# Until beads are found, and until a mask is, ms.
AT = [(round(x), round(y)) for x, y in CENTRES]


@pytest.fixture(scope="module")
def beads(studio: Served) -> Path:
    return bead_folder(studio.folder)


def entry(page: Any, name: str) -> Any:
    return page.locator(f"input[data-test='{name}'], [data-test='{name}'] input").first


def open_stack(page: Any, name: str = "beads.tif") -> None:
    page.locator("[data-test=tab-Set-up]").click()
    entry(page, "experiment-file").fill("experiment.yaml")
    page.keyboard.press("Enter")
    page.locator("[data-test=tab-Beads]").click()
    page.get_by_text("Set-up: experiment.yaml").wait_for()
    for field, value in (("step_um", "0.1"), ("first_um", "-1"), ("bead_um", "200"), ("side_px", str(SIDE))):
        entry(page, f"bead-{field}").fill(value)
    entry(page, "bead-file").fill(name)
    page.keyboard.press("Enter")
    count(page).filter(has_text="3 of 3 beads used").wait_for()


def count(page: Any) -> Any:
    return page.locator("[data-test=bead-count]")


def click_at(page: Any, column: float, row: float, side: int = 84) -> None:
    """Click on a place of the stack, which is drawn as large as it fits."""
    box = page.locator("[data-test=view-beads] canvas").bounding_box()
    scale = min(box["width"], box["height"]) / side
    x = box["x"] + box["width"] / 2 + (column + 0.5 - side / 2) * scale
    y = box["y"] + box["height"] / 2 + (row + 0.5 - side / 2) * scale
    page.mouse.click(x, y)


def test_a_mask_is_found_from_beads_that_were_chosen_by_clicking(page: Any, beads: Path) -> None:
    open_stack(page)
    click_at(page, *AT[1])
    count(page).filter(has_text="2 of 3 beads used").wait_for()
    page.locator(f"[data-test=bead-{AT[1][0]}-{AT[1][1]}].left").wait_for()
    click_at(page, *AT[1])
    count(page).filter(has_text="3 of 3 beads used").wait_for()
    for used, (column, row) in zip((2, 1), AT[1:], strict=True):
        page.locator(f"[data-test=bead-{column}-{row}]").click()
        count(page).filter(has_text=f"{used} of 3 beads used").wait_for()
    page.locator("[data-test=retrieve]").click()
    page.locator("[data-test=mask-figure]").first.wait_for()
    assert page.locator("[data-test=mask-figure]").first.inner_text().startswith("1 beads, ")
    entry(page, "mask-name").fill("found.npy")
    page.locator("[data-test=save-mask]").click()
    page.get_by_text("wrote found.npy").wait_for()
    phase = read_mask(beads / "found.npy")
    true = true_mask()().detach().numpy()
    assert abs(complex(np.exp(1j * (phase - true)).mean())) > 0.9
    assert read_experiment(beads / "found.yaml").mask.kind == "file"


def test_another_step_and_another_frame_size_are_drawn_in_place_of_those_before(page: Any, beads: Path) -> None:
    # A refresh of the page that fails would also end the studio with an error (`serving`).
    counts = tifffile.imread(beads / "beads.tif")
    tifffile.imwrite(beads / "wide.tif", np.pad(counts, [(0, 0), (0, 36), (0, 36)], mode="edge"))
    # Of a stack that is open the studio remembers which beads another test has left out.
    tifffile.imwrite(beads / "other.tif", counts)
    open_stack(page, "other.tif")
    for name, text in (("bead-step_um", "0.11"), ("bead-file", "wide.tif")):
        card = page.locator(f"[data-test=bead-{AT[1][0]}-{AT[1][1]}]")
        card.evaluate("drawn => { drawn.dataset.before = 'yes'; }")
        entry(page, name).fill(text)
        page.keyboard.press("Enter")
        page.locator(f"[data-test=bead-{AT[1][0]}-{AT[1][1]}]:not([data-before])").wait_for()
        count(page).filter(has_text="3 of 3 beads used").wait_for()
    page.wait_for_timeout(500)
    click_at(page, *AT[1], side=120)
    count(page).filter(has_text="2 of 3 beads used").wait_for()


def test_a_number_that_is_none_says_so_at_its_field(page: Any, beads: Path) -> None:
    page.locator("[data-test=tab-Beads]").click()
    entry(page, "bead-step_um").fill("quick")
    page.get_by_text("Step (µm): 'quick' is no number").wait_for()
    entry(page, "bead-file").fill("../beads.tif")
    page.keyboard.press("Enter")
    page.get_by_text("lies outside the folder of this studio").wait_for()
