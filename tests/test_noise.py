"""Noise: the variance that each camera states is that of the frames which it exposes."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.camera import Camera, EmccdCamera, IdealCamera, MinimumSubtractedCamera, Noise, ScmosCamera

SIZE = (24, 32)


@pytest.mark.parametrize(
    "camera",
    [
        IdealCamera(),
        ScmosCamera(gain=1.0, read_noise=4.0),
        ScmosCamera(gain=0.2, read_noise=1.6),
        ScmosCamera(gain=0.05, read_noise=12.0),
        ScmosCamera(gain=3.0, read_noise=0.0),
        EmccdCamera(),
        EmccdCamera(em_gain=1, gain=2.0, baseline=1000),
        EmccdCamera(em_gain=1, gain=1.0, read_noise=0, spurious_charge=0),
        EmccdCamera(em_gain=30, gain=0.1, spurious_charge=1.0),
        EmccdCamera(em_gain=1, gain=0.2, read_noise=8, spurious_charge=0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("level", [10.0, 30.0, 300.0])
def test_a_cameras_frames_vary_as_its_noise_says(camera: Camera, level: float) -> None:
    expected = torch.full((4000, 10, 10), level)
    photons = camera.to_photons(camera.expose(expected, torch.Generator().manual_seed(1))).double()
    # 400,000 values tell a variance to 0.3 %, few multiplied electrons to 1 %.
    stated = float(camera.pixel_noise().variance(torch.tensor(level)))
    assert float(photons.var()) == pytest.approx(stated, rel=0.025 if level < 20 else 0.015)


@pytest.mark.parametrize(
    "camera",
    [
        ScmosCamera(gain=1.0, read_noise=0),
        EmccdCamera(em_gain=1, gain=1.0, read_noise=0, spurious_charge=0),
        EmccdCamera(em_gain=1, gain=2.0, read_noise=0, spurious_charge=0),
    ],
    ids=str,
)
def test_counts_that_are_whole_before_they_are_rounded_have_no_noise_of_rounding(camera: Camera) -> None:
    assert camera.pixel_noise().is_shot_noise_alone
    counts = camera.expose(torch.full((4000, 10, 10), 1.0), torch.Generator().manual_seed(1))
    photons = camera.to_photons(counts)
    assert float(photons.double().var()) == pytest.approx(1.0, rel=0.02)


def test_a_map_of_the_gain_tells_the_rounding_pixel_by_pixel() -> None:
    gain = torch.tensor([[0.1, 0.5], [1.0, 2.0]])
    noise = ScmosCamera(gain="gain.npy", read_noise=2.0).pixel_noise({"gain": gain})
    torch.testing.assert_close(noise.variance(torch.zeros(2, 2)), 4 + 1 / 12 / gain**2)
    for number in range(2):
        one = ScmosCamera(gain=float(gain[number, 0]), read_noise=2.0).pixel_noise()
        assert one.read_variance == float(noise.variance(torch.zeros(2, 2))[number, 0])


def test_a_map_of_read_noise_is_told_pixel_by_pixel_and_in_the_mean() -> None:
    read = torch.rand(SIZE, generator=torch.Generator().manual_seed(2)) * 5
    noise = ScmosCamera(read_noise="read.npy").pixel_noise({"read_noise": read})
    light = torch.full(SIZE, 7.0)
    torch.testing.assert_close(noise.variance(light), 7 + read.square() + 1 / 12)
    assert noise.averaged().read_variance == pytest.approx(float(read.square().mean()) + 1 / 12)
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
        (IdealCamera(), "no noise without light"),
        (ScmosCamera(read_noise=1.6), "noise without light 1.63 photons rms"),
        (EmccdCamera(em_gain=50, read_noise=50), "noise without light 1 photons rms, excess noise factor 2"),
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
