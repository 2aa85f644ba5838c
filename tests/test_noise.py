"""Noise: the variance that each camera states is that of the frames which it exposes."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.camera import Camera, EmccdCamera, IdealCamera, MinimumSubtractedCamera, Noise, ScmosCamera

SIZE = (24, 32)


@pytest.mark.parametrize(
    "camera",
    [IdealCamera(), ScmosCamera(gain=1.0, read_noise=4.0), EmccdCamera(), EmccdCamera(em_gain=1, gain=2.0)],
    ids=["ideal", "scmos", "emccd", "emccd without multiplication"],
)
@pytest.mark.parametrize("level", [30.0, 300.0])
def test_a_cameras_frames_vary_as_its_noise_says(camera: Camera, level: float) -> None:
    expected = torch.full((4000, 10, 10), level)
    photons = camera.to_photons(camera.expose(expected, torch.Generator().manual_seed(1))).double()
    stated = float(camera.pixel_noise().variance(torch.tensor(level)))
    # Rounding to whole counts adds 1/12 of a count².  400,000 values tell a variance to 0.3 %.
    gain = (camera.read_out.gain or 1.0) * camera.multiplication
    assert float(photons.var()) == pytest.approx(stated + 1 / 12 / gain**2, rel=0.015)


def test_a_map_of_read_noise_is_told_pixel_by_pixel_and_in_the_mean() -> None:
    read = torch.rand(SIZE, generator=torch.Generator().manual_seed(2)) * 5
    noise = ScmosCamera(read_noise="read.npy").pixel_noise({"read_noise": read})
    light = torch.full(SIZE, 7.0)
    assert torch.equal(noise.variance(light), 7 + read.square())
    assert noise.averaged() == Noise(1.0, float(read.square().mean()))
    part = noise.part(slice(3, 9), slice(10, 30)).variance(light[3:9, 10:30])
    assert torch.equal(part, noise.variance(light)[3:9, 10:30])
    assert not noise.is_shot_noise_alone and IdealCamera().pixel_noise().is_shot_noise_alone


def test_the_noise_of_a_sum_and_of_single_frames() -> None:
    assert Noise(2.0, 3.0).of_sum(4) == Noise(2.0, 12.0)
    each = torch.arange(3 * 4, dtype=torch.float32).view(3, 2, 2)
    some = Noise(1.0, each).of_frames(torch.tensor([2, 0])).read_variance
    assert isinstance(some, torch.Tensor) and torch.equal(some, each[[2, 0]])
    assert Noise(1.0, each[0]).of_frames(torch.tensor([1])).read_variance is not None
    assert (
        Noise(1.0, -3.0).at_least_shot_noise() == Noise()
        and Noise(1.0, 2.0).with_more(0.5).read_variance == 2.5
    )


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (IdealCamera(), "no read noise"),
        (ScmosCamera(read_noise=1.6), "read noise 1.6 photons rms"),
        (EmccdCamera(em_gain=100, read_noise=50), "read noise 0.5 photons rms, excess noise factor 2"),
    ],
    ids=["ideal", "scmos", "emccd"],
)
def test_noise_is_told_in_words(camera: Camera, words: str) -> None:
    assert str(camera.pixel_noise()) == words


def test_the_level_left_in_minimum_subtracted_frames_makes_no_noise() -> None:
    # Poisson noise on the signal alone, σ between edge and middle: at a signal of 0 the mean baseline is there.
    camera = MinimumSubtractedCamera(baseline=(30.0, 30.0), noise=(10.0, 10.0))
    values = camera.to_photons(camera.expose(torch.full((400, *SIZE), 50.0), torch.Generator().manual_seed(3)))
    stated = camera.pixel_noise().variance(values.mean())
    assert float(values.double().var()) == pytest.approx(float(stated), rel=0.02)
    assert camera.remaining_level == (30.0, 30.0) and ScmosCamera().remaining_level == (0.0, 0.0)
    assert camera.dark_variance == 100.0
