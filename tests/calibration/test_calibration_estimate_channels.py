"""Estimate of two channels: shares, one density, each camera, and where the channels contradict each other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import SHARE, ChannelRecording
from deepstorm3d.calibration.movie_statistics import channels, molecules, scene_match
from deepstorm3d.calibration.movie_statistics.light_ratio import FrameLight, common_pixels, light_ratio
from deepstorm3d.channels import Transform
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel_views import channel_views
from deepstorm3d.field import Field
from deepstorm3d.simulation.backgrounds import UniformBackground

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


@pytest.fixture(scope="module")
def written(recording: ChannelRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes of an experiment of one channel and a movie of both halves."""
    folder = tmp_path_factory.mktemp("estimated")
    ds.write_experiment(recording.setup.of_channel(0), folder / "known.yaml")
    np.save(folder / "both.npy", np.concatenate(recording.counts, axis=2))
    out = folder / "found.yaml"
    words = ["--split", "left-right", "--transform", str(recording.transform), "--out", str(out)]
    done = CliRunner().invoke(app, ["estimate", str(folder / "both.npy"), str(folder / "known.yaml"), *words])
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "channels.second" in told and "of the light" in told
    return out


def test_the_command_adds_a_channel_with_its_share_of_the_light(written: Path) -> None:
    found = ds.read_experiment(written)
    second = found.channels["second"]
    assert second.light == pytest.approx(SHARE, abs=0.05)
    # Frames of the whole cameras, for which the transform holds: the file can be simulated from.
    assert found.frame_px == SIZE and second.frame_px == SIZE
    view = channel_views(found)[1]
    assert view.share == second.light and view.depth_offset_um == pytest.approx(0.05)
    background = found.scene().background
    assert isinstance(background, UniformBackground)
    assert (background.low + background.high) / 2 == pytest.approx(20, rel=0.2)
    assert written.with_suffix(".png").exists() and written.with_name("found.second.png").exists()


def test_another_share_of_the_background_is_told(recording: ChannelRecording) -> None:
    brighter = np.random.default_rng(0).poisson(15.0, recording.counts[1].shape).astype(np.uint16)
    channel = recording.setup.channels["red"].with_(light=0.5)
    first, second = recording.counts[0], recording.counts[1] + brighter
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = ds.estimate_channels(first, second, recording.setup.with_(channels={"red": channel}))
    assert found.light[1] == pytest.approx(SHARE, abs=0.07) and found.levels[1] > 0.5
    words = "of the background; an experiment divides both alike"
    assert any(words in str(each.message) for each in told)
    # Each channel is compared with frames that have the numbers of both.
    for alone, counts in zip(found.alone, (first, second), strict=True):
        assert alone.real.shape[1:] == alone.simulated.shape[1:] == counts.shape[1:]
    alike = [float(alone.simulated.mean() / alone.real.mean()) for alone in found.alone]
    assert alike[0] > 1.1 and alike[1] < 0.9


def test_channels_of_other_densities_are_told() -> None:
    shares = channels._Shares((0.5, 0.5), (0.5, 0.5), (0.1, 0.3))
    (words,) = channels._doubts(("first", "red"), shares)
    assert "do not have the same density, 0.1 (first), 0.3 (red) molecules/µm²" in words


def test_channels_and_movies_are_as_many(recording: ChannelRecording) -> None:
    with pytest.raises(InputError, match=r"this is the movie of one channel, .* has first, red"):
        ds.estimate(recording.counts[0], recording.setup)
    with pytest.raises(InputError, match="two movies"):
        three = dict.fromkeys(("red", "far"), recording.setup.channels["red"])
        ds.estimate_channels(*recording.counts, recording.setup.with_(channels=three))


def test_only_the_field_that_both_channels_show_counts() -> None:
    """The second frames are wider, shifted by 4 px, and show molecules that the first ones do not."""
    first, second = Field(20, 24, 0.1), Field(22, 40, 0.1)
    shift = Transform.affine(torch.eye(2), torch.tensor([0.4, 0.0]))
    here, own = common_pixels(first, second, shift)
    assert bool(here.all()) and int(own.sum()) == here.numel()
    assert bool(own[:20, 4:28].all())
    away = Transform.affine(torch.eye(2), torch.tensor([2.4, 0.0]))
    here, own = common_pixels(first, second, away)
    assert bool(here[:, :16].all()) and not bool(here[:, 16:].any()) and bool(own[:20, 24:].all())
    assert int(own.sum()) == int(here.sum())
    # A molecule's light in every frame of both, and other light where only the second one looks.
    g = np.random.default_rng(2)
    shared, beyond = g.poisson(8.0, 100) * 3000.0, g.poisson(8.0, 100) * 3000.0
    frames = np.zeros((100, 22, 40))
    frames[:, 10, 30], frames[:, 10, 5] = 0.43 * shared, 0.43 * beyond
    light = FrameLight(frames[:, own.numpy()].sum(1), 0.0)
    assert light_ratio(FrameLight(shared, 0.0), light) == pytest.approx(0.43)
    assert light_ratio(FrameLight(shared, 0.0), FrameLight(frames.sum((1, 2)), 0.0)) is None


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
