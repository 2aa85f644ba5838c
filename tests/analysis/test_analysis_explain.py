"""How well a model explains a frame."""

import pytest
import torch

from deepstorm3d.frames.explain import correlation, deviance_per_pixel


def test_correlation_does_not_see_scale_and_offset():
    frame = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(correlation(frame, 5 + 3 * frame), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(correlation(frame, -frame), -torch.ones(3, dtype=torch.float64))


def test_correlation_equals_the_textbook_one():
    g = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 15, 15, generator=g)
    expected = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    assert float(correlation(a, b)) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.1, 1234.567])
def test_a_constant_image_explains_nothing(level):
    frame = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    assert float(correlation(frame, torch.full((20, 20), level))) == 0


def test_only_the_pixels_of_the_mask_count():
    g = torch.Generator().manual_seed(2)
    frame, model = torch.rand(2, 12, 12, generator=g)
    pixels = torch.zeros(12, 12, dtype=torch.bool)
    pixels[:, :5] = True
    spoilt = torch.where(pixels, frame, torch.nan)
    assert float(correlation(spoilt, model, pixels)) == pytest.approx(
        float(correlation(frame[:, :5], model[:, :5]))
    )
    assert float(deviance_per_pixel(spoilt, model, pixels)) == pytest.approx(
        float(deviance_per_pixel(frame[:, :5], model[:, :5]))
    )
    with pytest.raises(ValueError, match="mask is empty"):
        correlation(frame, model, torch.zeros(12, 12, dtype=torch.bool))


def test_deviance_is_one_for_shot_noise_alone_and_more_for_a_wrong_model():
    g = torch.Generator().manual_seed(3)
    model = 50 + 100 * torch.rand(2, 200, 200, generator=g)
    frame = torch.poisson(model, generator=g)
    assert torch.allclose(deviance_per_pixel(frame, model), torch.ones(2, dtype=torch.float64), atol=0.03)
    assert (deviance_per_pixel(frame, 1.2 * model) > 2).all()


def test_deviance_is_zero_for_the_frame_itself_and_finite_without_light():
    frame = torch.arange(12.0).reshape(3, 4)
    assert float(deviance_per_pixel(frame, frame)) == pytest.approx(0, abs=1e-6)
    assert float(deviance_per_pixel(-torch.ones(3, 4), torch.zeros(3, 4))) == pytest.approx(0, abs=1e-5)


def test_images_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        correlation(torch.zeros(3, 4), torch.zeros(4, 3))
