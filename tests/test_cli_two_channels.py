"""Commands of two channels: one camera is known for both halves, and what contradicts itself is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import PIXEL, SIZE, ChannelRecording, turned
from deepstorm3d.calibration.movie_statistics.settings import EstimateSettings
from deepstorm3d.channels import TransformSpec
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import write_table
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.jobs import estimate_channels, localize_channels, regenerate_channels
from deepstorm3d.localizer.modelfile import save_model_file

pytestmark = pytest.mark.usefixtures("coarse_pictures")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    """With ``both.npy``, one camera that shows both channels, and a list with its transform beside it."""
    made = ChannelRecording(tmp_path_factory.mktemp("channels"))
    np.save(made.folder / "both.npy", np.concatenate(made.counts, axis=2))
    ds.write_experiment(made.setup, made.folder / "setup.yaml")
    ds.write_experiment(made.setup.with_(channels={}), made.folder / "one.yaml")
    write_table(made.folder / "list.hdf5", made.found, pixel_um=PIXEL, frames=2, shape=SIZE)
    write_transform(made.folder / "list.transform.yaml", turned())
    return made


def told(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[EstimateSettings]:
    """What the command asks the estimate for; the estimate itself is left out."""
    seen: list[EstimateSettings] = []

    def estimate(movies: Any, experiment: Any, out: Any, asked: list[EstimateSettings], **more: Any) -> None:
        seen.extend(asked)
        raise InputError("enough is seen")

    monkeypatch.setattr(estimate_channels, "estimate_channel_movies", estimate)
    return seen


def test_what_is_known_of_one_camera_holds_for_both_halves(
    recording: ChannelRecording, settings: list[EstimateSettings]
) -> None:
    at = recording.folder
    command = ("estimate", at / "both.npy", at / "setup.yaml", "--split", "left-right", "--out", at / "e.yaml")
    told(*command, "--baseline", 100)
    assert [each.baseline for each in settings] == [100, 100]
    told(*command, "--dark", at / "dark.npy", "--baseline", 100, "--baseline", 101)
    assert [each.dark for each in settings[2:]] == [at / "dark.npy"] * 2
    assert [each.baseline for each in settings[2:]] == [100, 101]


def test_one_value_for_two_cameras_is_refused(
    recording: ChannelRecording, settings: list[EstimateSettings]
) -> None:
    at = recording.folder
    command = ("estimate", at / "A.npy", at / "setup.yaml", "--second", at / "B.npy", "--out", at / "e.yaml")
    for name, value in (("--dark", at / "dark.npy"), ("--baseline", 100)):
        assert f"{name} is given once, for two cameras" in told(*command, name, value)
    assert not settings
    told(*command, "--baseline", 100, "--baseline", 101)
    assert [each.baseline for each in settings] == [100, 101]


@pytest.mark.parametrize("command", ["estimate", "localize", "regenerate"])
def test_a_said_pixel_is_that_of_the_first_camera_alone(
    recording: ChannelRecording, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    seen: list[float | None] = []

    def of_estimate(movies: Any, *rest: Any, **more: Any) -> None:
        seen.extend(movie.pixel_um for movie in movies)
        raise InputError("enough is seen")

    def of_inputs(*given: Any, **more: Any) -> None:
        inputs = next(each for each in given if isinstance(each, tuple))
        seen.extend(channel.excerpt.pixel_um for channel in inputs)
        raise InputError("enough is seen")

    monkeypatch.setattr(estimate_channels, "estimate_channel_movies", of_estimate)
    monkeypatch.setattr(localize_channels, "localize_channels", of_inputs)
    monkeypatch.setattr(regenerate_channels, "regenerate_channels", of_inputs)
    at, wider = recording.folder, 1.2 * PIXEL
    setup = recording.setup
    pitch = 1.2 * setup.microscope.camera_pitch
    red = setup.channels["red"].with_(camera_pitch=pitch, transform=None, coefficients=TransformSpec())
    ds.write_experiment(setup.with_(channels={"red": red}), at / "wider.yaml")
    other = recording.models[1].file
    microscope = {**other.experiment["microscope"], "camera_pitch": pitch}
    save_model_file(replace(other, experiment={**other.experiment, "microscope": microscope}), at / "wider.pt")
    said = {
        "estimate": (at / "A.npy", at / "wider.yaml", "--second", at / "B.npy", "--out", at / "e.yaml"),
        "localize": (at / "A.npy", at / "B.npy", "--out", at / "new.hdf5"),
        "regenerate": (at / "list.hdf5", at / "A.npy", at / "B.npy", "--out", at / "r.png"),
    }
    models = ("--model", recording.model_files[0], "--model", at / "wider.pt")
    told(command, *said[command], *(() if command == "estimate" else models), "--pixel-nm", 1000 * PIXEL)
    assert seen == pytest.approx([PIXEL, wider])
    seen.clear()
    told(command, *said[command], *(() if command == "estimate" else models))
    assert seen == [None, None]


def test_a_mirror_that_the_transform_does_not_have_is_refused(recording: ChannelRecording) -> None:
    at, split = recording.folder, ("--split", "left-right,mirrored")
    estimate = ("estimate", at / "both.npy", at / "one.yaml", *split, "--out", at / "e.yaml")
    words = "says that the second channel is not mirrored"
    assert words in told(*estimate)
    assert f"transform.yaml {words}" in told(*estimate, "--transform", recording.transform)
    options = (*split, *recording.options())
    drawn = (at / "list.hdf5", at / "both.npy", *options, "--out", at / "r.png")
    assert f"the transform of the list {words}" in told("regenerate", *drawn)
    page = (at / "list.hdf5", "--movie", at / "both.npy", *options, "--no-resolution", "--out", at / "r.html")
    assert f"the transform of the list {words}" in told("report", *page)


@pytest.mark.parametrize(
    "given", [("--split", "left-right"), ("--transform", "t.yaml"), ("--mask", "m.npy"), ("--camera", "gain=2")]
)
def test_a_report_without_frames_refuses_what_is_for_them(
    recording: ChannelRecording, given: tuple[str, str]
) -> None:
    at = recording.folder
    page = ("report", at / "list.hdf5", "--out", at / "r.html", "--no-resolution")
    assert f"{given[0]} is for the frames that are drawn" in told(*page, *given)
