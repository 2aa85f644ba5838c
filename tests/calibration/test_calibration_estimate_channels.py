"""Estimate of two channels: shares, one density, each camera, and where the channels contradict each other."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import SHARE, ChannelRecording
from deepstorm3d.calibration.movie_statistics import molecules, scene_match
from deepstorm3d.calibration.movie_statistics.channels import ChannelsEstimate
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel_views import channel_views

SIZE = (64, 68)

pytestmark = pytest.mark.usefixtures("coarse_pictures")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of few simulated frames: the same path through the program."""
    for name, number in {"_ROUNDS": 2, "_LEAST_FRAMES": 24, "_MOST_FRAMES": 24}.items():
        monkeypatch.setattr(scene_match, name, number)
    monkeypatch.setattr(molecules, "_BOOTSTRAPS", 8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    return ChannelRecording(tmp_path_factory.mktemp("channels"), frames=24, emitters=6, size=SIZE)


def estimated(recording: ChannelRecording, *movies: object) -> tuple[ChannelsEstimate, list[str]]:
    channel = recording.setup.channels["red"]
    unknown = recording.setup.with_(channels={"red": channel.with_(light=0.5)})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = ds.estimate_channels(*(movies or recording.counts), unknown)  # pyright: ignore[reportArgumentType]
    return found, [str(each.message) for each in told]


def test_shares_and_the_light_of_both_are_found(recording: ChannelRecording) -> None:
    found, _ = estimated(recording)
    red = found.experiment.channels["red"]
    assert red.light == pytest.approx(SHARE, abs=0.05) and sum(found.light) == pytest.approx(1.0)
    assert found.levels[1] == pytest.approx(SHARE, abs=0.06)
    # 6 molecules in the frame; 24 frames of them.
    area = SIZE[0] * SIZE[1] * 0.11**2
    assert found.density * area == pytest.approx(6, rel=0.35)
    truth = recording.truth
    light = float(truth.photons.sum()) / 24 / area
    assert found.density * found.photons == pytest.approx(light, rel=0.25)
    assert found.background == pytest.approx(20, rel=0.15)
    # Frames of the whole cameras, for which the transform holds: the file can be simulated from.
    assert found.experiment.frame_px == SIZE and red.frame_px == SIZE
    assert channel_views(found.experiment)[1].share == red.light


def test_each_channel_is_compared_with_the_numbers_of_both(recording: ChannelRecording) -> None:
    found, _ = estimated(recording)
    for alone, counts in zip(found.alone, recording.counts, strict=True):
        assert alone.real.shape[1:] == alone.simulated.shape[1:] == counts.shape[1:]
        assert float(alone.simulated.mean()) == pytest.approx(float(alone.real.mean()), rel=0.15)


def test_an_experiment_without_channels_gets_one(recording: ChannelRecording) -> None:
    alone = recording.setup.of_channel(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ds.estimate_channels(*recording.counts, alone, transform=recording.transform)
    assert list(found.experiment.channels) == ["second"]
    assert found.experiment.channels["second"].light == pytest.approx(SHARE, abs=0.05)


def test_movies_of_other_densities_and_of_more_background_are_told(recording: ChannelRecording) -> None:
    empty = recording.counts[1].copy()
    empty[:] = np.random.default_rng(0).poisson(6.0, empty.shape)
    # A fifth of the frames have molecules: another density, and more background in all of them.
    empty[::5] = recording.counts[1][::5]
    _, told = estimated(recording, recording.counts[0], empty + np.uint16(30))
    assert any("do not have the same density" in text for text in told)
    assert any("of the background; an experiment divides both alike" in text for text in told)


def test_one_movie_of_an_experiment_with_channels_is_refused(recording: ChannelRecording) -> None:
    with pytest.raises(InputError, match=r"this is the movie of one channel, .* has first, red"):
        ds.estimate(recording.counts[0], recording.setup)
    with pytest.raises(InputError, match="two movies"):
        three = dict.fromkeys(("red", "far"), recording.setup.channels["red"])
        ds.estimate_channels(*recording.counts, recording.setup.with_(channels=three))


def test_the_command_writes_an_experiment_that_can_be_read(recording: ChannelRecording, tmp_path: Path) -> None:
    ds.write_experiment(recording.setup.of_channel(0), tmp_path / "known.yaml")
    np.save(tmp_path / "both.npy", np.concatenate(recording.counts, axis=2))
    out = tmp_path / "found.yaml"
    words = ["--split", "left-right", "--transform", str(recording.transform), "--out", str(out)]
    done = CliRunner().invoke(
        app, ["estimate", str(tmp_path / "both.npy"), str(tmp_path / "known.yaml"), *words]
    )
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "channels.second" in told and "of the light" in told
    found = ds.read_experiment(out)
    assert found.channels["second"].light == pytest.approx(SHARE, abs=0.05)
    assert channel_views(found)[1].depth_offset_um == pytest.approx(0.05)
    assert (tmp_path / "found.png").exists() and (tmp_path / "found.second.png").exists()
