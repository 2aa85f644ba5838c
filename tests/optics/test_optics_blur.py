"""The Gaussian blur of patches."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.optics.blur import gaussian_blur_valid, gaussian_radius, sampled_variance


def second_moment(image: torch.Tensor, axis: int) -> torch.Tensor:
    profile = image.sum(1 - axis)
    place = torch.arange(len(profile), dtype=image.dtype) - len(profile) // 2
    return (profile * place.square()).sum() / profile.sum()


def spots(count: int, side: int) -> torch.Tensor:
    place = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-0.5 * (place / 1.3).square())
    return (line[:, None] * line).expand(count, 1, side, side)


@pytest.mark.parametrize("sigma", [0.75, 1.0, 1.25, 2.5])
def test_the_second_moment_grows_by_the_variance_of_the_blur(sigma: float) -> None:
    radius = gaussian_radius(sigma) + 2
    stack = spots(1, 31 + 2 * radius)
    blurred = gaussian_blur_valid(stack, torch.tensor([sigma], dtype=torch.float64), radius)[0, 0]
    for axis in (0, 1):
        growth = second_moment(blurred, axis) - second_moment(stack[0, 0], axis)
        assert growth.item() == pytest.approx(sigma**2, rel=2e-3)


def test_the_light_is_conserved() -> None:
    sigma = torch.tensor([0.0, 0.4, 0.75, 1.25], dtype=torch.float64)
    stack = spots(4, 41)
    blurred = gaussian_blur_valid(stack, sigma, 5)
    torch.testing.assert_close(blurred.sum((1, 2, 3)), stack.sum((1, 2, 3)), rtol=1e-7, atol=0)


def test_a_point_becomes_the_gaussian_with_its_own_sigma_for_each_patch() -> None:
    point = torch.zeros(2, 1, 21, 21, dtype=torch.float64)
    point[:, :, 10, 10] = 1
    sigma = torch.tensor([0.8, 1.2], dtype=torch.float64)
    got = gaussian_blur_valid(point, sigma, 5)[:, 0]
    place = torch.arange(-5, 6, dtype=torch.float64)
    line = torch.exp(-0.5 * (place / sigma[:, None]).square())
    line = line / line.sum(1, keepdim=True)
    torch.testing.assert_close(got, line[:, :, None] * line[:, None])


def test_no_blur_leaves_the_patch_as_it_is() -> None:
    stack = torch.rand(2, 4, 15, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(gaussian_blur_valid(stack, zero, 3), stack[:, :, 3:-3, 3:-3])
    assert gaussian_blur_valid(stack, zero, 0) is stack


def test_the_gradient_in_sigma_is_that_of_the_blur() -> None:
    stack = torch.rand(2, 1, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.7, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: gaussian_blur_valid(stack, s, 4), sigma)


def test_the_sampled_gaussians_variance_is_sigma_squared_from_three_quarters_of_a_pixel_up() -> None:
    sigma = torch.tensor([0.75, 1.0, 1.49, 1.51, 4.0], dtype=torch.float64)
    torch.testing.assert_close(sampled_variance(sigma), sigma.square(), rtol=1e-3, atol=0)
    small = sampled_variance(torch.tensor([0.0, 0.2, 0.5], dtype=torch.float64))
    assert small[0] == 0
    assert small[1] < 1e-4
    assert small[2].item() == pytest.approx(0.86 * 0.25, rel=0.01)
