"""The panel "Train and run" in the browser: train, stop, resume, localize; two tabs; a killed server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.experiment.presets import preset
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.studio.runs.shelf import Shelf
from factories import model_of_noise, tiny_experiment, write_movie
from served_studio import Served, serving, showing
from short_runs import TINY_TRAINING, training, wait_for

# What is typed reaches the server 400 ms later.
TYPED_MS = 1000


@pytest.fixture(autouse=True)
def ended(studio: Served) -> Iterator[None]:
    """No run goes on after its test."""
    yield
    end_runs(studio.folder)


def end_runs(folder: Path) -> None:
    shelf = Shelf(folder)
    for run in shelf.runs():
        shelf.stop(run.id, at_once=True)
        wait_for(lambda id=run.id: not shelf.run(id).alive, "the end of a run")


def open_panel(page: Any) -> None:
    page.locator("[data-test='tab-Train and run']").click()
    page.locator("[data-test=runs]").wait_for()


def entry(page: Any, name: str) -> Any:
    """The field of that name, whether the mark is on it or around it."""
    return page.locator(f"[data-test={name}] input, input[data-test={name}]")


def line(page: Any, title: str, state: str) -> Any:
    """The run's line in the list, once it is in that state."""
    found = page.locator(f"[data-test='run-{title}'][data-state={state}]")
    found.wait_for()
    return found


def choose(page: Any, name: str) -> None:
    """Take a preset, once its number of steps is in the form: what is typed before that is mixed with it."""
    page.locator(f"[data-test=preset-{name}]").click()
    steps = str(preset(name).training.steps)
    wait_for(lambda: entry(page, "train-steps").input_value().replace(",", "") == steps, f"{steps} steps")


def test_a_training_is_started_stopped_resumed_and_finished(page: Any, studio: Served) -> None:
    open_panel(page)
    choose(page, "quickstart")
    entry(page, "train-steps").fill("400")
    entry(page, "train-validate_every").fill("200")
    page.get_by_text("More", exact=True).click()
    entry(page, "train-settings").fill(" ".join((*TINY_TRAINING, "training.checkpoint_every=10")))
    page.locator("[data-test=ask-cost]").click()
    page.locator("[data-test=cost]").filter(has_text="about").wait_for()
    page.locator("[data-test=same]").locator("visible=true").first.click()
    page.locator("[data-test=same-command]").filter(has_text="deepstorm3d train quickstart").wait_for()
    page.keyboard.press("Escape")
    page.locator("[data-test=start-training]").click()

    running = line(page, "Train model.pt", "running")
    running.locator("[data-test=run-told]").filter(has_text="left · loss").wait_for()
    running.locator("[data-test=stop]").click()
    stopped = line(page, "Train model.pt", "stopped")
    assert not (studio.folder / "model.pt").exists()
    assert "stopped after" in stopped.locator("[data-test=run-told]").inner_text()
    stopped.locator("[data-test=resume]").click()
    finished = line(page, "Train model.pt", "finished")
    assert "400 of 400 steps" in finished.locator("[data-test=run-told]").inner_text()
    assert (studio.folder / "model.pt").exists()

    page.locator("[data-test=log]").filter(has_text="Jaccard").wait_for()
    page.locator("[data-test=preview]").wait_for()
    assert drawn_width(page, "preview") > 100
    assert page.locator("[data-test=loss] canvas").count() == 1
    page.locator("[data-test=use-result]").click()
    page.locator("[data-test=tab-Movie][aria-selected=true]").wait_for()
    wait_for(lambda: entry(page, "model-file").input_value() == "model.pt", "the model in the panel Movie")
    open_panel(page)
    line(page, "Train model.pt", "finished").locator("[data-test=forget]").click()
    page.get_by_text("No runs yet").wait_for()
    assert (studio.folder / "model.pt").exists()


def test_the_experiment_of_the_set_up_panel_is_saved_and_taken(page: Any, studio: Served) -> None:
    open_panel(page)
    page.locator("[data-test=from-setup]").click()
    # While it is written it has another name.
    written = wait_for(
        lambda: [file for file in studio.folder.glob("*.yaml") if ".unfinished" not in file.name],
        "the experiment",
    )
    wait_for(lambda: entry(page, "train-experiment").input_value() == written[0].name, "its name in the form")
    assert entry(page, "train-steps").input_value() != ""


def test_a_mistake_is_told_and_nothing_is_started(page: Any, studio: Served) -> None:
    (studio.folder / "there.pt").touch()
    open_panel(page)
    choose(page, "quickstart")
    entry(page, "train-out").fill("there.pt")
    page.locator("[data-test=start-training]").click()
    page.get_by_text("there.pt exists").wait_for()
    assert Shelf(studio.folder).runs() == []
    entry(page, "train-out").fill("../outside.pt")
    page.locator("[data-test=start-training]").click()
    page.get_by_text("lies outside the folder").wait_for()
    assert Shelf(studio.folder).runs() == []


def test_a_training_begins_with_the_weights_of_a_model(page: Any, studio: Served) -> None:
    open_panel(page)
    choose(page, "storm")
    # The tests of this file share one form: an earlier one leaves a name that is refused.
    entry(page, "train-out").fill("more.pt")
    page.get_by_text("More", exact=True).click()
    entry(page, "train-from_model").fill("missing.pt")
    page.wait_for_timeout(TYPED_MS)
    page.locator("[data-test=start-training]").click()
    page.get_by_text("there is no 'missing.pt'").wait_for()
    assert Shelf(studio.folder).runs() == []
    entry(page, "train-from_model").fill("tetrapod")
    page.wait_for_timeout(TYPED_MS)
    page.locator("[data-test=same]").locator("visible=true").first.click()
    page.locator("[data-test=same-command]").filter(has_text="--from tetrapod").wait_for()
    page.keyboard.press("Escape")
    entry(page, "train-from_model").fill("")
    page.wait_for_timeout(TYPED_MS)


def test_a_training_that_finds_nothing_has_no_green_mark(page: Any, studio: Served) -> None:
    open_panel(page)
    run = Shelf(studio.folder).start(training("blind.pt", 2), "Train blind.pt")
    finished = line(page, "Train blind.pt", "finished")
    finished.locator("[data-test=run-warned]").filter(has_text="found none of").wait_for()
    finished.locator("i.ds-doubt", has_text="warning").wait_for()
    assert finished.locator(".ds-good").count() == 0
    finished.click()
    page.locator("[data-test=warned]").filter(has_text="train longer").wait_for()
    Shelf(studio.folder).forget(run.id)


def test_a_movie_is_localized_and_its_picture_grows_in_both_tabs(
    page: Any, browser: Any, studio: Served
) -> None:
    counts = np.random.default_rng(0).poisson(20, (8, 60, 80)).astype(np.uint16)
    model = model_of_noise(tiny_experiment(), torch.from_numpy(counts[:1].astype(np.float32)), values=40)
    save_model_file(model, studio.folder / "noise.pt")
    write_movie(studio.folder / "m.tif", counts)
    open_panel(page)
    page.locator("[data-test=form-localize]").click()
    for name, value in (("localize-movie", "m.tif"), ("localize-model", "noise.pt")):
        entry(page, name).fill(value)
        page.keyboard.press("Enter")
    page.locator("[data-test=localize-refine]").click()
    page.locator("[data-test=start-localizing]").click()
    with showing(browser, studio) as other:
        open_panel(other)
        for tab in (page, other):
            line(tab, "Localize m.tif", "finished")
            tab.locator("[data-test=found-rows]").filter(has_text="in 8 frames").wait_for()
            assert drawn_width(tab, "found") > 100
        # What one tab enters, the other shows.
        other.locator("[data-test=form-localize]").click()
        assert entry(other, "localize-movie").input_value() == "m.tif"
        other.locator("[data-test=use-result]").click()
        other.locator("[data-test=tab-Result][aria-selected=true]").wait_for()
        wait_for(lambda: entry(other, "result-file").input_value() == "found.hdf5", "the list in Result", 60)
        open_panel(other)
        line(other, "Localize m.tif", "finished").locator("[data-test=forget]").click()
        page.get_by_text("No runs yet").wait_for()


def drawn_width(page: Any, name: str) -> int:
    """Of a picture that has come, px."""
    script = "element => element.complete ? element.naturalWidth : 0"
    return wait_for(lambda: page.locator(f"[data-test={name}]").evaluate(script), f"the picture {name}")


def test_a_run_goes_on_while_the_server_is_killed_and_is_there_in_the_next(
    browser: Any, tmp_path: Path
) -> None:
    try:
        with serving(tmp_path) as first:
            with showing(browser, first) as page:
                Shelf(tmp_path).start(training("model.pt", 100_000), "Train model.pt")
                open_panel(page)
                line(page, "Train model.pt", "running")
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        (run,) = Shelf(tmp_path).runs()
        before = wait_for(lambda: told.done if (told := Shelf(tmp_path).run(run.id).told) else 0, "a step")
        with serving(tmp_path) as second, showing(browser, second) as page:
            open_panel(page)
            running = line(page, "Train model.pt", "running")
            running.locator("[data-test=run-told]").filter(has_text="left · loss").wait_for()
            told = Shelf(tmp_path).run(run.id).told
            assert told is not None and told.done > before
            running.locator("[data-test=stop]").click()
            line(page, "Train model.pt", "stopped")
    finally:
        end_runs(tmp_path)
