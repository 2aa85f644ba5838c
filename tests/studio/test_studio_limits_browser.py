"""The panel "Limits" in the browser: masks side by side, saved; a mask designed, stopped and resumed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.io.masks import read_mask, write_mask
from factories import tiny_experiment
from served_studio import Served

STEPS = 240


@pytest.fixture(scope="module")
def files(studio: Served) -> Path:
    """An experiment and a flat mask in the studio's folder."""
    small = tiny_experiment(design=DesignSpec(learning_rate=0.05, fisher_steps=STEPS), frame_px=(32, 32))
    write_experiment(small, studio.folder / "tiny.yaml")
    write_mask(studio.folder / "flat.npy", np.zeros((61, 61)))
    return studio.folder


def opened(page: Any) -> None:
    page.locator("[data-test=tab-Limits]").click()
    fill(page, "limits-experiment", "tiny.yaml")
    page.locator("[data-test=limits-masks]").get_by_text("astigmatic").wait_for()


def fill(page: Any, name: str, text: str) -> None:
    """Type into the input of this name, and press Enter."""
    page.locator(f"input[data-test={name}]").fill(text)
    page.keyboard.press("Enter")


def test_bounds_of_two_masks_appear_and_are_saved_as_the_command_does(page: Any, files: Path):
    opened(page)
    fill(page, "limits-add", "flat.npy")
    page.locator("[data-test=limits-strips] img").nth(3).wait_for()
    state = page.locator("[data-test=limits-state]")
    state.filter(has_text="Many molecules").wait_for()
    names = page.locator("[data-test=limits-table] thead th").all_inner_texts()
    assert [name.strip() for name in names] == ["σ of x · y · z (nm)", "astigmatic", "flat.npy"]
    cells = page.locator("[data-test=limits-table] tbody tr").nth(2).locator("td").all_inner_texts()
    page.locator("[data-test=limits-save]").click()
    page.get_by_text("wrote limit.png and limit.csv").wait_for()
    with (files / "limit.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["against"] == "depth" and row["z_um"] == "0.6"]
    saved = [[float(row[f"sigma_{axis}_nm"]) for axis in "xyz"] for row in rows]
    shown = [[float(value) for value in cell.split(" · ")] for cell in cells]
    np.testing.assert_allclose(shown, saved, atol=0.051)
    # Every picture was loaded, and every chart draws both masks.
    assert page.evaluate(
        "[...document.querySelectorAll('[data-test=limits-strips] img')].every(one => one.naturalWidth > 20)"
    )
    for against in ("depth", "photons", "density"):
        assert coloured(page, f"chart-{against}-z", (0x00, 0x72, 0xB2)) > 40
        assert coloured(page, f"chart-{against}-z", (0xD5, 0x5E, 0x00)) > 40


def test_a_molecule_without_light_is_refused(page: Any, files: Path):
    opened(page)
    page.locator("input[data-test=limits-photons]").fill("0")
    page.get_by_text("the bound needs light").first.wait_for()
    page.locator("input[data-test=limits-photons]").fill("")
    page.wait_for_timeout(1000)


def test_the_experiment_of_the_panel_set_up_is_taken_over(page: Any):
    page.locator("[data-test=tab-Limits]").click()
    page.locator("[data-test=limits-setup]").click()
    page.locator("[data-test=limits-strips] img").nth(1).wait_for()
    page.locator("[data-test=same]:visible").first.click()
    page.get_by_text("save the experiment on the panel Set-up").wait_for()


def coloured(page: Any, name: str, rgb: tuple[int, int, int]) -> int:
    """Pixels of a chart that have a colour, nearly."""
    return page.evaluate(
        """([name, rgb]) => {
            const canvas = document.querySelector(`[data-test='${name}'] canvas`);
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const near = (i) => rgb.every((value, k) => Math.abs(pixels[i + k] - value) < 12);
            let count = 0;
            for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 200 && near(i)) count++;
            return count;
        }""",
        [name, list(rgb)],
    )


def test_a_mask_is_designed_watched_stopped_and_resumed(page: Any, files: Path):
    opened(page)
    page.locator("[data-test=limits-part]").get_by_text("Design").click()
    fill(page, "design-out", "learned.npy")
    page.locator("[data-test=design-start]").click()
    place, state = page.locator("[data-test=design-place]"), page.locator("[data-test=design-state]")
    place.filter(has_text="mask after step").wait_for()
    page.locator("[data-test=design-stop]").click()
    state.filter(has_text="stopped").wait_for()
    assert not (files / "learned.npy").exists()
    assert (files / "learned.checkpoint").exists()
    # Another tab sees the same run, and goes on with it.
    page.reload()
    page.wait_for_function("window.did_handshake === true")
    page.locator("[data-test=tab-Limits]").click()
    page.locator("[data-test=limits-part]").get_by_text("Design").click()
    page.locator("[data-test=design-resume]").click()
    place.filter(has_text=f"mask after step {STEPS}; step {STEPS} reached").wait_for()
    state.filter(has_text="finished").wait_for()
    assert np.abs(read_mask(files / "learned.npy")).max() > 0.1
    page.locator("[data-test=design-strip] img").nth(1).wait_for()
    assert coloured(page, "design-chart", (0x00, 0x72, 0xB2)) > 100
