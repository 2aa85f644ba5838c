"""The panel "Compare" in the browser: a list made from the truth, with known misses and false molecules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.io.tables import read_truth, write_table, write_truth
from factories import emitters, localizations, write_movie
from served_studio import Served

PIXEL_UM = 0.11
FRAMES = 8
A_FRAME = 5
# Frame and row of the molecules that the list misses, and frames of the false ones.
MISSED = ((2, 1), (2, 3), (6, 0))
FALSE = (3, 6)


@pytest.fixture(scope="module")
def files(studio: Served) -> Path:
    """``truth.csv``, ``found.hdf5`` with errors of 30 nm in x, and ``movie.tif``, in the studio's folder."""
    generator = torch.Generator().manual_seed(5)
    # Farther apart than the tolerance, so that only one matching is right.
    grid = torch.stack(torch.meshgrid(*2 * [torch.arange(1.0, 6.0)], indexing="ij"), -1).reshape(-1, 2)
    places, frame = [], []
    for number in range(FRAMES):
        chosen = grid[torch.randperm(len(grid), generator=generator)[:A_FRAME]]
        places.append(torch.cat([chosen, 4 * torch.rand(A_FRAME, 1, generator=generator)], 1))
        frame += A_FRAME * [number]
    truth = torch.cat(places)
    kept = [row for row in range(len(truth)) if divmod(row, A_FRAME) not in MISSED]
    false = torch.tensor([[0.4, 0.4, 1.0], [0.4, 0.4, 3.0]])
    rows = torch.cat([truth[kept] + torch.tensor([0.03, 0.0, 0.0]), false])
    recording = {"pixel_um": PIXEL_UM, "frames": FRAMES, "shape": (64, 64)}
    write_truth(studio.folder / "truth.csv", emitters(truth, frame, 3000.0), **recording)
    table = localizations(rows, [frame[row] for row in kept] + list(FALSE)).sort()
    write_table(studio.folder / "found.hdf5", table, **recording)
    counts = np.random.default_rng(0).poisson(100, (FRAMES, 64, 64))
    write_movie(studio.folder / "movie.tif", counts, PIXEL_UM)
    return studio.folder


def opened(page: Any) -> None:
    page.locator("[data-test=tab-Compare]").click()
    fill(page, "compare-found", "found.hdf5")
    fill(page, "compare-truth", "truth.csv")
    page.locator("[data-test=compare-summary]").filter(has_text="matched").wait_for()


def fill(page: Any, name: str, text: str) -> None:
    """Type into the input of this name, and press Enter."""
    page.locator(f"input[data-test={name}]").fill(text)
    page.keyboard.press("Enter")


def numbers(page: Any) -> list[str]:
    """What the line below the frame says of it."""
    fates = ("matched", "missed", "false")
    return [page.locator(f"[data-test=compare-count-{fate}]").inner_text() for fate in fates]


def marked(page: Any, rgb: tuple[int, int, int]) -> list[tuple[float, float]]:
    """Middles of the marks of a colour on the frame, px of the frame: each a connected patch of pixels."""
    found = page.evaluate(
        """(rgb) => {
            const canvas = document.querySelector('[data-test=compare-view] canvas');
            const { width, height } = canvas;
            const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
            const scale = Math.min(width, height) / 64;
            const place = (at, size) => (at - (size - 64 * scale) / 2) / scale - 0.5;
            const near = (i) => rgb.every((value, k) => Math.abs(pixels[4 * i + k] - value) < 12);
            const places = [];
            for (let i = 0; i < width * height; i++)
                if (near(i)) places.push([place(i % width, width), place(Math.floor(i / width), height)]);
            return places;
        }""",
        list(rgb),
    )
    groups: list[list[list[float]]] = []
    for place in found:
        near = next((group for group in groups if np.hypot(*np.subtract(group[0], place)) < 4), None)
        groups.append([place]) if near is None else near.append(place)
    return [tuple(((np.min(group, 0) + np.max(group, 0)) / 2).tolist()) for group in groups]


def turned(page: Any, rgb: tuple[int, int, int]) -> list[int]:
    """Indices of the pixels of the view in 3D that have a colour."""
    return page.evaluate(
        """(rgb) => {
            const canvas = document.querySelector('[data-test=compare-space] canvas');
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const found = [];
            for (let i = 0; i < pixels.length; i += 4)
                if (rgb.every((value, k) => Math.abs(pixels[i + k] - value) < 12)) found.push(i);
            return found;
        }""",
        list(rgb),
    )


def test_known_misses_and_false_molecules_are_counted_and_marked(page: Any, files: Path):
    opened(page)
    total, missed, false = FRAMES * A_FRAME, len(MISSED), len(FALSE)
    hits = total - missed
    summary = page.locator("[data-test=compare-summary]")
    assert f"{hits} matched, {missed} missed, {false} false." in summary.inner_text()
    figures = {name: page.locator(f"td.ds-{name}").inner_text() for name in ("jaccard", "recall", "precision")}
    assert figures == {
        "jaccard": f"{hits / (total + false):.3f}",
        "recall": f"{hits / total:.3f}",
        "precision": f"{hits / (hits + false):.3f}",
    }
    assert page.locator("td.ds-rmse_lateral_nm").inner_text() == "30.0"
    fill(page, "compare-movie", "movie.tif")
    assert numbers(page) == [f"{A_FRAME} matched", "0 missed", "0 false"]
    page.locator("[data-test=jump-missed-next]").click()
    page.get_by_text("frame 2 (0 to 7)").wait_for()
    assert numbers(page) == [f"{A_FRAME - 2} matched", "2 missed", "0 false"]
    page.locator("[data-test=jump-missed-next]").click()
    page.get_by_text("frame 6 (0 to 7)").wait_for()
    assert numbers(page) == [f"{A_FRAME - 1} matched", "1 missed", "1 false"]
    page.wait_for_timeout(400)
    np.testing.assert_allclose(marked(page, (230, 159, 0)), [[0.4 / PIXEL_UM, 0.4 / PIXEL_UM]], atol=0.4)
    truth = read_truth(files / "truth.csv", pixel_um=PIXEL_UM)
    missed_at = truth.select(truth.frame == 6).xyz[0, :2] / PIXEL_UM
    np.testing.assert_allclose(marked(page, (213, 94, 0)), [missed_at.tolist()], atol=0.4)
    page.locator("[data-test=jump-false-before]").click()
    page.get_by_text("frame 3 (0 to 7)").wait_for()
    page.locator("[data-test=jump-false-before]").click()
    page.get_by_text("no earlier frame has a false one").wait_for()


def test_the_list_of_the_panel_result_is_taken_over(page: Any, files: Path):
    page.locator("[data-test=tab-Result]").click()
    fill(page, "result-file", "found.hdf5")
    page.locator("[data-test=result-facts]").filter(has_text="39").wait_for()
    page.locator("[data-test=tab-Compare]").click()
    page.locator("[data-test=compare-result]").click()
    page.wait_for_function("document.querySelector('input[data-test=compare-found]').value === 'found.hdf5'")


def test_tolerance_saving_and_the_views_in_space(page: Any, files: Path):
    opened(page)
    fill(page, "compare-tolerance", "20")
    page.locator("[data-test=compare-summary]").filter(has_text="0 matched, 40 missed, 39 false").wait_for()
    fill(page, "compare-tolerance", "150")
    summary = page.locator("[data-test=compare-summary]")
    summary.filter(has_text="37 matched").wait_for()
    # An empty field is the usual one; the other settings count beside it.
    fill(page, "compare-tolerance", "")
    page.locator("[data-test=compare-register]").click()
    summary.filter(has_text="The list was shifted by -30").wait_for()
    page.locator("[data-test=compare-register]").click()
    summary.filter(has_not_text="shifted").wait_for()
    page.locator("[data-test=compare-3d]").get_by_text("All in 3D").click()
    space = page.locator("[data-test=compare-space]")
    for words in ("matched 37", "missed 3", "false 2"):
        space.get_by_text(words).wait_for()
    before = turned(page, (213, 94, 0))
    assert len(before) >= 3 * 4
    box = space.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    after = turned(page, (213, 94, 0))
    assert len(after) >= 3 * 4
    assert set(after) != set(before)
    page.locator("[data-test=compare-3d]").get_by_text("Errors by depth").click()
    page.locator("[data-test=compare-depth] canvas").first.wait_for()
    page.locator("[data-test=compare-save]").click()
    page.get_by_text("wrote comparison.png and comparison.json").wait_for()
    assert (files / "comparison.png").read_bytes().startswith(b"\x89PNG")
