"""Likelihood: score and information are its slope and curvature, and its deviance knows each camera's noise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepstorm3d.camera import EmccdCamera, IdealCamera, Noise, ScmosCamera
from deepstorm3d.fitting.likelihood import Likelihood

SHAPE = (3, 6, 7)


def means(low: float, high: float, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def counts(mean: Tensor, seed: int = 2) -> Tensor:
    return torch.poisson(mean, generator=torch.Generator().manual_seed(seed))


def noise_map(shape: tuple[int, int, int], low: float = 0.5, high: float = 4.0) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return low + (high - low) * torch.rand(shape[1:], generator=generator, dtype=torch.float64)


CAMERAS = [Noise(), Noise(1.0, noise_map(SHAPE).square()), Noise(2.0, 0.03), Noise(1.4, 9.0)]


@pytest.mark.parametrize("noise", CAMERAS)
def test_the_score_is_the_slope_of_minus_half_the_deviance(noise: Noise) -> None:
    likelihood = Likelihood(counts(means(2, 60)) + 0.5, noise)
    model = means(3, 50).requires_grad_()
    (slope,) = torch.autograd.grad(-likelihood.deviance(model).sum() / 2, model)
    torch.testing.assert_close(likelihood.score(model), slope, rtol=1e-10, atol=1e-12)
    step = 1e-4
    rise = likelihood.deviance_image(model - step) - likelihood.deviance_image(model + step)
    torch.testing.assert_close(likelihood.score(model), rise / (4 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("noise", CAMERAS)
def test_the_information_is_the_expected_curvature(noise: Noise) -> None:
    # The score is linear in the counts: its slope at the expected counts is the expected slope.
    mean, step = means(3, 50), 1e-4
    likelihood = Likelihood(mean, noise)
    bend = (likelihood.score(mean - step) - likelihood.score(mean + step)) / (2 * step)
    torch.testing.assert_close(likelihood.information(mean), bend, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "camera", [IdealCamera(), ScmosCamera(read_noise=2.5), EmccdCamera()], ids=lambda camera: camera.kind
)
def test_the_score_of_a_cameras_frames_scatters_as_the_information_says(
    camera: IdealCamera | ScmosCamera | EmccdCamera,
) -> None:
    mean = means(15, 60, (1, 8, 8)).expand(4000, 8, 8)
    frames = camera.to_photons(camera.expose(mean, torch.Generator().manual_seed(4))).double()
    likelihood = Likelihood(frames, camera.pixel_noise())
    score, information = likelihood.score(mean), likelihood.information(mean)[0]
    # Means of 4,000 frames: the score's is 0 to four standard errors, its variance the information to 15 %.
    assert bool((score.mean(0).abs() < 4 * (information / 4000).sqrt()).all())
    torch.testing.assert_close(score.var(0), information, rtol=0.15, atol=0)
    torch.testing.assert_close(score.var(0).mean(), information.mean(), rtol=0.02, atol=0)


def test_shot_noise_around_the_right_mean_has_a_deviance_of_one_a_pixel() -> None:
    mean = means(20, 200, (40, 50, 50))
    per_pixel = Likelihood(counts(mean)).deviance(mean) / 2500
    assert abs(float(per_pixel.mean()) - 1) < 0.015
    assert float(per_pixel.std()) < 1.5 * (2 / 2500) ** 0.5


def test_read_noise_that_differs_from_pixel_to_pixel_is_counted_pixel_by_pixel() -> None:
    shape = (60, 40, 40)
    mean, sigma = means(10, 60, shape), noise_map(shape, 0.5, 8.0)
    generator = torch.Generator().manual_seed(5)
    frames = counts(mean) + sigma * torch.randn(shape, generator=generator, dtype=torch.float64)
    image = Likelihood(frames, Noise(1.0, sigma.square())).deviance_image(mean)
    assert abs(float(image.mean()) - 1) < 0.02
    quiet, loud = (image.mean(0)[part].mean() for part in (sigma < 2, sigma > 6))
    assert abs(float(quiet) - 1) < 0.03
    assert abs(float(loud) - 1) < 0.03
    # The same noise spread evenly explains neither part.
    even = Likelihood(frames, Noise(1.0, sigma.square()).averaged()).deviance_image(mean)
    assert float(even.mean(0)[sigma < 2].mean()) < 0.8


def test_a_multiplying_camera_has_a_deviance_of_one_a_pixel_only_with_its_excess_noise() -> None:
    camera, mean = EmccdCamera(), means(50, 150, (40, 40, 40))
    frames = camera.to_photons(camera.expose(mean, torch.Generator().manual_seed(6))).double()
    right = Likelihood(frames, camera.pixel_noise()).deviance(mean).mean() / 1600
    poisson = Likelihood(frames).deviance(mean).mean() / 1600
    assert abs(float(right) - 1) < 0.03
    assert abs(float(poisson) - 2) < 0.1


@given(
    st.floats(0, 1e5), st.floats(1e-2, 1e5), st.sampled_from([1.0, 1.3, 2.0]), st.sampled_from([0.0, 1.0, 30.0])
)
def test_nothing_is_likelier_than_the_counts_themselves(
    seen: float, mean: float, excess: float, variance: float
) -> None:
    here, there = (torch.full((1, 1, 1), value, dtype=torch.float64) for value in (seen, mean))
    likelihood = Likelihood(here, Noise(excess, variance))
    assert float(likelihood.deviance(there)) >= -1e-9 * (seen + mean)
    if seen > 0.01:
        assert float(likelihood.deviance(here)) == pytest.approx(0, abs=1e-9 * seen)
        # The slope points from the mean to the counts.
        assert float(likelihood.score(there)) * (seen - mean) >= 0


def test_pixels_without_weight_say_nothing() -> None:
    mean = means(10, 60)
    clean, weight = counts(mean), torch.ones(SHAPE, dtype=torch.float64)
    weight[0, 2:4, 1:5], weight[2, 0] = 0, 0
    spoilt = torch.where(weight > 0, clean, 9999.0)
    one, other = (Likelihood(frames, weight=weight) for frames in (clean, spoilt))
    torch.testing.assert_close(one.deviance(mean), other.deviance(mean))
    assert torch.equal(one.score(mean), other.score(mean))
    assert bool((one.score(mean)[weight == 0] == 0).all())
    assert bool((one.information(mean)[weight == 0] == 0).all())
    assert one.pixels.tolist() == [42 - 8, 42, 42 - 7]
    whole = Likelihood(clean)
    assert whole.pixels.tolist() == [42, 42, 42]
    torch.testing.assert_close(whole.deviance(mean)[1], one.deviance(mean)[1])


@pytest.mark.parametrize("chosen", [torch.tensor([0, 2]), torch.tensor([True, False, True])])
def test_selected_frames_keep_their_likelihood(chosen: Tensor) -> None:
    mean, weight = means(10, 60), (means(0, 1) > 0.3).double()
    whole = Likelihood(counts(mean), Noise(2.0, noise_map(SHAPE)), weight)
    part = whole.select(chosen)
    assert len(part) == 2
    rows = torch.tensor([0, 2])
    torch.testing.assert_close(part.deviance(mean[rows]), whole.deviance(mean)[rows])
    torch.testing.assert_close(part.score(mean[rows]), whole.score(mean)[rows])
    torch.testing.assert_close(part.information(mean[rows]), whole.information(mean)[rows])
    torch.testing.assert_close(part.pixels, whole.pixels[rows])


def test_counts_and_models_below_zero_give_finite_answers() -> None:
    frames = torch.tensor([[[-50.0, -1.0, 0.0, 3.0]]])
    likelihood = Likelihood(frames, Noise(1.0, 4.0))
    for level in (5.0, 0.0, -100.0):
        model = torch.full_like(frames, level)
        for image in (likelihood.deviance_image(model), likelihood.score(model), likelihood.information(model)):
            assert bool(torch.isfinite(image).all())
    # However far below 0 a count lies, it pulls no more than one of minus twice the mean, here 10.
    far = Likelihood(torch.tensor([[[-5000.0, -24.0, -20.0]]]), Noise(1.0, 4.0)).score(
        torch.full((1, 1, 3), 6.0)
    )
    assert far[0, 0].tolist() == pytest.approx([-3.0, -3.0, -2.6])


# Noise of cameras whose shifted counts lie below 0 in dim light: EMCCD at gains 300 and 30, sCMOS.
DIM_CAMERAS = {
    "gain 300": EmccdCamera(em_gain=300.0, read_noise=50.0),
    "gain 30": EmccdCamera(em_gain=30.0, read_noise=50.0, gain=0.2),
    "0.7 e-": ScmosCamera(gain=4.17, read_noise=0.7),
    "1.6 e-": ScmosCamera(gain=2.17, read_noise=1.6),
}


@pytest.mark.parametrize("level", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("name", DIM_CAMERAS)
def test_dim_light_is_as_bright_as_it_is_through_every_camera(name: str, level: float) -> None:
    camera, mean = DIM_CAMERAS[name], torch.full((1, 400, 400), level)
    frames = camera.to_photons(camera.expose(mean, torch.Generator().manual_seed(7))).double()
    likelihood = Likelihood(frames, camera.pixel_noise())
    information = likelihood.information(mean.double())
    score = likelihood.score(mean.double())
    # A step of the fit from the true level, and its standard error; all of them within 3 % of a photon.
    step, error = float(score.sum() / information.sum()), float(information.sum()) ** -0.5
    assert abs(step) < 3.5 * error + 0.004
    assert float(score.var() / information.mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("noise", [Noise(1.0, 1.0), Noise(2.0, 0.03), Noise(1.0, noise_map(SHAPE).square())])
def test_negative_counts_have_a_deviance_whose_slope_is_the_score(noise: Noise) -> None:
    spread = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    likelihood = Likelihood(3 * spread - 2, noise)
    assert float((likelihood.shifted_counts < 0).double().mean()) > 0.2
    model, step = means(0.05, 3), 1e-6
    rise = likelihood.deviance_image(model - step) - likelihood.deviance_image(model + step)
    torch.testing.assert_close(likelihood.score(model), rise / (4 * step), rtol=1e-4, atol=1e-4)
    deviance, score, _ = likelihood.expansion(model)
    torch.testing.assert_close(deviance, likelihood.deviance(model))
    torch.testing.assert_close(score, likelihood.score(model))
    assert bool((likelihood.deviance_image(model) >= 0).all())


def test_no_frames_have_no_deviance() -> None:
    likelihood = Likelihood(torch.zeros(0, 4, 5))
    assert likelihood.deviance(torch.zeros(0, 4, 5)).shape == likelihood.pixels.shape == (0,)
