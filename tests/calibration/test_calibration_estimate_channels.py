"""Estimate of two channels: shares, one density, each camera, and where the channels contradict each other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import PIXEL, SHARE, ChannelRecording
from deepstorm3d.calibration.movie_statistics import channels, molecules, scene_match
from deepstorm3d.calibration.movie_statistics.channels import ChannelsEstimate
from deepstorm3d.calibration.movie_statistics.light_ratio import FrameLight, light_ratio
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel_views import channel_views

SIZE = (54, 56)
"""Height and width of the frames, px: hardly more than an estimate needs."""

pytestmark = pytest.mark.usefixtures("coarse_pictures")


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """One round of few simulated frames: the same path through the program."""
    with pytest.MonkeyPatch.context() as patch:
        for name, number in {"_ROUNDS": 1, "_LEAST_FRAMES": 12, "_MOST_FRAMES": 12}.items():
            patch.setattr(scene_match, name, number)
        patch.setattr(molecules, "_BOOTSTRAPS", 4)
        yield


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    return ChannelRecording(tmp_path_factory.mktemp("channels"), frames=24, size=SIZE, density=0.15)


def estimated(recording: ChannelRecording, *movies: NDArray[Any]) -> tuple[ChannelsEstimate, list[str]]:
    channel = recording.setup.channels["red"]
    unknown = recording.setup.with_(channels={"red": channel.with_(light=0.5)})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        first, second = movies or recording.counts
        found = ds.estimate_channels(first, second, unknown)
    return found, [str(each.message) for each in told]


@pytest.fixture(scope="module")
def found(recording: ChannelRecording) -> ChannelsEstimate:
    return estimated(recording)[0]


def test_shares_and_the_light_of_both_are_found(found: ChannelsEstimate, recording: ChannelRecording) -> None:
    red = found.experiment.channels["red"]
    assert red.light == pytest.approx(SHARE, abs=0.05) and sum(found.light) == pytest.approx(1.0)
    assert found.levels[1] == pytest.approx(SHARE, abs=0.06)
    area = SIZE[0] * SIZE[1] * PIXEL**2
    light = float(recording.truth.photons.sum()) / 24 / area
    assert found.density * found.photons == pytest.approx(light, rel=0.3)
    assert found.density == pytest.approx(0.15, rel=0.4)
    assert found.background == pytest.approx(20, rel=0.15)
    # Frames of the whole cameras, for which the transform holds: the file can be simulated from.
    assert found.experiment.frame_px == SIZE and red.frame_px == SIZE
    assert channel_views(found.experiment)[1].share == red.light


def test_each_channel_is_compared_with_the_numbers_of_both(
    found: ChannelsEstimate, recording: ChannelRecording
) -> None:
    for alone, counts in zip(found.alone, recording.counts, strict=True):
        assert alone.real.shape[1:] == alone.simulated.shape[1:] == counts.shape[1:]
        assert float(alone.simulated.mean()) == pytest.approx(float(alone.real.mean()), rel=0.2)


def test_another_share_of_the_background_and_another_density_are_told(recording: ChannelRecording) -> None:
    brighter = np.random.default_rng(0).poisson(15.0, recording.counts[1].shape).astype(np.uint16)
    found, told = estimated(recording, recording.counts[0], recording.counts[1] + brighter)
    assert found.levels[1] > 0.5
    assert any("of the background; an experiment divides both alike" in text for text in told)
    shares = channels._Shares((0.5, 0.5), (0.5, 0.5), (0.1, 0.3))
    (words,) = channels._doubts(("first", "red"), shares)
    assert "do not have the same density, 0.1 (first), 0.3 (red) molecules/µm²" in words


def test_channels_and_movies_are_as_many(recording: ChannelRecording) -> None:
    with pytest.raises(InputError, match=r"this is the movie of one channel, .* has first, red"):
        ds.estimate(recording.counts[0], recording.setup)
    with pytest.raises(InputError, match="two movies"):
        three = dict.fromkeys(("red", "far"), recording.setup.channels["red"])
        ds.estimate_channels(*recording.counts, recording.setup.with_(channels=three))


def test_the_command_adds_a_channel_and_writes_an_experiment_that_can_be_read(
    recording: ChannelRecording, tmp_path: Path
) -> None:
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


def test_the_light_of_frames_that_go_together_gives_the_ratio_whatever_their_levels() -> None:
    g = np.random.default_rng(1)
    molecules = g.poisson(8.0, 400) * 3000.0
    first = FrameLight(g.poisson(2e4 + molecules).astype(float), 2e4 + 24_000)
    second = FrameLight(g.poisson(9e4 + 0.43 * molecules).astype(float), 9e4 + 0.43 * 24_000)
    # The noise of single frames is a tenth of what the molecules change; 400 frames.
    assert light_ratio(first, second) == pytest.approx(0.43, rel=0.02)
    assert light_ratio(first, second._replace(light=g.permutation(second.light))) is None
    assert light_ratio(first, FrameLight(second.light[:100], second.noise)) is None
    assert light_ratio(FrameLight(first.light[:8], 0.0), FrameLight(second.light[:8], 0.0)) is None
