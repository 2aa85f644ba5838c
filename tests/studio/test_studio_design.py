"""A design that is watched: its masks on the way, its bound, and the run behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import read_mask
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.studio.limits.curves import learning_chart
from deepstorm3d.studio.limits.design import DesignLook, DesignSettings
from deepstorm3d.studio.limits.learned import learned_so_far, thinned
from deepstorm3d.studio.runs.record import Run
from deepstorm3d.studio.runs.shelf import Shelf
from deepstorm3d.training.runs import DesignRun
from factories import tiny_experiment
from watchers import Recorder

pytest.importorskip("nicegui", reason="the studio needs NiceGUI")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return tiny_experiment(design=DesignSpec(learning_rate=0.05, fisher_steps=27))


@pytest.mark.usefixtures("without_pictures")
def test_masks_and_bound_are_seen_while_the_design_is_under_way(experiment: Experiment, tmp_path: Path):
    look = DesignLook(Shelf(tmp_path))
    out = tmp_path / "mask.npy"
    look.watch(out, experiment)
    assert until(lambda: look.shown is None and look.error is None)
    design_by_fisher(experiment, out, watch=Recorder(stop_at=26))
    look.look()
    assert until(lambda: look.shown is not None)
    assert look.shown is not None
    assert (look.shown.learned.complete, look.shown.learned.step) == (False, 26)
    assert look.shown.learned.steps.tolist() == [1, 25]
    assert look.shown.index == 1
    design_by_fisher(experiment, out, resume=True)
    look.look()
    assert until(lambda: look.shown is not None and look.shown.learned.complete)
    learned, picture = look.shown.learned, look.shown.picture
    assert learned.steps.tolist() == [1, 25, 27]
    steps, values = zip(*learned.curves["bound_nm"], strict=True)
    assert steps == tuple(range(1, 28))
    assert values[-1] < values[0]
    assert picture is not None
    assert picture.phase is not None
    np.testing.assert_allclose(picture.phase, read_mask(out), atol=2e-3)
    look.go_to(0)
    assert until(lambda: look.shown is not None and look.shown.index == 0)
    assert look.shown.picture is not None
    assert np.abs(look.shown.picture.planes - picture.planes).max() > 1e-4


@pytest.mark.usefixtures("without_pictures")
def test_a_design_with_a_network_shows_loss_and_completeness(small_design: Experiment, tmp_path: Path):
    training = TrainingSpec(steps=6, batch=2, crop_px=24, warmup_steps=2, validate_every=3, validation_crops=4)
    learning = small_design.with_(training=training, design=DesignSpec(learning_rate=0.05))
    out = tmp_path / "mask.npy"
    design_mask(learning, out)
    look = DesignLook(Shelf(tmp_path))
    look.watch(out, learning)
    assert until(lambda: look.shown is not None)
    assert look.shown is not None
    learned = look.shown.learned
    assert learned.steps.tolist()[:2] == [3, 6]
    assert [step for step, _ in learned.curves["jaccard"]] == [3, 6]
    assert learned.curves["loss"][-1][0] == 6
    assert look.shown.picture is not None
    drawn = learning_chart(learned)
    assert [line["name"] for line in drawn["series"]] == ["loss", "Jaccard index"]
    assert [axis["name"] for axis in drawn["yAxis"]] == ["loss", "Jaccard index"]


def test_settings_are_the_words_of_the_command():
    settings = DesignSettings(out="m.npy", by="fisher", start="vortex", steps=9, density=0.5)
    assert " ".join(settings.arguments("tiny.yaml")) == (
        "design-psf tiny.yaml --by fisher --out m.npy --start vortex --set design.fisher_steps=9 "
        "--set design.fisher_density=0.5"
    )
    network = DesignSettings(by="network", steps=9, density=0.5)
    assert " ".join(network.arguments("storm")) == (
        "design-psf storm --by network --out mask.npy --set training.steps=9"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": "mask.png"}, "written as .npy"),
        ({"steps": 0}, "at least 1 step"),
        ({"density": -1.0}, "negative"),
    ],
)
def test_impossible_settings_are_refused_and_the_old_ones_stay(
    change: dict[str, object], words: str, tmp_path: Path
):
    look = DesignLook(Shelf(tmp_path))
    with pytest.raises(InputError, match=words):
        look.use(**change)
    assert look.settings == DesignSettings()


def test_nothing_is_overwritten_and_nothing_starts_without_a_file(experiment: Experiment, tmp_path: Path):
    look = DesignLook(Shelf(tmp_path))
    with pytest.raises(InputError, match="stands in no file"):
        look.start("", experiment)
    write_experiment(experiment, tmp_path / "tiny.yaml")
    (tmp_path / "mask.npy").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        look.start("tiny.yaml", experiment)
    assert (tmp_path / "mask.npy").read_bytes() == b"mine"
    assert Shelf(tmp_path).runs() == []


def test_stop_and_resume_touch_only_the_design_that_the_form_names(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shelf = Shelf(tmp_path)
    look = DesignLook(shelf)
    runs = [a_run("two", "mask.npy"), a_run("one", "net.npy")]
    touched: list[tuple[str, str]] = []
    monkeypatch.setattr(shelf, "runs", lambda: runs)
    monkeypatch.setattr(shelf, "stop", lambda id: touched.append(("stop", id)))
    monkeypatch.setattr(shelf, "resume", lambda id: touched.append(("resume", id)))
    look.watch(tmp_path / "mask.npy", experiment)  # what another window has started
    assert [run.id for run in look.others("net.npy")] == ["two"]
    look.stop("net.npy")
    look.resume("net.npy")
    look.stop("third.npy")
    with pytest.raises(InputError, match=r"no design of third\.npy"):
        look.resume("third.npy")
    assert touched == [("stop", "one"), ("resume", "one")]


def test_an_unfinished_design_is_refused_in_the_words_of_the_form(experiment: Experiment, tmp_path: Path):
    (tmp_path / "mask.checkpoint").write_bytes(b"kept")
    with pytest.raises(InputError, match="unfinished run; press 'Resume'"):
        DesignLook(Shelf(tmp_path)).start("tiny.yaml", experiment)


def a_run(id: str, out: str) -> Run:
    """A design at work."""
    words = ("design-psf", "tiny.yaml", "--out", out)
    return Run(id, f"Design of {out}", words, 0.0, "running", None, None, "", 0)


def test_a_log_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path: Path):
    run = DesignRun(tmp_path / "mask.npy")
    assert learned_so_far(run) is None
    run.metrics.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.5, "jaccard": 0.5}\n{"st')
    learned = learned_so_far(run)
    assert learned is not None
    assert learned.curves == {"loss": [(1, 3.0), (2, 2.5)], "jaccard": [(2, 0.5)]}
    assert (learned.step, len(learned.steps)) == (2, 0)
    run.history.write_bytes(b"no archive")
    with pytest.raises(InputError, match="masks of a design"):
        learned_so_far(run)


def test_long_curves_are_thinned_and_keep_their_end():
    points = [(step, float(step)) for step in range(1, 10_001)]
    few = thinned(points, 100)
    assert len(few) == 100
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert thinned(points[:5], 100) == points[:5]


def until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
