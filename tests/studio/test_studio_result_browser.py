"""The panel "Result" in the browser: open a list, filter by dragging, zoom, turn the cloud, export."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, read_table, write_list
from served_studio import Served

ROWS = 3000


@pytest.fixture(scope="module")
def stored(studio: Served) -> Path:
    """Rows of a field of 5 × 5 × 2 µm, all but one of them at x < 2 µm and y < 2 µm; z grows with y."""
    g = torch.Generator().manual_seed(3)
    xyz = torch.rand(ROWS, 3, generator=g) * torch.tensor([2.0, 2.0, 0.0])
    xyz[:, 2] = xyz[:, 1]
    xyz[:2] = torch.tensor([[0.0, 0.0, 0.0], [5.0, 5.0, 2.0]])
    plain = Localizations.proposals(xyz, torch.arange(ROWS) % 100, torch.ones(ROWS))
    table = replace(
        plain,
        photons=1000 + torch.arange(ROWS, dtype=torch.float32),
        sigma_xyz=torch.full((ROWS, 3), 0.01),
        sigma_source="fit",
    )
    path = studio.folder / "corner.hdf5"
    write_list(path, table, TableHeader(0.1, 100, (80, 80)))
    return path


@pytest.fixture
def result(page: Any, stored: Path) -> Any:
    """The panel with the list, and no condition."""
    page.locator("[data-test=tab-Result]").click()
    field = page.locator("[data-test=result-file] input, input[data-test=result-file]")
    field.wait_for()
    if field.input_value() != stored.name:
        field.fill(stored.name)
        page.keyboard.press("Enter")
    page.locator("[data-test=histogram-photons]").wait_for()
    page.locator("[data-test=keep-all]").click()
    page.locator("[data-test=rows-left]").filter(has_text="3,000 of 3,000").wait_for()
    return page


def pixels(page: Any, name: str) -> np.ndarray:
    """The screen's pixels (h, w, 3) of a view."""
    from PIL import Image

    shot = page.locator(f"[data-test={name}] .ds-view-frame").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def lit(image: np.ndarray) -> np.ndarray:
    """Rows and columns, in parts of the image, of its coloured pixels: text and lines are grey."""
    coloured = image.max(axis=2) - image.min(axis=2) > 40
    coloured[int(0.92 * len(image)) :] = False  # the colour bar
    return np.argwhere(coloured) / coloured.shape


def drawn_whole(page: Any, points: int) -> None:
    page.wait_for_function(
        f"document.querySelector('[data-test=cloud] .ds-cloud, .ds-cloud[data-test=cloud]')"
        f"?.dataset.drawn == '{points}'"
    )


def test_rows_are_filtered_by_dragging_a_histogram(result: Any):
    plot = result.locator("[data-test=histogram-photons] .ds-histogram-plot")
    box = plot.bounding_box()
    result.mouse.move(box["x"] + 1, box["y"] + 20)
    result.mouse.down()
    result.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=6)
    result.mouse.up()
    result.locator("[data-test=expression]").filter(has_text="photons >= 25").or_(
        result.locator("[data-test=expression]").filter(has_text="photons >= 24")
    ).wait_for()
    left = result.locator("[data-test=rows-left]")
    left.filter(has_text="1,").wait_for()
    rows = int(left.inner_text().split(" of ")[0].replace(",", ""))
    assert abs(rows - ROWS / 2) < 40
    plot.dblclick()
    left.filter(has_text="3,000 of 3,000").wait_for()


def test_a_condition_in_words_is_taken_or_refused_in_words(result: Any):
    field = result.locator("input[data-test=condition], [data-test=condition] input")
    field.fill("photons < 1100 | frame == 7")
    result.keyboard.press("Enter")
    result.locator("[data-test=rows-left]").filter(has_text="129 of 3,000").wait_for()
    field.fill("brightness > 3")
    result.keyboard.press("Enter")
    result.get_by_text("there is no column 'brightness'").first.wait_for()
    result.locator("[data-test=rows-left]").filter(has_text="129 of 3,000").wait_for()


def test_the_picture_shows_the_rows_where_they_are_and_zooms(result: Any):
    view = result.locator("[data-test=picture] .ds-view-frame")
    # Gaussians are compiled once on a computer, which takes its time.
    result.wait_for_function("document.querySelector('.ds-picture')?.dataset.whole > 0")
    result.wait_for_timeout(300)
    places = lit(pixels(result, "picture"))
    height, width = view.bounding_box()["height"], view.bounding_box()["width"]
    # The field is 5 µm high and fills the height: the rows end two fifths down, and as far from its left.
    left = 0.5 - 0.5 * height / width
    assert len(places) > 500
    assert np.quantile(places[:, 0], 0.99) < 0.42 and places[:, 0].min() < 0.06
    assert np.quantile(places[:, 1], 0.99) < left + 0.42 * height / width
    box = view.bounding_box()
    before = result.evaluate("document.querySelector('.ds-picture').dataset.whole")
    result.mouse.move(box["x"] + (left + 0.1 * height / width) * width, box["y"] + 0.1 * height)
    result.mouse.wheel(0, -3000)
    result.wait_for_function(f"+document.querySelector('.ds-picture').dataset.whole > {before}")
    result.wait_for_timeout(300)
    zoomed = lit(pixels(result, "picture"))
    # 90 times nearer there are single molecules: round spots over the whole view, and mostly black.
    assert len(zoomed) > 0 and np.ptp(zoomed[:, 0]) > 0.3


def test_a_click_tells_the_molecule(result: Any, stored: Path):
    result.wait_for_function("document.querySelector('.ds-picture')?.dataset.whole > 0")
    where = result.evaluate(
        """() => { const view = document.querySelector('.ds-picture').view;
                   view.view = {x: 5, y: 5, pixel: 0.002}; view.draw(); view.ask(0); return view.size(); }"""
    )
    box = result.locator("[data-test=picture] .ds-view-frame").bounding_box()
    assert where[0] == round(box["width"])
    result.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = result.locator("[data-test=molecule]")
    told.filter(has_text="x_nm 5,000").wait_for()
    assert "photons 1,001" in told.inner_text() and "frame 1" in told.inner_text()


def test_the_cloud_turns(result: Any):
    result.get_by_role("button", name="Cloud", exact=True).click()
    drawn_whole(result, ROWS)
    result.locator("[data-test=see-xy]").click()
    result.wait_for_timeout(1500)
    above = lit(pixels(result, "cloud"))
    # All but one row lie in the left upper part of the box.
    assert len(above) > 300
    assert np.quantile(above, 0.98, axis=0).max() < 0.5
    result.locator("[data-test=see-xz]").click()
    result.wait_for_timeout(1500)
    side = lit(pixels(result, "cloud"))
    assert np.quantile(side[:, 1], 0.98) < 0.5 and side[:, 0].min() < 0.5 < side[:, 0].max()
    # Half a turn about the vertical of the screen: what was left is right.
    view = result.locator("[data-test=cloud] .ds-view-frame")
    view.focus()
    for _ in range(12):
        result.keyboard.press("ArrowRight")
    result.wait_for_timeout(1500)
    turned = lit(pixels(result, "cloud"))
    assert np.quantile(turned[:, 1], 0.02) > 0.5
    # The mouse turns it too.
    box = view.bounding_box()
    result.mouse.move(box["x"] + 300, box["y"] + 200)
    result.mouse.down()
    result.mouse.move(box["x"] + 500, box["y"] + 300, steps=8)
    result.mouse.up()
    result.wait_for_timeout(1500)
    dragged = lit(pixels(result, "cloud"))
    assert np.abs(np.median(dragged, axis=0) - np.median(turned, axis=0)).max() > 0.02


def test_a_picture_and_a_film_of_the_cloud_are_saved(result: Any, tmp_path: Path):
    from PIL import Image

    result.get_by_role("button", name="Cloud", exact=True).click()
    drawn_whole(result, ROWS)
    with result.expect_download() as saved:
        result.locator("[data-test=save-cloud]").click()
    saved.value.save_as(tmp_path / "cloud.png")
    image = np.asarray(Image.open(tmp_path / "cloud.png").convert("RGB")).astype(int)
    assert len(lit(image)) > 200
    with result.expect_download() as saved:
        result.evaluate("document.querySelector('.ds-cloud').view.film('turn.webm', 12, 12)")
    saved.value.save_as(tmp_path / "turn.webm")
    film = base64.b64encode((tmp_path / "turn.webm").read_bytes()).decode()
    # The browser plays it: its length, its size, and a frame in its middle.
    seconds, width, middle = result.evaluate(PLAYED, film)
    assert seconds == pytest.approx(1.0) and width == image.shape[1] // 2 * 2
    assert middle > 200


PLAYED = """async (film) => {
  const video = document.createElement("video");
  const bytes = Uint8Array.from(atob(film), (letter) => letter.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([bytes], {type: "video/webm"}));
  await new Promise((done, failed) => {
    video.onloadeddata = done;
    video.onerror = () => failed(video.error.message);
  });
  video.currentTime = video.duration / 2;
  await new Promise((done) => { video.onseeked = done; });
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight), pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  const { data } = pen.getImageData(0, 0, canvas.width, Math.floor(0.92 * canvas.height));
  let coloured = 0;
  for (let i = 0; i < data.length; i += 4) {
    coloured += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 40;
  }
  return [video.duration, video.videoWidth, coloured];
}"""


def test_kept_rows_are_exported_and_read_back(result: Any, studio: Served):
    field = result.locator("input[data-test=condition], [data-test=condition] input")
    field.fill("photons >= 3000")
    result.keyboard.press("Enter")
    result.locator("[data-test=rows-left]").filter(has_text="1,000 of 3,000").wait_for()
    result.get_by_role("button", name="Steps and export").click()
    out = result.locator("input[data-test=step-out], [data-test=step-out] input")
    result.wait_for_function(
        "document.querySelector('input[data-test=step-out], [data-test=step-out] input').value"
        " == 'corner.kept.hdf5'"
    )
    out.fill("bright.hdf5")
    result.locator("[data-test=step-run]").click()
    result.get_by_text("1,000 of 3,000 rows written").wait_for()
    found = read_table(studio.folder / "bright.hdf5")
    assert len(found) == 1000 and float(found.photons.min()) >= 3000
    # A second time the file is there: nothing is overwritten.
    out.fill("bright.hdf5")
    result.locator("[data-test=step-run]").click()
    result.get_by_text("bright.hdf5 exists").first.wait_for()


def test_a_file_that_is_no_list_is_told_in_words(result: Any, studio: Served, stored: Path):
    (studio.folder / "notes.csv").write_text("this is no list\n")
    field = result.locator("[data-test=result-file] input, input[data-test=result-file]")
    field.fill("notes.csv")
    result.keyboard.press("Enter")
    result.locator("[data-test=result-problem]").filter(has_text="no known table").wait_for()
    result.locator("[data-test=rows-left]").filter(has_text="of 3,000").wait_for()
    result.locator("[data-test=result-facts]").filter(has_text="still shown: ").wait_for()
    field.fill("../outside.hdf5")
    result.keyboard.press("Enter")
    result.get_by_text("lies outside the folder").first.wait_for()


def test_a_list_without_rows_is_told_in_words(result: Any, studio: Served, stored: Path):
    write_list(studio.folder / "none.hdf5", Localizations.empty(), TableHeader(0.1, 100, (80, 80)))
    field = result.locator("[data-test=result-file] input, input[data-test=result-file]")
    field.fill("none.hdf5")
    result.keyboard.press("Enter")
    result.locator("[data-test=result-facts]").filter(has_text="holds no localization").wait_for()
    result.get_by_role("button", name="Cloud", exact=True).click()
    result.get_by_text("No row is left to draw").wait_for()
    result.get_by_role("button", name="Statistics").click()
    result.get_by_text("The list holds no localization.", exact=True).wait_for()


def test_a_file_that_was_replaced_is_opened_anew(result: Any, studio: Served, stored: Path):
    whole, header = read_table(stored), TableHeader(0.1, 100, (80, 80))
    shown = result.locator("[data-test=result-facts]")
    shown.filter(has_text="3,000 rows").wait_for()
    for rows, told in ((whole[:10], "10 rows"), (whole, "3,000 rows")):
        write_list(stored, rows, header, overwrite=True)
        result.locator("[data-test=result-file] input, input[data-test=result-file]").press("Enter")
        shown.filter(has_text=told).wait_for()
