"""The preview of two channels: both beside each other, and a verdict on each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from channel_recording import ChannelRecording
from deepstorm3d.cli import app
from deepstorm3d.jobs import preview_channels as job
from deepstorm3d.jobs.channel_inputs import GivenTransform, both_pipelines
from deepstorm3d.jobs.preview import simulated_like
from deepstorm3d.jobs.preview_channels import ChannelsPreview, preview_channels
from deepstorm3d.localizing.model import Model
from deepstorm3d.localizing.pipeline import Pipeline
from deepstorm3d.plot.frames_beside import channel_overlays
from factories import untrained_model
from planes_recording import FRAMES, SIZE, PlanesRecording, Proposals
from watchers import Recorder

pytestmark = pytest.mark.usefixtures("coarse_pictures")


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> PlanesRecording:
    return PlanesRecording(tmp_path_factory.mktemp("planes"))


@pytest.fixture
def proposals(planes: PlanesRecording, monkeypatch: pytest.MonkeyPatch) -> Proposals:
    made = Proposals(planes, missing=0, false=0)
    monkeypatch.setattr(Pipeline, "propose", lambda self, frames: made(frames))
    return made


def previewed(planes: PlanesRecording, out: Path, *movies: object, frames: int = 2) -> ChannelsPreview:
    both = both_pipelines([(planes.model.pipeline(), planes.model.file)])
    given = both.transform(GivenTransform())
    return preview_channels(planes.both(*movies), both, given, out, frames=frames, watch=Recorder())


@pytest.mark.usefixtures("proposals")
def test_both_channels_of_a_frame_stand_beside_each_other_with_the_same_molecules(
    planes: PlanesRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def overlays(frames: list[object], *, title: str) -> object:
        drawn.append([title, *(frame.name for frame in frames)])  # pyright: ignore[reportAttributeAccessIssue]
        return channel_overlays(frames, title=title)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(job, "channel_overlays", overlays)
    seen = previewed(planes, tmp_path / "p", frames=3)
    assert drawn == [[f"Frame {at}", "near.npy", "far.npy"] for at in (0, 6, FRAMES - 1)]
    files = ["frame_0", "frame_11", "frame_6", "histogram_first", "histogram_second"]
    assert sorted(path.stem for path in (tmp_path / "p").iterdir()) == files
    assert seen.fits == (True, True), seen.lines
    for number in (0, 6, FRAMES - 1):
        near, far = (reports[number] for reports in seen.frames)
        assert near.localizations == far.localizations == int((planes.truth.frame == number).sum())
        assert near.correlation > 0.8 and far.correlation > 0.8
    assert sum("verdict" in line for line in seen.lines) == 2
    assert all(line.startswith(("near.npy: ", "far.npy: ")) for line in seen.lines)


@pytest.mark.usefixtures("proposals")
def test_a_channel_that_its_model_does_not_explain_is_told_by_its_name(
    planes: PlanesRecording, tmp_path: Path
) -> None:
    near, far = planes.counts
    seen = previewed(planes, tmp_path / "p", near, 3 * far, frames=1)
    assert seen.fits[1] is False
    (verdict,) = [line for line in seen.lines if "verdict" in line and "channel 2: " in line]
    assert "explains these frames" not in verdict


@pytest.mark.usefixtures("proposals")
@pytest.mark.parametrize("kind", ["black", "constant", "saturated"])
def test_a_frame_without_light_is_a_finding_of_its_channel_alone(
    planes: PlanesRecording, tmp_path: Path, kind: str
) -> None:
    near, far = planes.counts
    level = {"black": 0, "constant": 100, "saturated": np.iinfo(far.dtype).max}[kind]
    far = far.copy()
    far[0] = level
    seen = previewed(planes, tmp_path / "p", near, far)
    assert seen.fits == (True, False), seen.lines
    told = [line for line in seen.lines if kind in line]
    assert told and all("channel 2: frame 0: " in line for line in told), seen.lines
    assert len(list((tmp_path / "p").iterdir())) == 4
    assert sum("verdict" in line for line in seen.lines) == 2


def test_simulated_frames_have_the_channels_share_of_the_light(planes: PlanesRecording) -> None:
    like, light = torch.zeros(10, *SIZE), 0.3
    setup = planes.experiment
    far = setup.channels["far"].with_(light=light)
    model = Model(untrained_model(setup.with_(channels={"far": far}), 0.5), device="cpu")
    both = both_pipelines([(model.pipeline(), model.file)]).pipelines
    for pipeline, share in zip(both, (1 - light, light), strict=True):
        own, whole = (simulated_like(each, like).mean() for each in (pipeline, replace(pipeline, share=1.0)))
        assert float(own / whole) == pytest.approx(share, rel=0.02)


def test_two_models_without_a_transform_localize_each_channel_by_itself(
    tmp_path: Path,
) -> None:
    made = ChannelRecording(tmp_path)
    movies, out = [str(path) for path in made.movies], tmp_path / "found.hdf5"
    command = ["localize", *movies, *made.options(), "--out", str(out), "--preview", "1"]
    done = CliRunner().invoke(app, command)
    said = " ".join(done.output.split())
    assert done.exit_code == 0, done.output
    assert "each channel is localized by itself here" in said
    assert "A.npy: verdict" in said and "B.npy: verdict" in said
    assert {path.name for path in (tmp_path / "found.hdf5.preview").iterdir()} == {
        "frame_0.png",
        "histogram_first.png",
        "histogram_second.png",
    }
    assert not list(tmp_path.glob("found*hdf5"))
    known = CliRunner().invoke(app, [*command, "--transform", str(made.transform)])
    assert known.exit_code == 0, known.output
    assert "by itself" not in " ".join(known.output.split())
    halves = tmp_path / "both.npy"
    np.save(halves, np.concatenate(made.counts, axis=2))
    split = ["localize", str(halves), "--split", "left-right", *made.options(), "--out", str(out)]
    beside = CliRunner().invoke(app, [*split, "--preview", "1"])
    assert beside.exit_code == 0, beside.output
    assert "both.npy, channel 2: verdict" in " ".join(beside.output.split())
    refused = CliRunner().invoke(app, [*command, "--no-refine"])
    assert refused.exit_code == 2 and "is decided by the joint fit" in " ".join(refused.output.split())
